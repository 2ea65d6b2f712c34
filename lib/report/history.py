"""The page of a profile's history: is it still as good? A picture, one sentence, a line a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from lib.evaluation.paired import significant
from lib.figures.history import Point, score_history
from lib.figures.vector import svg_bytes
from lib.files import write_bytes
from lib.graph.history import History, Step
from lib.report.changes import changed_words, lead_words, model_words
from lib.report.document import REPORT
from lib.report.drawing import Styles, inline
from lib.report.templates import ours, template
from lib.text import counted, visible

HISTORY = "history.html"

_DAY = len("2026-11-26")


@dataclass(frozen=True)
class Line:
    """A run on the page."""

    when: str
    report: str
    """Of its report, from where the page lies."""
    model: str
    score: str
    lead: str
    changed: str


def write_history(history: History) -> Path:
    """Write the page into the folder of the last run's record; its path. There is at least one run.

    Raises StorageError when it cannot be written.
    """
    path = history.steps[-1].run.folder / HISTORY
    write_bytes(path, render_history(history).encode())
    return path


def render_history(history: History) -> str:
    """A history as one HTML page for the folder of a run's record; equal records give equal bytes."""
    styles = Styles()
    picture = _picture(history, styles)
    return template("history.html.j2").render(
        style=ours("style.css"),
        drawn=Markup(styles.sheet),
        profile=visible(history.profile),
        answer=answer(history),
        picture=picture,
        lines=[_line(step) for step in reversed(history.steps)],
        unreadable=history.unreadable,
    )


def answer(history: History) -> str:
    """Is it still as good? In one sentence."""
    scored = [step for step in history.steps if step.run.best is not None]
    if not scored:
        return "No run of this profile has scored a model yet."
    last = scored[-1]
    assert last.run.best is not None
    score = f"The last run scored {last.run.best.score.rounded} with {visible(last.run.best.model)}"
    if len(scored) == 1:
        return f"{score}; there is no earlier run to compare it with."
    if last.lead is None:
        return f"{score}; the run before was scored on other images, so the two do not compare."
    return f"{score}; {_verdict(last)}."


def _verdict(step: Step) -> str:
    assert step.lead is not None
    if not significant(step.lead):
        return "not significantly different from the run before"
    return f"significantly {'better' if step.lead.estimate > 0 else 'worse'} than the run before"


def _line(step: Step) -> Line:
    run = step.run
    return Line(
        when=run.when,
        report=f"../{run.folder.name}/{REPORT}",
        model=model_words(run),
        score="–" if run.best is None else f"{run.best.rows.value} accuracy {run.best.score.rounded}",
        lead="" if step.lead is None else lead_words(step.lead),
        changed="" if step.before is None else changed_words(step) or "nothing",
    )


def _picture(history: History, styles: Styles) -> Markup:
    """The score of each run; empty where nothing was scored."""
    scored = [(step, step.run.best) for step in history.steps if step.run.best is not None]
    if not scored:
        return Markup("")
    digests = list(dict.fromkeys(best.digest for _, best in scored))
    points = [
        Point(step.run.when[:_DAY], best.score, digests.index(best.digest), bool(step.data), step.code)
        for step, best in scored
    ]
    rows = {best.rows.value for _, best in scored}
    figure = score_history(points, f"{' or '.join(sorted(rows))} accuracy")
    description = f"Accuracy of {counted(len(points), 'run')} in time"
    return Markup(inline(svg_bytes(figure), "h-", description, styles).markup)  # cleaned there
