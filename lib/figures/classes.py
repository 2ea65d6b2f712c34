"""How many images each class has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.figures.style import STYLE, colour, plain, plain_lines

_NAMED, _LETTERS = 40, 24
"""Classes up to which each is named, and letters of a name, at most."""


def class_distribution(counts: Mapping[str, Mapping[str, int]], title: str) -> Figure:
    """Images of each class in each split; `counts` maps split -> class name -> images.

    More than 40 classes are a line in the order of their sizes, without names.
    """
    with rc_context(STYLE):
        names = list(next(iter(counts.values())))
        figure = Figure(figsize=(7 if len(names) > _NAMED else max(6, 0.3 * len(names)), 3.4))
        axis = figure.subplots()
        width = 0.8 / len(counts)
        for index, (split, of_class) in enumerate(counts.items()):
            sizes = [of_class[name] for name in names]
            if len(names) > _NAMED:
                axis.plot(
                    range(1, len(names) + 1), sorted(sizes, reverse=True), color=colour(index), label=plain(split)
                )
                continue
            places = np.arange(len(names)) + (index - (len(counts) - 1) / 2) * width
            bars = axis.bar(places, sizes, width * 0.92, color=colour(index), label=plain(split))
            if len(names) <= 12:
                axis.bar_label(bars, fontsize=8)
        if len(names) > _NAMED:
            axis.set_xlabel(f"{len(names)} classes, the largest of each split first")
            axis.set_ylim(bottom=0)
        else:
            axis.set_xticks(range(len(names)), [plain(name, _LETTERS) for name in names])
            if len(names) > 6:
                axis.tick_params("x", rotation=45, rotation_mode="xtick")
            axis.grid(axis="x", visible=False)
        axis.set_ylabel("images")
        figure.suptitle(plain_lines(title))
        figure.legend(loc="outside right upper")
    return figure
