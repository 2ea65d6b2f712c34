"""Curves of accuracy against the number of training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lib.evaluation.intervals import Interval
from lib.figures.style import STYLE, colour, plain, plain_lines

_LETTERS = 60
_MARKS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class Line:
    """One head on one input."""

    name: str
    input: int
    """Position among the inputs; lines of one have one colour."""
    sizes: Sequence[float]
    """Training images a class, rising."""
    means: Sequence[Interval]
    values: Sequence[Sequence[float]]
    """Of each size, one a draw."""


def scaling_curves(lines: Sequence[Line], inputs: Sequence[str], title: str) -> Figure:
    """Accuracy against training images a class on a logarithmic axis: a mean, its band, and a dot a draw.

    One colour an input, one mark a head; of a single input one colour a head.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 4.4 + 0.2 * len(lines)))
        axis = figure.subplots()
        places = dict.fromkeys(range(len(inputs)), 0)
        for place, line in enumerate(lines):
            mark = _MARKS[places[line.input] % len(_MARKS)]
            style = ("-", "--", ":", "-.")[places[line.input] % 4]
            places[line.input] += 1
            shade, sizes = colour(line.input if len(inputs) > 1 else place), np.asarray(line.sizes)
            low, mean, high = np.array([(each.low, each.estimate, each.high) for each in line.means]).T
            axis.fill_between(sizes, low, high, color=shade, alpha=0.12, linewidth=0)
            axis.plot(sizes, mean, style, color=shade, marker=mark, markersize=4, label=plain(line.name, _LETTERS))
            for size, values in zip(line.sizes, line.values, strict=True):
                axis.plot([size] * len(values), values, ".", color=shade, alpha=0.35, markersize=3)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_xlabel("training images a class")
        axis.set_ylabel("test accuracy")
        figure.legend(loc="outside lower center", ncols=2)
        figure.suptitle(plain_lines(title))
    return figure
