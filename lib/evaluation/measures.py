"""What a classifier's test probabilities are worth: scikit-learn's measures, each with a bootstrap interval.

The bootstrap draws test rows (or groups of them) within each class. A resample is a weight a
row, and every measure is taken on all resamples at once, as weighted sums; nothing is sorted or counted again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn import metrics

from lib.evaluation.calibration import bin_of, expected_calibration_error
from lib.evaluation.intervals import LOSS, SHARE, Interval
from lib.evaluation.metrics import normalised
from lib.evaluation.resampling import Labels, Units, resamples

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Measure:
    """A measure in words, whether more of it is better, and the values it can have."""

    words: str
    higher_is_better: bool = True
    within: tuple[float, float] = SHARE


MEASURES = {
    "test_accuracy": Measure("accuracy"),
    "test_balanced_accuracy": Measure("balanced accuracy"),
    "test_f1": Measure("F1"),
    "test_f1_macro": Measure("F1, mean over classes"),
    "roc_auc": Measure("ROC AUC"),
    "average_precision": Measure("PR AUC (average precision)"),
    "test_loss": Measure("log loss (nats)", False, LOSS),
    "test_brier": Measure("Brier score", False, (0.0, 2.0)),
    "test_ece": Measure("expected calibration error", False),
}
"""Named as they appear in MLflow. F1 is of class 1, and areas and curves are of class 1, where there are two classes; with
more, F1 is the mean over classes, and the areas are micro-averaged over one-vs-rest."""

RESAMPLES = 500
_AT_ONCE = 1 << 20
"""Weights in memory at once (8 bytes each, in a few copies)."""


def one_vs_rest(labels: Labels, probabilities: Floats) -> tuple[Labels, Floats]:
    """Truths (0 or 1) and scores that ROC and precision-recall are taken of: class 1 of two, else every class of every row.

    Both have shape (n,) for two classes, (n * classes,) for more.
    """
    classes = probabilities.shape[1]
    if classes == 2:
        return (labels == 1).astype(np.int64), probabilities[:, 1]
    return np.eye(classes, dtype=np.int64)[labels].ravel(), probabilities.ravel()


def estimates(labels: Labels, probabilities: Floats) -> dict[str, float]:
    """`MEASURES` of probabilities, shape (n, classes), on labels, shape (n,) with values 0..classes-1."""
    exact = normalised(probabilities)
    predicted = probabilities.argmax(axis=1)
    every = range(exact.shape[1])
    truth, scores = one_vs_rest(labels, probabilities)
    present = np.unique(labels)
    f1_macro = metrics.f1_score(labels, predicted, labels=every, average="macro", zero_division=0)
    return {
        "test_accuracy": float(metrics.accuracy_score(labels, predicted)),
        # scikit-learn's balanced accuracy, without its warning of classes that are predicted and have no test row
        "test_balanced_accuracy": float(
            metrics.recall_score(labels, predicted, labels=present, average="macro", zero_division=0)
        ),
        "test_f1": float(metrics.f1_score(labels, predicted, zero_division=0) if len(every) == 2 else f1_macro),
        "test_f1_macro": float(f1_macro),
        "roc_auc": float(metrics.roc_auc_score(truth, scores)) if 0 < truth.sum() < len(truth) else math.nan,
        "average_precision": float(metrics.average_precision_score(truth, scores)) if truth.any() else math.nan,
        "test_loss": float(metrics.log_loss(labels, exact, labels=every)),
        "test_brier": float(metrics.brier_score_loss(labels, exact, labels=every)),
        "test_ece": expected_calibration_error(labels, exact),
    }


def measure(
    labels: Labels, probabilities: Floats, groups: Labels | None = None, count: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """`estimates` with 95 % intervals of a bootstrap over the test rows, stratified by class.

    Rows of one of `groups`, shape (n,), are drawn together: patches of one photograph say less than as many photographs.
    Intervals run between the resamples' 2.5th and 97.5th percentiles. Of the calibration error they are mirrored at the
    estimate (the basic bootstrap), for that error grows with resampling, and widened where they would not hold it.
    """
    found = estimates(labels, probabilities)
    at_once = max(1, _AT_ONCE // probabilities.size)
    parts = [
        weighted_measures(labels, probabilities, weights)
        for weights in resamples(Units.of(labels, groups), count, seed, at_once)
    ]
    return {
        name: _interval(name, value, np.concatenate([part[name] for part in parts])) for name, value in found.items()
    }


def flat(measured: dict[str, Interval]) -> dict[str, float]:
    """Estimates and ends of their intervals as single figures.

    The accuracy's own ends are Wilson's (`lib.evaluation.metrics`), so the bootstrap's carry its name.
    """
    ends = {name: name if name != "test_accuracy" else f"{name}_bootstrap" for name in measured}
    return (
        {name: each.estimate for name, each in measured.items()}
        | {f"{ends[name]}_low": each.low for name, each in measured.items()}
        | {f"{ends[name]}_high": each.high for name, each in measured.items()}
    )


def weighted_measures(labels: Labels, probabilities: Floats, weights: Floats) -> dict[str, npt.NDArray[np.float64]]:
    """`estimates` of rows that count several times or not at all: for each row of `weights`, (k, n), one value, (k,).

    Every class that has rows must keep some.
    """
    exact = normalised(probabilities)
    rows, classes = exact.shape
    predicted = probabilities.argmax(axis=1)
    right = predicted == labels
    total = weights.sum(axis=1)

    def per(group: Labels, value: Floats, groups: int) -> npt.NDArray[np.float64]:
        """Weighted sums of `value` over the rows of each group, (k, groups)."""
        place = csr_array((value.astype(np.float64), (group, np.arange(rows))), shape=(groups, rows))
        sums: npt.NDArray[np.float64] = (place @ weights.T).T
        return sums

    ones = np.ones(rows)
    hits, size, said = per(labels, right, classes), per(labels, ones, classes), per(predicted, ones, classes)
    f1 = 2 * hits / np.maximum(size + said, 1e-300)
    held = np.bincount(labels, minlength=classes) > 0
    squares = ((exact - np.eye(classes)[labels]) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    confidence = exact.max(axis=1)
    gaps = per(bin_of(confidence), right - confidence, int(bin_of(np.ones(1))[0]) + 1)
    roc_auc, average_precision = _areas(*one_vs_rest(labels, probabilities), weights)
    return {
        "test_accuracy": weights @ right / total,
        "test_balanced_accuracy": (hits[:, held] / size[:, held]).mean(axis=1),
        "test_f1": f1[:, 1] if classes == 2 else f1.mean(axis=1),
        "test_f1_macro": f1.mean(axis=1),
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "test_loss": weights @ -np.log(exact[np.arange(rows), labels]) / total,
        "test_brier": weights @ squares / total,
        "test_ece": np.abs(gaps).sum(axis=1) / total,
    }


def _areas(truth: Labels, scores: Floats, weights: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Area under ROC by trapezia, and average precision, of each row of weights; rows of one score are one step."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    in_order = weights[:, order // (len(truth) // weights.shape[1])]  # a row's weight counts for each of its classes
    hits = np.cumsum(in_order * truth[order], axis=1)[:, ends]
    shown = np.cumsum(in_order, axis=1)[:, ends]
    steps = np.diff(hits, axis=1, prepend=0)
    misses = np.diff(shown, axis=1, prepend=0) - steps
    positives = hits[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        roc_auc = (misses * (hits - steps / 2)).sum(axis=1) / (positives * (shown[:, -1] - positives))
        average_precision = (steps * hits / np.maximum(shown, 1e-300)).sum(axis=1) / positives
    return roc_auc, average_precision


def _interval(name: str, estimate: float, resampled: npt.NDArray[np.float64]) -> Interval:
    low, high = (float(end) for end in np.percentile(resampled, (2.5, 97.5)))
    if name == "test_ece":
        low, high = min(2 * estimate - high, estimate), max(2 * estimate - low, estimate)
    least, most = MEASURES[name].within
    return Interval(estimate, max(low, least), min(high, most))
