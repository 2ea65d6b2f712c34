"""Configurations or models in rows: a dot a seed, the mean, and its 95 % interval, also in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.evaluation.intervals import LOSS, SHARE, Interval, over_seeds
from lib.figures.axis_window import Window
from lib.figures.style import PALETTE, STYLE, colour, plain, plain_lines
from lib.text import number

_LETTERS = 60
"""Of a row's name, at most."""

_DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (1, 4)))


@dataclass(frozen=True)
class SummaryRow:
    """One configuration: best validation loss and accuracy of each seed; a value may be not finite."""

    variant: str
    label: str
    losses: Sequence[float]
    accuracies: Sequence[float]


@dataclass(frozen=True)
class BaselineLine:
    """A baseline's figures, drawn as lines beside those of the networks where they are near."""

    name: str
    accuracy: float
    loss: float


@dataclass(frozen=True)
class ModelRow:
    """One model: what it is, its accuracy with each seed, and the first seed's with its interval over rows.

    One that is `aside` does not widen the axis.
    """

    role: str
    label: str
    accuracies: Sequence[float]
    over_rows: Interval
    aside: bool = False


@dataclass(frozen=True)
class _Spread:
    """What a row shows: a value a seed, an interval or None, and both in words."""

    values: Sequence[float]
    interval: tuple[float, float] | None
    words: str
    aside: bool = False

    @classmethod
    def over_seeds(cls, values: Sequence[float], within: tuple[float, float], overlap: float = 0.0) -> _Spread:
        """With the interval of the mean over seeds."""
        of = over_seeds(values, within, overlap)
        if of.low is None or of.high is None:
            return cls(
                values, None, f"{of.mean:.4f}" if math.isfinite(of.mean) else of.words
            )  # the title says "one seed"
        return cls(values, (of.low, of.high), of.words)

    @classmethod
    def of_model(cls, row: ModelRow) -> _Spread:
        """With the interval over seeds, or of one seed that over rows."""
        if len(row.accuracies) > 1:
            return replace(cls.over_seeds(row.accuracies, SHARE), aside=row.aside)
        of = row.over_rows
        return cls(row.accuracies, (of.low, of.high), of.words, row.aside)


def model_accuracies(rows: Sequence[ModelRow], title: str, quantity: str = "test accuracy") -> Figure:
    """Accuracy of each model: a dot a seed, the mean, and its 95 % interval, also in words; one colour a role.

    The interval is of the mean over seeds, and of a model with one seed over rows. The axis is as wide as the rows close
    together need: an arrow at its edge stands for a row, or the end of an interval, beyond it.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 1.7 + 0.34 * len(rows)))
        axis = figure.subplots()
        roles = list(dict.fromkeys(row.role for row in rows))
        colours = [colour(roles.index(row.role)) for row in rows]
        _panel(axis, [_Spread.of_model(row) for row in rows], colours, quantity, may_be_log=False)
        axis.set_yticks(range(len(rows) - 1, -1, -1), [plain(row.label, _LETTERS) for row in rows])
        axis.set_ylim(-0.6, len(rows) - 0.4)
        keys = [
            Line2D([], [], color=colour(at), marker="o", markersize=4, label=plain(role))
            for at, role in enumerate(roles)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=2)
        seeds = {len(row.accuracies) for row in rows}
        over_seeds = "mean ± standard deviation (95 % interval) over seeds"
        over_rows = "one seed: 95 % interval over rows"
        words = over_rows if seeds == {1} else f"{over_seeds}; {over_rows}" if 1 in seeds else over_seeds
        figure.suptitle(f"{plain_lines(title)}\n{words}")
    return figure


def axis_summary(
    rows: Sequence[SummaryRow],
    axis_label: str,
    title: str,
    baselines: Sequence[BaselineLine] = (),
    overlap: float = 0.0,
) -> Figure:
    """Best validation loss and accuracy of each configuration: a dot a seed, the mean, and in words its 95 % interval.

    One colour a variant; the line through a mean is the interval over seeds. Baselines are upright lines where they are
    near. Losses that differ much stand on a logarithmic axis. An axis is as wide as the rows close together need: an
    arrow at its edge stands for a row, or the end of an interval, beyond it. For `overlap` see `half_width`.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(13, (2.3 if baselines else 1.4) + 0.32 * len(rows)))
        losses, accuracies = figure.subplots(1, 2, sharey=True)
        variants = list(dict.fromkeys(row.variant for row in rows))
        colours = [colour(variants.index(row.variant)) for row in rows]
        label = "best validation cross-entropy (nats)"
        spreads = [_Spread.over_seeds(row.losses, LOSS, overlap) for row in rows]
        _panel(losses, spreads, colours, label, may_be_log=True, lines=[each.loss for each in baselines])
        label = "best validation accuracy"
        spreads = [_Spread.over_seeds(row.accuracies, SHARE, overlap) for row in rows]
        _panel(accuracies, spreads, colours, label, may_be_log=False, lines=[each.accuracy for each in baselines])
        several = len(variants) > 1
        names = [f"{row.variant}: {row.label}" if several else row.label for row in rows]
        losses.set_yticks(range(len(rows) - 1, -1, -1), [plain(name, _LETTERS) for name in names])
        losses.set_ylabel(plain(axis_label))
        losses.set_ylim(-0.6, len(rows) - 0.4)
        seeds = {len(row.losses) for row in rows}
        spread = "one seed, no interval" if seeds == {1} else "mean ± standard deviation (95 % interval) over seeds"
        if baselines:
            keys = [
                Line2D([], [], color=PALETTE[7], linestyle=_DASHES[index % len(_DASHES)], linewidth=1, label=label)
                for index, label in enumerate(
                    f"{plain(each.name)}: loss {number(each.loss)}, accuracy {number(each.accuracy)}"
                    for each in baselines
                )
            ]
            figure.legend(handles=keys, loc="outside lower center", ncols=1)
        figure.suptitle(f"{plain_lines(title)}\n{spread}")
    return figure


def _panel(
    axis: Axes,
    rows: Sequence[_Spread],
    colours: Sequence[str],
    label: str,
    *,
    may_be_log: bool,
    lines: Sequence[float] = (),
) -> None:
    """Draw one quantity of all rows, the first on top, and upright lines where they are near."""
    finite = [[value for value in row.values if math.isfinite(value)] for row in rows]
    fitted = [(values, row.interval) for values, row in zip(finite, rows, strict=True) if not row.aside]
    bounds = [interval for _, interval in fitted if interval is not None] + [(line, line) for line in lines]
    # A single value has no spread of its own to be shown by.
    near = [
        [*values, *interval] if len(values) == 1 and interval is not None else values for values, interval in fitted
    ]
    shown = Window.around(near, bounds, may_be_log=may_be_log)
    beyond = False
    places = range(len(rows) - 1, -1, -1)
    for place, own, values, row in zip(places, colours, finite, rows, strict=True):
        inside = [value for value in values if shown.low <= value <= shown.high]
        axis.scatter(inside, [place] * len(inside), color=own, s=14, alpha=0.6, zorder=3)
        if values and shown.low <= np.mean(values) <= shown.high:
            axis.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color=own, linewidth=2)
        ends = [*values, *(row.interval or ())]
        if row.interval is not None and row.interval[0] <= shown.high and row.interval[1] >= shown.low:
            axis.plot(np.clip(row.interval, shown.low, shown.high), [place] * 2, color=own, linewidth=1.2)
        for edge, mark, out in (
            (shown.low, "<", any(end < shown.low for end in ends)),
            (shown.high, ">", any(end > shown.high for end in ends)),
        ):
            if out:
                axis.plot([edge], [place], marker=mark, color=own, markersize=5, clip_on=False)
                beyond = True
        axis.text(1.02, place, row.words, transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    shown.put(axis)
    hints = [
        *(["logarithmic"] if shown.log else []),
        *(["arrow: goes on beyond the axis"] if beyond else []),
    ]
    axis.set_xlabel("\n".join([label, *(["; ".join(hints)] if hints else [])]))
    for index, line in enumerate(lines):
        if shown.low <= line <= shown.high:
            dashes = _DASHES[index % len(_DASHES)]
            axis.axvline(line, color=PALETTE[7], linestyle=dashes, linewidth=1, alpha=0.7, zorder=0.5)
