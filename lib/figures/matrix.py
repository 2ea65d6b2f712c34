"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.figures.style import LEAST_WIDTH, STYLE, plain

_SHOWN, _COUNTED, _LETTERS = 40, 15, 24
"""Classes that are shown, classes up to which counts are written, and letters of a class name, all at most."""


def confusion_matrix(confusion: npt.NDArray[np.int64], class_names: Sequence[str], title: str) -> Figure:
    """Counts and row shares, shape (classes, classes): rows are true classes, columns predicted ones, both labelled.

    Of more than 40 classes those with the most wrong predictions, of or as them, are shown, and the title says so.
    """
    confusion = np.asarray(confusion)
    classes = len(class_names)
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    heading = plain(title)
    shown = np.arange(classes)
    if classes > _SHOWN:
        wrong = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
        shown = np.sort(np.argsort(-wrong, kind="stable")[:_SHOWN])
        heading += f"\nthe {_SHOWN} of {classes} classes with the most wrong predictions"
    shares, counts = (confusion / totals)[np.ix_(shown, shown)], confusion[np.ix_(shown, shown)]
    names = [plain(class_names[index], _LETTERS) for index in shown.tolist()]
    written = len(shown) <= _COUNTED
    with rc_context(STYLE | {"axes.grid": False}):
        size = 2.6 + (0.55 if written else 0.22) * len(shown)
        figure = Figure(figsize=(max(size + 0.8, LEAST_WIDTH), size))
        axis = figure.subplots()
        picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(counts.shape if written else (0, 0)):
            colour = "white" if shares[row, column] > 0.55 else "black"
            text = f"{counts[row, column]}\n{shares[row, column]:.1%}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        fits = len(shown) <= 4 and max(map(len, names)) <= 10
        axis.set_xticks(range(len(shown)), names, fontsize=8 if written else 6)
        if not fits:
            axis.tick_params("x", rotation=45, rotation_mode="xtick")
        axis.set_yticks(range(len(shown)), names, fontsize=8 if written else 6)
        axis.set_xlabel("predicted class (columns)")
        axis.set_ylabel("true class (rows)")
        axis.set_title(heading)
        figure.colorbar(picture, label="share of the true class", shrink=0.8)
    return figure
