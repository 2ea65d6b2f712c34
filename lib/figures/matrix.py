"""The confusion matrix; of many classes it is clustered, and the largest confusions stand beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from lib.evaluation.metrics import confused_pairs
from lib.figures.style import LEAST_WIDTH, PALETTE, STYLE, plain, plain_lines

_SHOWN, _COUNTED, _LETTERS = 30, 15, 24
"""Classes up to which all are named, classes up to which counts are written, and letters of a class name, at most."""

_LARGEST, _CELLS = 20, 250
"""Confusions that are named, and cells of a side of a clustered matrix, at most."""


def confusion_matrix(confusion: npt.NDArray[np.int64], class_names: Sequence[str], title: str) -> Figure:
    """Counts and row shares, shape (classes, classes): rows are true classes, columns predicted ones, both labelled.

    Of more than 30 classes those that are confused lie side by side, without names, and the largest confusions are named.
    """
    confusion = np.asarray(confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    with rc_context(STYLE | {"axes.grid": False}):
        if len(class_names) <= _SHOWN:
            return _whole(confusion, shares, class_names, title)
        figure = Figure(figsize=(14, 6.6))
        matrix, largest = figure.subplots(1, 2, width_ratios=(1.3, 1))
        picture = _clustered(matrix, confusion, shares)
        figure.colorbar(picture, ax=matrix, label="share of the true class", shrink=0.8)
        _largest(largest, confusion, shares, class_names)
        figure.suptitle(plain_lines(title))
    return figure


def clustered_order(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The classes in an order in which those that are confused with each other lie together, by average linkage."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    distance = 1 - np.minimum(shares + shares.T, 1)
    np.fill_diagonal(distance, 0)
    order: npt.NDArray[np.int64] = leaves_list(linkage(squareform(distance, checks=False), "average"))
    return order


def _whole(
    confusion: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], class_names: Sequence[str], title: str
) -> Figure:
    names = [plain(name, _LETTERS) for name in class_names]
    written = len(names) <= _COUNTED
    size = 2.6 + (0.55 if written else 0.22) * len(names)
    figure = Figure(figsize=(max(size + 0.8, LEAST_WIDTH), size))
    axis = figure.subplots()
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(confusion.shape if written else (0, 0)):
        colour = "white" if shares[row, column] > 0.55 else "black"
        text = f"{confusion[row, column]}\n{shares[row, column]:.1%}"
        axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    fits = len(names) <= 4 and max(map(len, names)) <= 10
    axis.set_xticks(range(len(names)), names, fontsize=8 if written else 6)
    if not fits:
        axis.tick_params("x", rotation=45, rotation_mode="xtick")
    axis.set_yticks(range(len(names)), names, fontsize=8 if written else 6)
    axis.set_xlabel("predicted class (columns)")
    axis.set_ylabel("true class (rows)")
    figure.suptitle(plain_lines(title))
    figure.colorbar(picture, label="share of the true class", shrink=0.8)
    return figure


def _clustered(axis: Axes, confusion: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> AxesImage:
    order = clustered_order(confusion)
    classes = len(order)
    bounds = np.linspace(0, classes, min(classes, _CELLS) + 1).astype(int)[:-1]
    ordered = shares[np.ix_(order, order)]
    cells = np.maximum.reduceat(np.maximum.reduceat(ordered, bounds, axis=0), bounds, axis=1)
    extent = (0.5, classes + 0.5, classes + 0.5, 0.5)
    # By the square root of shares, so that few rows of a class are seen.
    picture = axis.imshow(cells, cmap="Blues", norm=PowerNorm(0.5, 0, 1), extent=extent, interpolation="nearest")
    axis.set_xlabel("predicted class (columns)")
    axis.set_ylabel("true class (rows)")
    several = f"\neach cell: the largest share of {-(-classes // _CELLS)} by as many" if classes > _CELLS else ""
    axis.set_title(f"All {classes:,} classes, clustered by confusion{several}")
    return picture


def _largest(
    axis: Axes, confusion: npt.NDArray[np.int64], shares: npt.NDArray[np.float64], class_names: Sequence[str]
) -> None:
    pairs = confused_pairs(confusion)
    shown = pairs[:_LARGEST]
    names = [" \N{RIGHTWARDS ARROW} ".join(plain(class_names[each], _LETTERS - 4) for each in pair) for pair in shown]
    bars = axis.barh(range(len(shown)), [confusion[pair] for pair in shown], color=PALETTE[0])
    axis.bar_label(bars, [f"{confusion[pair]:,} ({shares[pair]:.0%})" for pair in shown], padding=3, fontsize=8)
    axis.set_yticks(range(len(shown)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.2)
    axis.set_xlabel("rows, true \N{RIGHTWARDS ARROW} predicted (share of the true)")
    axis.set_title(f"The {len(shown)} largest of {len(pairs):,} confusions" if pairs else "No row is of another class")
