"""What a classifier's probabilities are worth on rows with labels: scikit-learn's measures, each with a bootstrap interval.

The bootstrap draws rows (or groups of them) within each class. A resample is a weight a row, and every measure is taken
on all resamples at once, as weighted sums; nothing is sorted or counted again. A new measure is one function of
`WeightedRows` and one entry of `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from lib.errors import ConfigError
from lib.evaluation.calibration import BINS, bin_of
from lib.evaluation.intervals import LOSS, SHARE, Interval
from lib.evaluation.metrics import normalised
from lib.evaluation.resampling import Labels, Units, resamples

Floats = npt.NDArray[np.floating]
Values = npt.NDArray[np.float64]

RESAMPLES = 500
_DRAWN, _AT_ONCE = 1 << 20, 1 << 22
"""Weights of scores that are drawn at once, which decides the draws, and weights of rows in memory (8 bytes each, in a few
copies)."""


@dataclass(frozen=True)
class WeightedRows:
    """Rows that a model predicted, with weights of k resamples, and the sums that several measures share.

    Every class that has rows must keep some in each resample.
    """

    labels: Labels
    """Int64, shape (n,). Values 0..classes-1."""
    probabilities: Floats
    """Shape (n, classes)."""
    weights: Values
    """Float64, shape (k, n). How often each row counts."""

    @property
    def classes(self) -> int:
        """How many classes there are, with rows or without."""
        return int(self.probabilities.shape[1])

    @cached_property
    def normalised(self) -> Values:
        """Probabilities in float64, none quite 0, rows adding up to 1."""
        return normalised(self.probabilities)

    @cached_property
    def predicted(self) -> Labels:
        """The most probable class of each row, shape (n,)."""
        predicted: Labels = self.probabilities.argmax(axis=1)
        return predicted

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether it is the row's own, shape (n,)."""
        right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return right

    @cached_property
    def total(self) -> Values:
        """Sum of weights, shape (k,)."""
        total: Values = self.weights.sum(axis=1)
        return total

    @cached_property
    def hits(self) -> Values:
        """Weight of each class's rows that are right, shape (k, classes)."""
        return self.sums(self.labels, self.right, self.classes)

    @cached_property
    def of_class(self) -> Values:
        """Weight of each class's rows, shape (k, classes)."""
        return self.sums(self.labels, np.ones(len(self.labels)), self.classes)

    @cached_property
    def f1_of_class(self) -> Values:
        """F1 of each class, shape (k, classes); 0 for one that has no rows and is never predicted."""
        predicted = self.sums(self.predicted, np.ones(len(self.labels)), self.classes)
        return 2 * self.hits / np.maximum(self.of_class + predicted, 1e-300)

    @cached_property
    def areas(self) -> tuple[Values, Values]:
        """Area under ROC by trapezia, and average precision, both of shape (k,); rows of one score are one step."""
        truth, scores = one_vs_rest(self.labels, self.probabilities)
        # Only scores of rows' own classes are steps; of all others it counts how many lie between which two of them.
        steps = np.unique(scores[truth])
        place = np.searchsorted(steps, scores, "left") + np.searchsorted(steps, scores, "right")  # 2 i + 1: on step i
        a_row = len(scores) // len(self.labels)
        own = np.flatnonzero(truth)
        shown = self._counted(place, np.repeat(np.arange(len(self.labels)), a_row), 2 * len(steps) + 1)
        hits = self._counted(place[own] // 2, own // a_row, len(steps))
        down_to = np.cumsum(shown[::-1], axis=0)[::-1][1::2]
        others = shown[1::2] - hits
        below = np.cumsum(shown, axis=0)[:-1:2] - np.cumsum(hits, axis=0) + hits
        positives, total = hits.sum(axis=0), shown.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            roc_auc = (hits * (below + others / 2)).sum(axis=0) / (positives * (total - positives))
            precision = np.cumsum(hits[::-1], axis=0)[::-1] / np.maximum(down_to, 1e-300)
            average_precision = (hits * precision).sum(axis=0) / positives
        return roc_auc, average_precision

    def mean(self, value: Floats | npt.NDArray[np.bool_]) -> Values:
        """Weighted mean over rows of `value`, shape (n,), for each resample, shape (k,)."""
        mean: Values = self.weights @ value / self.total
        return mean

    def sums(self, group: Labels, value: Floats | npt.NDArray[np.bool_], groups: int) -> Values:
        """Weighted sums of `value`, shape (n,), over the rows of each `group`, shape (n,): (k, groups)."""
        return self._counted(group, np.arange(len(self.labels)), groups, value).T

    def _counted(
        self, group: Labels, row: Labels, groups: int, value: Floats | npt.NDArray[np.bool_] | None = None
    ) -> Values:
        """Weights of the rows `row`, each times its `value`, summed in each `group`, all of shape (m,): (groups, k)."""
        of_each = np.ones(len(group)) if value is None else value.astype(np.float64)
        place = csr_array((of_each, (group, row)), shape=(groups, len(self.labels)))
        counted: Values = place @ self.weights.T
        return counted


@dataclass(frozen=True)
class Measure:
    """A measure."""

    words: str
    compute: Callable[[WeightedRows], Values]
    """Its value for each resample, shape (k,)."""
    higher_is_better: bool = True
    within: tuple[float, float] = SHARE
    """The values it can have."""
    grows_with_resampling: bool = False
    """Whether it is larger on resampled rows than on new ones. Its interval is then mirrored at the estimate (the
    basic bootstrap), and widened where it would not hold the estimate."""


def _balanced_accuracy(rows: WeightedRows) -> Values:
    held = np.bincount(rows.labels, minlength=rows.classes) > 0
    mean: Values = (rows.hits[:, held] / rows.of_class[:, held]).mean(axis=1)
    return mean


def _f1(rows: WeightedRows) -> Values:
    return rows.f1_of_class[:, 1] if rows.classes == 2 else _f1_macro(rows)


def _f1_macro(rows: WeightedRows) -> Values:
    mean: Values = rows.f1_of_class.mean(axis=1)
    return mean


def _loss(rows: WeightedRows) -> Values:
    return rows.mean(-np.log(rows.normalised[np.arange(len(rows.labels)), rows.labels]))


def _brier(rows: WeightedRows) -> Values:
    squares = ((rows.normalised - np.eye(rows.classes)[rows.labels]) ** 2).sum(axis=1)
    return rows.mean(squares / (2 if rows.classes == 2 else 1))


def _calibration_error(rows: WeightedRows) -> Values:
    confidence = rows.normalised.max(axis=1)
    gaps = rows.sums(bin_of(confidence), rows.right - confidence, BINS)
    error: Values = np.abs(gaps).sum(axis=1) / rows.total
    return error


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy", lambda rows: rows.mean(rows.right)),
    "balanced_accuracy": Measure("balanced accuracy", _balanced_accuracy),
    "f1": Measure("F1", _f1),
    "f1_macro": Measure("F1, mean over classes", _f1_macro),
    "roc_auc": Measure("ROC AUC", lambda rows: rows.areas[0]),
    "average_precision": Measure("PR AUC (average precision)", lambda rows: rows.areas[1]),
    "loss": Measure("log loss (nats)", _loss, False, LOSS),
    "brier": Measure("Brier score", _brier, False, (0.0, 2.0)),
    "ece": Measure("expected calibration error", _calibration_error, False, grows_with_resampling=True),
}
"""Without the name of the rows, which is put before them where runs are logged ("test_accuracy"). F1 is of class 1, and
areas are of class 1, where there are two classes; with more, F1 is the mean over classes, and the areas are micro-averaged
over one-vs-rest. The calibration error is that of Naeini et al. 2015 (AAAI), by the predicted class."""


def register_measure(name: str, measure: Measure) -> None:
    """Add a measure to all that is measured. Raises ConfigError when there is another of that name."""
    if MEASURES.setdefault(name, measure) is not measure:
        raise ConfigError(f"there is a measure {name!r} already; give this one another name")


def measure_named(name: str) -> Measure:
    """The measure of this name.

    Raises ConfigError when there is none, as when a record has one that this process has not registered.
    """
    if name not in MEASURES:
        raise ConfigError(
            f"unknown measure {name!r}; known: {', '.join(MEASURES)}; register it as where it was measured"
        )
    return MEASURES[name]


def one_vs_rest(labels: Labels, probabilities: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Truths and scores that ROC and precision-recall are taken of: class 1 of two, else every class of every row.

    Both have shape (n,) for two classes, (n * classes,) for more.
    """
    classes = probabilities.shape[1]
    if classes == 2:
        return labels == 1, probabilities[:, 1]
    return np.eye(classes, dtype=bool)[labels].ravel(), probabilities.ravel()


def estimates(labels: Labels, probabilities: Floats, names: Iterable[str] | None = None) -> dict[str, float]:
    """The measures `names` (all) of probabilities, shape (n, classes), on labels, shape (n,) with values 0..classes-1.

    >>> estimates(np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]]), ["accuracy", "roc_auc"])
    {'accuracy': 0.5, 'roc_auc': 1.0}
    """
    found = weighted_measures(labels, probabilities, np.ones((1, len(labels))), names)
    return {name: float(values[0]) for name, values in found.items()}


def weighted_measures(
    labels: Labels, probabilities: Floats, weights: Values, names: Iterable[str] | None = None
) -> dict[str, Values]:
    """`estimates` of rows that count several times or not at all: for each row of `weights`, (k, n), one value, (k,)."""
    rows = WeightedRows(labels, probabilities, weights)
    return {name: MEASURES[name].compute(rows) for name in (MEASURES if names is None else names)}


def measure(
    labels: Labels, probabilities: Floats, groups: Labels | None = None, count: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """`estimates` with 95 % intervals of a bootstrap over the rows, stratified by class.

    Rows of one of `groups`, shape (n,), are drawn together: patches of one photograph say less than as many photographs.
    Intervals run between the resamples' 2.5th and 97.5th percentiles; see `Measure.grows_with_resampling` for others.
    """
    at_once = max(1, _DRAWN // probabilities.size)
    draws = resamples(Units.of(labels, groups), count, seed, at_once)
    parts = []
    while some := list(islice(draws, max(1, _AT_ONCE // (at_once * len(labels))))):
        parts.append(weighted_measures(labels, probabilities, np.concatenate(some)))
    return {
        name: _interval(MEASURES[name], value, np.concatenate([part[name] for part in parts]))
        for name, value in estimates(labels, probabilities).items()
    }


def _interval(of: Measure, estimate: float, resampled: Values) -> Interval:
    low, high = (float(end) for end in np.percentile(resampled, (2.5, 97.5)))
    if of.grows_with_resampling:
        low, high = min(2 * estimate - high, estimate), max(2 * estimate - low, estimate)
    least, most = of.within
    return Interval(estimate, max(low, least), min(high, most))
