"""Rows in the plane, coloured by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.figures.style import GREY, PALETTE, STYLE, plain, plain_lines

_LETTERS = 24
"""Of a class name in the legend, at most."""


def scatter(
    points: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    title: str,
    axis_labels: tuple[str, str],
) -> Figure:
    """Rows in the plane, shape (n, 2), coloured by class, drawn in mixed order so that no class covers another.

    Of more than ten classes the most frequent nine have a colour each.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(6.2, 5))
        axis = figure.subplots()
        draw_classes(axis, points, labels, class_names, len(PALETTE), _LETTERS, 7)
        axis.set_xlabel(plain(axis_labels[0]))
        axis.set_ylabel(plain(axis_labels[1]))
        figure.suptitle(plain_lines(title))
        figure.legend(loc="outside right center")
    return figure


def draw_classes(
    axis: Axes,
    points: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    colours: int,
    letters: int,
    size: float,
) -> None:
    """Draw points of `size`; where there are more classes than `colours`, the least frequent share one that is grey."""
    counts = np.bincount(labels, minlength=len(class_names))
    every = len(class_names) <= colours
    named = range(len(class_names)) if every else sorted(np.argsort(-counts, kind="stable")[: colours - 1].tolist())
    colour_of = np.full(len(class_names), GREY, dtype=object)
    for index, label in enumerate(named):
        colour_of[label] = PALETTE[index]
        axis.scatter([], [], color=PALETTE[index], label=plain(class_names[label], letters), s=20)
    if not every:
        axis.scatter([], [], color=GREY, label=f"{len(class_names) - len(named)} other classes", s=20)
    drawn = colour_of[labels]
    order = np.random.default_rng(0).permutation(len(points))
    order = order[np.argsort(drawn[order] != GREY, kind="stable")]  # classes without a name lie below those with one
    axis.scatter(points[order, 0], points[order, 1], c=drawn[order].tolist(), s=size, alpha=0.6, linewidths=0)
