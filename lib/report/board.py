"""A run's leaderboard as tables that are forest plots: one for each set of rows that models were scored on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lib.graph.leaderboard import Entry, ModelKind, Standing, answer, several_seeds, titled
from lib.report.forest import Axis, drawn
from lib.studies.presentation import Rows
from lib.text import duration, listed, magnitude

_FIRST = 12
"""Lines that are shown at once."""


@dataclass(frozen=True)
class Line:
    """A model on the page. Of figures that are sorted by, `*_value` is the number itself."""

    model: str
    settings: str
    study: str
    input: str
    random: bool
    chosen: bool
    score: str
    score_value: float
    picture: Markup
    difference: str
    difference_value: float | None
    ends: str
    standing: str
    size: str
    parameters: int | None
    time: str
    seconds: float | None


@dataclass(frozen=True)
class Board:
    """The models scored on the same rows, the best first."""

    title: str
    answer: str
    quantity: str
    versus: str
    """What the differences are."""
    chosen: str
    """What is said of the chosen model."""
    axis: Markup
    first: Sequence[Line]
    more: Sequence[Line]
    studies: bool
    """Whether they are of several studies."""
    note: str


def boards(entries: Sequence[Entry]) -> Iterator[Board]:
    """A board for each set of rows, in the leaderboard's order."""
    for title, group in titled(entries):
        axis = Axis.of(
            [[seed for seed in entry.seeds if math.isfinite(seed)] for entry in group], [entry.score for entry in group]
        )
        chosen = {entry.study: entry.score.estimate for entry in group if entry.standing is Standing.CHOSEN}
        lines = [_line(entry, axis, chosen.get(entry.study)) for entry in group]
        first = group[0]
        yield Board(
            title=title,
            answer=answer(group),
            quantity=f"{first.rows.value} accuracy",
            versus="less the chosen, first seed" if several_seeds(group) else "less the chosen",
            chosen="chosen on validation" if first.rows is Rows.TEST else "chosen",
            axis=axis.head(f"{first.rows.value} accuracy"),
            first=lines[:_FIRST],
            more=lines[_FIRST:],
            studies=len({entry.study for entry in group}) > 1,
            note=_note(group),
        )


def _note(group: Sequence[Entry]) -> str:
    words = "Bars are 95 % intervals for other seeds and other images, small dots single seeds"
    if any(entry.kind is ModelKind.BASELINE for entry in group):
        words += ", hollow marks baselines"
    if tests := list(dict.fromkeys(entry.test for entry in group if entry.test)):
        words += f"; differences are of first seeds on the same images, by {listed(tests)}"
    return f"{words}."


def _line(entry: Entry, axis: Axis, chosen: float | None) -> Line:
    score, of = entry.score, entry.difference
    seeds = f", {len(entry.seeds)} seeds" if len(entry.seeds) > 1 else ""
    finite = math.isfinite(score.estimate)
    words = f"{entry.model}: {score.rounded}{seeds if finite else ''}"
    return Line(
        model=entry.model,
        settings=entry.settings,
        study=entry.study,
        input=entry.input,
        random=entry.random_weights,
        chosen=entry.standing is Standing.CHOSEN,
        score=f"{score.estimate:.3f}" if finite else "not finite",
        score_value=score.estimate,
        picture=drawn(axis, score, words, dots=entry.seeds, line=chosen, hollow=entry.kind is ModelKind.BASELINE),
        difference="" if of is None else _signed(of.estimate),
        difference_value=None if of is None else of.estimate,
        ends="" if of is None else f"{_signed(of.low)} to {_signed(of.high)}",
        standing="" if of is None else entry.standing.value,
        size=magnitude(entry.parameters),
        parameters=entry.parameters,
        time=duration(entry.seconds),
        seconds=entry.seconds,
    )


def _signed(value: float) -> str:
    """
    >>> _signed(-0.0123), _signed(0.5), _signed(-0.0001)
    ('−0.012', '+0.500', '0.000')
    """
    text = f"{abs(value):.3f}"
    return text if float(text) == 0 else f"{'−' if value < 0 else '+'}{text}"
