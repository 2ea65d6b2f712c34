"""Accuracies as bars with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.evaluation.intervals import Interval
from lib.figures.baseline_lines import BaselineLine, draw_lines, legend_keys
from lib.figures.style import STYLE, colour, plain

_LETTERS = 28
"""Of a line of the name below a bar, at most."""


@dataclass(frozen=True)
class Bar:
    """The accuracy of one series at one place."""

    label: str
    series: str
    accuracy: Interval


def accuracy_bars(
    bars: Sequence[Bar], title: str, baselines: Sequence[BaselineLine] = (), quantity: str = "test accuracy"
) -> Figure:
    """Accuracies side by side, one colour a series, with 95 % intervals and the value on each bar.

    Baselines are lines across where they are near.
    """
    with rc_context(STYLE):
        labels = list(dict.fromkeys(each.label for each in bars))
        series = list(dict.fromkeys(each.series for each in bars))
        figure = Figure(figsize=(max(5.0, 1.7 * len(labels)), 3.6))
        axis = figure.subplots()
        width = 0.8 / len(series)
        named: set[str] = set()
        for each in bars:
            index, accuracy = series.index(each.series), each.accuracy
            place = labels.index(each.label) + (index - (len(series) - 1) / 2) * width
            errors = [
                [max(0.0, accuracy.estimate - accuracy.low)],
                [max(0.0, accuracy.high - accuracy.estimate)],
            ]
            name = None if each.series in named else plain(each.series)
            named.add(each.series)
            axis.bar(place, accuracy.estimate, width * 0.92, yerr=errors, color=colour(index), label=name, capsize=3)
            axis.text(place, accuracy.high, f"{accuracy.estimate:.4f}", ha="center", va="bottom", fontsize=8)
        low = min(each.accuracy.low for each in bars)
        high = max(each.accuracy.high for each in bars)
        room = max(0.01, high - low)
        axis.set_ylim(max(0.0, low - 0.5 * room), high + 0.3 * room)
        drawn = draw_lines(axis, [each.accuracy for each in baselines], low, high, "y")
        axis.set_xticks(range(len(labels)), [plain(label, _LETTERS) for label in labels])
        axis.set_ylabel(f"{quantity} (axis does not start at 0)")
        axis.grid(axis="x", visible=False)
        keys, _ = axis.get_legend_handles_labels()
        lines = legend_keys(baselines, [[each] for each in drawn], " {}")
        figure.legend(handles=[*keys, *lines], loc="outside lower center", ncols=2)
        axis.set_title(plain(title))
    return figure
