"""Configurations side by side: a dot a seed, the mean, and its 95 % interval, also in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.evaluation.intervals import LOSS, SHARE, Estimate, over_seeds
from lib.figures.axis_window import Window
from lib.figures.baseline_lines import BaselineLine, draw_lines, legend_keys
from lib.figures.style import STYLE, colour, plain

_LETTERS = 60
"""Of a row's name, at most."""


@dataclass(frozen=True)
class SummaryRow:
    """One configuration: best validation loss and accuracy of each seed; a value may be not finite."""

    variant: str
    label: str
    losses: Sequence[float]
    accuracies: Sequence[float]


def axis_summary(
    rows: Sequence[SummaryRow], axis_label: str, title: str, baselines: Sequence[BaselineLine] = ()
) -> Figure:
    """Best validation loss and accuracy of each configuration: a dot a seed, the mean, and in words its 95 % interval.

    One colour a variant; the line through a mean is the interval over seeds. Baselines are upright lines where they are
    near. Losses that differ much stand on a logarithmic axis. An axis is as wide as the rows close together need: an
    arrow at its edge stands for a row, or the end of an interval, beyond it.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(13, (2.3 if baselines else 1.4) + 0.32 * len(rows)))
        losses, accuracies = figure.subplots(1, 2, sharey=True)
        variants = list(dict.fromkeys(row.variant for row in rows))
        colours = [colour(variants.index(row.variant)) for row in rows]
        label = "best validation cross-entropy (nats)"
        low, high = _panel(losses, [row.losses for row in rows], colours, label, LOSS)
        drawn_losses = draw_lines(losses, [each.loss for each in baselines], low, high, "x")
        low, high = _panel(accuracies, [row.accuracies for row in rows], colours, "best validation accuracy", SHARE)
        drawn_accuracies = draw_lines(accuracies, [each.accuracy for each in baselines], low, high, "x")
        several = len(variants) > 1
        names = [f"{row.variant}: {row.label}" if several else row.label for row in rows]
        losses.set_yticks(range(len(rows) - 1, -1, -1), [plain(name, _LETTERS) for name in names])
        losses.set_ylabel(plain(axis_label))
        seeds = {len(row.losses) for row in rows}
        spread = "one seed, no interval" if seeds == {1} else "mean ± standard deviation (95 % interval) over seeds"
        if baselines:
            drawn = list(zip(drawn_losses, drawn_accuracies, strict=True))
            keys = legend_keys(baselines, drawn, ": loss {}, accuracy {}")
            figure.legend(handles=keys, loc="outside lower center", ncols=1)
        figure.suptitle(f"{plain(title)}\n{spread}")
    return figure


def _panel(
    axis: Axes, rows: Sequence[Sequence[float]], colours: Sequence[str], label: str, within: tuple[float, float]
) -> tuple[float, float]:
    """Draw one quantity of all rows, the first on top; the lowest and highest seed that is shown."""
    finite = [[value for value in values if math.isfinite(value)] for values in rows]
    estimates = [over_seeds(values, within) for values in rows]
    bounds = [(each.low, each.high) for each in estimates if each.low is not None and each.high is not None]
    shown = Window.around(finite, bounds, may_be_log=within == LOSS)
    beyond = False
    places = range(len(rows) - 1, -1, -1)
    for place, own, values, estimate in zip(places, colours, finite, estimates, strict=True):
        inside = [value for value in values if shown.low <= value <= shown.high]
        axis.scatter(inside, [place] * len(inside), color=own, s=14, alpha=0.6, zorder=3)
        if values and shown.low <= np.mean(values) <= shown.high:
            axis.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color=own, linewidth=2)
        ends = values
        if estimate.low is not None and estimate.high is not None:
            ends = [*values, estimate.low, estimate.high]
            if estimate.low <= shown.high and estimate.high >= shown.low:
                line = np.clip([estimate.low, estimate.high], shown.low, shown.high)
                axis.plot(line, [place] * 2, color=own, linewidth=1.2)
        for edge, mark, out in (
            (shown.low, "<", any(end < shown.low for end in ends)),
            (shown.high, ">", any(end > shown.high for end in ends)),
        ):
            if out:
                axis.plot([edge], [place], marker=mark, color=own, markersize=5, clip_on=False)
                beyond = True
        axis.text(1.02, place, _words(estimate), transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    shown.put(axis)
    hints = [
        *(["logarithmic"] if shown.scale.log else []),
        *(["arrow: goes on beyond the axis"] if beyond else []),
    ]
    axis.set_xlabel("\n".join([label, *(["; ".join(hints)] if hints else [])]))
    seen = [value for values in finite for value in values if shown.low <= value <= shown.high]
    return min(seen, default=0), max(seen, default=0)


def _words(estimate: Estimate) -> str:
    """The title states that there is one seed."""
    return f"{estimate.mean:.4f}" if estimate.seeds == 1 and math.isfinite(estimate.mean) else estimate.words
