"""A profile's history on the terminal, and its page; and more than two runs side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from flows.tables import aligned
from lib.errors import ConfigError
from lib.graph.history import Outcome, comparable, history, lead, outcome, profiles_with_history
from lib.places import Places
from lib.report.changes import changed_words, lead_words, model_words
from lib.report.history import answer, write_history
from lib.storage.copies import shown
from lib.studies.record import open_record
from lib.text import counted, listed, visible


def show_history(profile_name: str | None, where: Places) -> int:
    """Print the whole runs of a profile, the last first, and write their page.

    Raises ConfigError when none of this profile is recorded here.
    """
    known = profiles_with_history(where.studies)
    name = profile_name if profile_name is not None else next(iter(known), None)
    if name is None or name not in known:
        there = f"; recorded here: {listed(known)}" if known else ""
        what = "no whole run" if name is None else f"no whole run of profile {name!r}"
        raise ConfigError(f"{what} is recorded in {shown(where.studies)}{there}; `probeflow run` makes one")
    found = history(where.studies, name)
    rows = [
        [
            step.run.when,
            step.run.key[:8],
            "–" if step.run.best is None else step.run.best.score.rounded,
            model_words(step.run),
            "–" if step.lead is None else lead_words(step.lead),
            "–" if step.before is None else changed_words(step) or "nothing",
        ]
        for step in found.steps
    ]
    lines = [answer(found), ""]
    lines += aligned(["made", "run", "accuracy", "model", "difference to the run before", "changed"], rows[::-1])
    if found.unreadable:
        lines.append(f"{counted(found.unreadable, 'older result')} cannot be read by this version")
    lines += ["", f"page  {shown(write_history(found))}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def compare_runs(left: str, right: str, more: Sequence[str], where: Places) -> int:
    """Print two MLflow runs side by side, or of several what each came to.

    Raises ConfigError when there is no such run, or several, or its record is not in the data folder.
    """
    if not more:
        from flows.compare import show_comparison

        return show_comparison(left, right, where)
    from lib.tracking.past_runs import record_of_run

    runs = [outcome(open_record(record_of_run(each, where))) for each in (left, right, *more)]
    sys.stdout.write("\n".join(_several(runs)) + "\n")
    return 0


def _several(runs: Sequence[Outcome]) -> Iterable[str]:
    """A line a run, each held against the first."""
    first = runs[0]
    rows = [
        [
            _letter(place),
            visible(run.name),
            run.key[:8],
            run.when,
            "–" if run.best is None else f"{run.best.score.rounded} ({run.best.rows.value})",
            model_words(run),
            "" if place == 0 else _against(run, first),
        ]
        for place, run in enumerate(runs)
    ]
    yield from aligned(["", "name", "run", "made", "accuracy", "model", "difference to A"], rows)
    if not comparable(runs):
        yield ""
        yield "Not all were scored on the same images: accuracies of different images do not compare."


def _against(run: Outcome, first: Outcome) -> str:
    of = lead(run, first)
    if of is None:
        same = run.best is not None and first.best is not None and run.best.digest == first.best.digest
        return "predictions were not kept" if same else "other images"
    return lead_words(of)


def _letter(place: int) -> str:
    """
    >>> _letter(0), _letter(25), _letter(26)
    ('A', 'Z', '27')
    """
    return chr(ord("A") + place) if place < 26 else str(place + 1)
