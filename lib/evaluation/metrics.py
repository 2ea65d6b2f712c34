"""What is taken of a classifier's probabilities besides its measures: their digest, and the rows it was surely wrong about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def prediction_digest(probabilities: npt.NDArray[np.floating]) -> str:
    """SHA-256 over the probabilities, shape (n, classes); two different models do not share it.

    Empty where all are equal, as a diverged network's: that distinguishes no model from another.
    """
    if np.ptp(probabilities) == 0:
        return ""
    return hashlib.sha256(np.ascontiguousarray(probabilities).tobytes()).hexdigest()


def decided(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Probabilities, shape (n, classes), with equal ones in rows that are not finite: a diverged network predicts nothing."""
    whole = np.isfinite(probabilities).all(axis=1, keepdims=True)
    return np.where(whole, probabilities, probabilities.dtype.type(1 / probabilities.shape[1]))


def normalised(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Probabilities, shape (n, classes), in float64: none quite 0, so that every log loss is finite, rows adding up to 1."""
    exact = np.clip(probabilities.astype(np.float64), 1e-15, None)
    exact /= exact.sum(axis=1, keepdims=True)
    return exact


@dataclass(frozen=True)
class WrongRow:
    """A row that was classified wrongly: its place, its class, the predicted one, and the probabilities of both."""

    row: int
    true: int
    predicted: int
    probability: float
    probability_of_true: float


def most_surely_wrong(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating], most: int
) -> list[WrongRow]:
    """The wrongly classified rows, at most `most`, the surest first (of equally sure ones, the earliest)."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:most]
    return [
        WrongRow(
            int(row),
            int(labels[row]),
            int(predicted[row]),
            float(probabilities[row, predicted[row]]),
            float(probabilities[row, labels[row]]),
        )
        for row in order
    ]


def confused_pairs(confusion: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """True and predicted class of all wrong predictions, the most frequent first; of equal ones the larger share of its class.

    >>> confused_pairs(np.array([[5, 1, 0], [2, 0, 0], [1, 0, 0]]))
    [(1, 0), (2, 0), (0, 1)]
    """
    wrong = confusion - np.diag(confusion.diagonal())
    true, predicted = np.nonzero(wrong)
    order = np.lexsort((predicted, true, confusion.sum(axis=1)[true], -wrong[true, predicted]))
    return list(zip(true[order].tolist(), predicted[order].tolist(), strict=True))
