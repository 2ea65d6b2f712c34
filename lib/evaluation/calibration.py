"""Whether probabilities mean what they say: of rows that a model is 80 % sure of, are 80 % right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import Interval, wilson

BINS = 15
"""Bins of equal width, as Guo et al. 2017 (ICML, "On calibration of modern neural networks") count them."""


@dataclass(frozen=True)
class Bin:
    """Rows whose highest probability lies above `low` and at most at `high`.

    `confidence` is the mean of those probabilities; `accuracy` the share that was right, with Wilson's 95 % interval.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: Interval


def bin_of(confidence: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """The bin, 0..BINS-1, of each confidence in (0, 1]; a bin holds its upper edge."""
    places: npt.NDArray[np.int64] = np.clip(np.ceil(np.asarray(confidence) * BINS) - 1, 0, BINS - 1).astype(np.int64)
    return places


def reliability(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]) -> list[Bin]:
    """The bins that have rows, in order; probabilities have shape (n, classes), labels (n,)."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = bin_of(confidence)
    return [
        Bin(
            float(place / BINS),
            float((place + 1) / BINS),
            int(held.sum()),
            float(confidence[held].mean()),
            wilson(int(right[held].sum()), int(held.sum())),
        )
        for place in np.unique(places)
        if (held := places == place).any()
    ]
