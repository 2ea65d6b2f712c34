"""Figures of a tested classifier beside those in `figures`: its calibration, and what it was most surely wrong about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.evaluation.calibration import BINS, reliability
from lib.evaluation.figures import PALETTE, STYLE, sample_grid

_GREY = "0.55"


def calibration_curves(
    labels: npt.NDArray[np.int64], probabilities: Mapping[str, npt.NDArray[np.floating]], title: str
) -> Figure:
    """Accuracy against confidence in bins of equal width, with Wilson's 95 % intervals; below, the rows in each bin.

    `probabilities` maps model name -> (n, classes).
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.2))
        curve, rows = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        classes = next(iter(probabilities.values())).shape[1]
        curve.plot(
            [1 / classes, 1], [1 / classes, 1], color=_GREY, linestyle="--", linewidth=1, label="as sure as right"
        )
        for index, (name, values) in enumerate(probabilities.items()):
            bins, colour = reliability(labels, values), PALETTE[index]
            sure, right = [each.confidence for each in bins], [each.accuracy.estimate for each in bins]
            below = [each.accuracy.estimate - each.accuracy.low for each in bins]
            above = [each.accuracy.high - each.accuracy.estimate for each in bins]
            error = (np.maximum(below, 0), np.maximum(above, 0))
            mark = "os^D"[index % 4]
            curve.errorbar(
                sure, right, error, color=colour, marker=mark, markersize=4, capsize=2, linewidth=1, label=name
            )
            counts, edges = np.histogram(values.max(axis=1), BINS, (0, 1))
            rows.stairs(counts, edges, color=colour, linewidth=1.2)
        curve.set_ylabel("share that was right")
        curve.set_ylim(-0.03, 1.03)
        rows.set_ylabel("test images")
        rows.set_xlabel("confidence: probability of the predicted class")
        rows.set_xlim(1 / classes - 0.03, 1.03)
        figure.legend(*curve.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.suptitle(title)
    return figure


@dataclass(frozen=True)
class Wrong:
    """A test row that was answered wrongly: its place, its class, the class said, and how probable that was called."""

    row: int
    true: str
    predicted: str
    probability: float
    probability_of_true: float


def most_surely_wrong(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating], class_names: Sequence[str], most: int
) -> list[Wrong]:
    """The wrongly answered rows, at most `most`, the surest first (of equally sure ones, the earliest)."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:most]
    return [
        Wrong(
            int(row),
            class_names[labels[row]],
            class_names[predicted[row]],
            float(probabilities[row, predicted[row]]),
            float(probabilities[row, labels[row]]),
        )
        for row in order
    ]


def wrong_images(images: Sequence[npt.NDArray[np.uint8]], wrong: Sequence[Wrong], title: str) -> Figure:
    """The images of `wrong` in rows, each with its class, the class said, and the probability that was given to it."""
    words = [f"true {each.true}\nsaid {each.predicted}\n{each.probability:.1%} sure" for each in wrong]
    return sample_grid(images, words, title, columns=6, size=(1.3, 1.65))
