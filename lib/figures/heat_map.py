"""The objective over two settings of a sweep as a heat map."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.figures.search import Attempt, Dimension, short, words
from lib.figures.style import PALETTE, STYLE, plain_lines

_BINS = 8
"""Cells that a range is cut into, at most."""

_MOST, _WRITTEN, _NAMED = 60, 12, 14
"""Cells of a side at most, cells up to which their values are written, and about how many places of a side are named."""

_COLOURS = colormaps["cividis"]  # made for colour-blind readers; dark is low


@dataclass(frozen=True)
class _Side:
    """One side of the map: how many cells, which one a value lies in, and what is written at which place."""

    cells: int
    cell: Callable[[Any], int]
    marks: tuple[tuple[float, str], ...]

    def name(self, axis: Axis) -> None:
        """Write the marks on an axis, every n-th where they are many."""
        step = math.ceil(len(self.marks) / _NAMED)
        axis.set_ticks([place for place, _ in self.marks[::step]], [text for _, text in self.marks[::step]])


def heat_map(attempts: Sequence[Attempt], over: tuple[Dimension, Dimension], title: str) -> Figure:
    """The lowest objective in each cell of two dimensions; that of all cells is framed. Colours are logarithmic.

    Parameters
    ----------
    attempts : sequence of Attempt
        One a configuration.
    over : two of Dimension
        A range is cut into cells of equal width on its scale.
    """
    sides = [_side(each) for each in over]
    across, down = sorted((0, 1), key=lambda place: -sides[place].cells)  # the longer side lies
    values = np.full((sides[down].cells, sides[across].cells), np.nan)
    tried = np.zeros(values.shape, int)
    for each in attempts:
        place = tuple(sides[index].cell(each.values[over[index].name]) for index in (down, across))
        tried[place] += 1
        if each.finished:
            values[place] = np.nanmin([values[place], max(each.objective, 1e-12)])
    known = np.isfinite(values)
    with rc_context(STYLE | {"axes.grid": False}):
        height, width = values.shape
        written = max(values.shape) <= _WRITTEN
        figure = Figure(figsize=(max(6.4, 2.6 + 0.62 * min(width, 18)), max(2.8, 1.7 + 0.4 * min(height, 18))))
        axis = figure.subplots()
        if known.any():
            low, high = float(values[known].min()), float(values[known].max())
            scale = LogNorm(low, high if high > low else low * 1.01)
            picture = axis.imshow(values, cmap=_COLOURS, norm=scale, aspect="auto", interpolation="nearest")
            bar = figure.colorbar(picture, label="best validation\ncross-entropy (nats)")
            bar.minorticks_off()
            middle = math.sqrt(low * high)
            bar.set_ticks([low, middle, high] if high > low else [low])
            bar.set_ticklabels([f"{each:.3g}" for each in ([low, middle, high] if high > low else [low])])
        for place in zip(*np.nonzero(written & known), strict=True):
            colour = "white" if scale(values[place]) < 0.55 else "black"
            axis.text(place[1], place[0], f"{values[place]:.3g}", ha="center", va="center", color=colour, fontsize=8)
        for place in zip(*np.nonzero((tried > 0) & ~known), strict=True):
            axis.text(place[1], place[0], "×", ha="center", va="center", color=PALETTE[8], fontsize=9)
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylim(-0.5, height - 0.5)  # upwards
        sides[across].name(axis.xaxis)
        sides[down].name(axis.yaxis)
        axis.set_xlabel(words(over[across].name) + (" (log)" if over[across].log else ""))
        axis.set_ylabel(words(over[down].name) + (" (log)" if over[down].log else ""))
        note = "of several in a cell, the lowest" if (tried > 1).any() else "mean over seeds"
        if known.any():
            best = np.unravel_index(np.nanargmin(values), values.shape)
            axis.add_patch(
                Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False, edgecolor=PALETTE[1], linewidth=2)
            )
            note += f"; framed: {values[best]:.3g}, the lowest"
        if ((tried > 0) & ~known).any():
            note += "; ×: none finished"
        figure.suptitle(f"{plain_lines(title)}\n{note}", fontsize=10, fontweight="bold")
    return figure


def _side(dimension: Dimension) -> _Side:
    if dimension.choices:
        cell_of = {
            value: place * _MOST // max(_MOST, len(dimension.choices)) for place, value in enumerate(dimension.choices)
        }
        first = {cell: value for value, cell in reversed(cell_of.items())}
        return _Side(len(first), cell_of.__getitem__, tuple((cell, short(first[cell])) for cell in sorted(first)))
    if dimension.whole and dimension.high - dimension.low < _BINS:
        low = int(dimension.low)
        every = range(low, int(dimension.high) + 1)
        return _Side(len(every), lambda value: int(value) - low, tuple((n - low, str(n)) for n in every))
    scale, back = (math.log, math.exp) if dimension.log else (float, float)
    start, width = scale(dimension.low), (scale(dimension.high) - scale(dimension.low)) / _BINS
    marks = tuple((edge - 0.5, short(float(f"{back(start + edge * width):.3g}"))) for edge in range(_BINS + 1))
    return _Side(_BINS, lambda value: min(_BINS - 1, int((scale(value) - start) / width)), marks)
