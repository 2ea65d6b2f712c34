"""Metrics of a classifier from its predicted probabilities, by scikit-learn's definitions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from lib.evaluation.intervals import Interval, wilson


@dataclass(frozen=True)
class Scores:
    """Figures of one classifier on one set of rows.

    Attributes
    ----------
    accuracy : Interval
        Share of right predictions, with its 95 % Wilson interval.
    f1 : float
        F1 of class 1 for two classes, macro F1 for more.
    log_loss : float
        Mean cross-entropy in nats.
    majority : float
        Accuracy of always predicting the most frequent class.
    confusion : ndarray of int64, shape (classes, classes)
        Rows are true classes, columns predicted ones.
    prediction_digest : str
        SHA-256 over the probabilities; two different models do not share it. Empty where all are equal, as a diverged network's:
        that distinguishes no model from another.
    """

    accuracy: Interval
    f1: float
    log_loss: float
    majority: float
    confusion: npt.NDArray[np.int64]
    prediction_digest: str

    def summary(self) -> dict[str, float]:
        """The scalar figures, without the name of the rows."""
        return {
            "accuracy": self.accuracy.estimate,
            "accuracy_low": self.accuracy.low,
            "accuracy_high": self.accuracy.high,
            "f1": self.f1,
            "loss": self.log_loss,
        }


def score(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]) -> Scores:
    """Score predicted probabilities, shape (n, classes), against labels, shape (n,) with values 0..classes-1."""
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    right = int((predicted == labels).sum())
    exact = normalised(probabilities)
    return Scores(
        accuracy=wilson(right, len(labels)),
        f1=float(metrics.f1_score(labels, predicted, average="binary" if classes == 2 else "macro", zero_division=0)),
        log_loss=float(-np.log(exact[np.arange(len(labels)), labels]).mean()),
        majority=float(np.bincount(labels, minlength=classes).max() / len(labels)),
        confusion=metrics.confusion_matrix(labels, predicted, labels=range(classes)),
        prediction_digest=_digest(probabilities),
    )


def _digest(probabilities: npt.NDArray[np.floating]) -> str:
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
