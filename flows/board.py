"""A run's leaderboard on a terminal: a line a model, its interval drawn on one axis with all others of the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType

from flows.console import add_column, plain_table, written
from lib.evaluation.intervals import SHARE, Interval
from lib.figures.axis_window import Window
from lib.graph.leaderboard import Entry, ModelKind, Standing, several_seeds, titled
from lib.text import columns, duration, listed, magnitude

_LINES, _FEWEST = 24, 3
"""Models that are shown in all, about, and of each set of rows at least."""
_WIDE, _MIDDLE, _NARROW = 104, 92, 44
"""Columns of a terminal from which size and time, intervals in digits, and drawn ones have room."""
_LEAST_DRAWN, _MOST_DRAWN = 12, 30
"""Columns of a drawn interval."""


def board(entries: Sequence[Entry], console: Console) -> Iterator[Iterator[RenderableType]]:
    """For each set of rows, in the leaderboard's order: title, table of the first models, and what its marks mean."""
    groups = titled(entries)
    most = max(_FEWEST, _LINES // max(len(groups), 1))
    for title, group in groups:
        yield _group(group, title, most, console)


def _group(group: Sequence[Entry], title: str, most: int, console: Console) -> Iterator[RenderableType]:
    wide, middle, drawn = (console.width >= least for least in (_WIDE, _MIDDLE, _NARROW))
    shown = group[:most]
    inputs, studies = (len({getattr(each, name) for each in group}) > 1 for name in ("input", "study"))
    names = [model_words(each, inputs, studies) for each in shown]
    axis = window(shown)
    others = (39 if middle else 25) + (18 if wide else 0)
    cells = min(max(console.width - others - max(map(columns, names)), _LEAST_DRAWN), _MOST_DRAWN) if drawn else 0
    table = plain_table()
    add_column(table, console, "model", ratio=1)
    if cells:
        add_column(table, console, axis_ends(axis, cells))
    add_column(table, console, "accuracy", right=not middle)
    add_column(table, console, "vs chosen", right=True)
    for head in ("size", "training") if wide else ():
        add_column(table, console, head, right=True)
    for name, each in zip(names, shown, strict=True):
        row = [
            name,
            *([interval_drawn(each.score, axis, cells, each.kind is ModelKind.BASELINE)] if cells else []),
            each.score.rounded if middle else score_words(each.score),
            _versus(each),
            *([magnitude(each.parameters), duration(each.seconds)] if wide else []),
        ]
        table.add_row(*(written(cell, console, "bold" if each.standing is Standing.CHOSEN else "") for cell in row))
    yield written(title, console, "bold underline")
    yield table
    if len(group) > len(shown):
        yield written(f"and {len(group) - len(shown):,} more models, in the report", console, "dim")
    if legend := "; ".join(_legend(group, bool(cells))):
        yield written(legend, console, "dim")


def model_words(entry: Entry, inputs: bool, studies: bool) -> str:
    """A model in a line, with its input and study where these differ."""
    name = f"{entry.model} on {entry.input}" if inputs else entry.model
    return " · ".join([name, *filter(None, [entry.settings]), *([entry.study] if studies else [])])


def _versus(entry: Entry) -> str:
    if entry.standing is Standing.CHOSEN:
        return "chosen  "
    if entry.difference is None:
        return ""
    return f"{signed(entry.difference.estimate)} {'*' if entry.standing in (Standing.BETTER, Standing.WORSE) else ' '}"


def _legend(group: Sequence[Entry], drawn: bool) -> Iterator[str]:
    if drawn:
        baselines = any(entry.kind is ModelKind.BASELINE for entry in group)
        yield f"95 % intervals{', ○ baselines' if baselines else ''}"
    if tests := list(dict.fromkeys(entry.test for entry in group if entry.test)):
        if several_seeds(group):
            yield "vs chosen: first seeds on the same images"
        yield f"* significantly different from the chosen model, by {listed(tests)}"


def window(entries: Sequence[Entry]) -> Window:
    """The part of all accuracies that intervals of these models are drawn on."""
    found = Window.around(
        [[seed for seed in each.seeds if math.isfinite(seed)] for each in entries],
        [(each.score.low, each.score.high) for each in entries],
    )
    return Window(max(found.low, SHARE[0]), min(found.high, SHARE[1]))


def interval_drawn(of: Interval, axis: Window, cells: int, hollow: bool = False) -> str:
    """An interval in so many columns of text; what lies beyond the axis is an arrow at its end.

    >>> axis = Window(0.0, 1.0)
    >>> interval_drawn(Interval(0.5, 0.2, 0.7), axis, 11), interval_drawn(Interval(2.0, 2.0, 2.0), axis, 5)
    ('  ╶──●─╴   ', '    ▸')
    """
    if not math.isfinite(of.estimate):
        return " " * cells

    def place(value: float) -> int:
        share = (value - axis.low) / (axis.high - axis.low)
        return round(min(max(share, 0.0), 1.0) * (cells - 1))

    signs = [" "] * cells
    if math.isfinite(of.low) and math.isfinite(of.high):
        left, right = place(of.low), place(of.high)
        signs[left : right + 1] = "─" * (right + 1 - left)
        if axis.low <= of.low:
            signs[left] = "╶"
        if of.high <= axis.high:
            signs[right] = "╴"
    mark = "○" if hollow else "●"
    signs[place(of.estimate)] = "◂" if of.estimate < axis.low else "▸" if of.estimate > axis.high else mark
    return "".join(signs)


def axis_ends(axis: Window, cells: int) -> str:
    """The head of a column of drawn intervals: the values at its ends.

    >>> axis_ends(Window(0.8123, 0.9871), 16)
    '0.81        0.99'
    """
    digits = 2 if axis.high - axis.low >= 0.05 else 3
    low, high = f"{axis.low:.{digits}f}", f"{axis.high:.{digits}f}"
    return low + high.rjust(cells - len(low))


def signed(value: float) -> str:
    """
    >>> signed(-0.0123), signed(0.5), signed(-0.0001)
    ('-0.012', '+0.500', '+0.000')
    """
    return f"{round(value, 3) + 0.0:+.3f}"


def score_words(of: Interval) -> str:
    return f"{of.estimate:.3f}" if math.isfinite(of.estimate) else "not finite"
