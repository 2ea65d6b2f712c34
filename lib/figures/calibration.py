"""How well probabilities are calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.evaluation.calibration import BINS, Bin
from lib.figures.style import STYLE, colour, plain, plain_lines

_GREY = "0.55"


def calibration_curves(
    models: Mapping[str, Sequence[Bin]], classes: int, title: str, rows_are: str = "test rows"
) -> Figure:
    """Accuracy against confidence in bins of equal width, with Wilson's 95 % intervals; below, the rows in each bin.

    `models` maps a model's name to its bins that have rows.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.2))
        curve, rows = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        diagonal = [1 / classes, 1]
        curve.plot(diagonal, diagonal, color=_GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
        for index, (name, bins) in enumerate(models.items()):
            confidence, accuracy = [each.confidence for each in bins], [each.accuracy.estimate for each in bins]
            below = [each.accuracy.estimate - each.accuracy.low for each in bins]
            above = [each.accuracy.high - each.accuracy.estimate for each in bins]
            curve.errorbar(
                confidence,
                accuracy,
                (np.maximum(below, 0), np.maximum(above, 0)),
                color=colour(index),
                marker="os^D"[index % 4],
                markersize=4,
                capsize=2,
                linewidth=1,
                label=plain(name, 40),
            )
            counts = np.zeros(BINS)
            counts[[round(each.low * BINS) for each in bins]] = [each.rows for each in bins]
            rows.stairs(counts, np.linspace(0, 1, BINS + 1), color=colour(index), linewidth=1.2)
        curve.set_ylabel("accuracy")
        curve.set_ylim(-0.03, 1.03)
        rows.set_ylabel(rows_are)
        rows.set_xlabel("confidence: probability of the predicted class")
        rows.set_xlim(1 / classes - 0.03, 1.03)
        figure.legend(*curve.get_legend_handles_labels(), loc="outside lower center", ncols=1)
        figure.suptitle(plain_lines(title))
    return figure
