"""What a bootstrap over test rows draws, within each class: rows, or whole groups of rows that are not independent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import SHARE, Interval, quantile, wilson_of

Labels = npt.NDArray[np.int64]

_NOTHING = 1e-24
"""A variance that is rounding alone: one row of a million that differs has 1e-12."""

_MANY = 1e6
"""Degrees of freedom that are as good as none to lose."""


@dataclass(frozen=True)
class Units:
    """What is drawn as one."""

    of_row: Labels
    """Int64, shape (n,). The unit that a row belongs to."""
    classes: Labels
    """Int64, shape (units,). The class of a unit's rows; of a group that holds several classes, each class's rows
    are a unit."""

    @classmethod
    def of(cls, labels: Labels, groups: Labels | None) -> Units:
        """Rows of one group and class are a unit; without `groups`, shape (n,), every row is."""
        if groups is None:
            return cls(np.arange(len(labels)), labels)
        pairs, of_row = np.unique(np.stack([labels, groups]), axis=1, return_inverse=True)
        return cls(of_row.ravel(), pairs[0])

    def members(self) -> list[Labels]:
        """The units of each class that has rows."""
        return [np.flatnonzero(self.classes == label) for label in np.unique(self.classes)]


def resamples(units: Units, count: int, seed: int, at_once: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each row is drawn, (k, n), k at most `at_once`, `count` in all; each class's units among themselves."""
    rng = np.random.default_rng(seed)
    total, members = len(units.classes), units.members()
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        drawn = (
            np.concatenate([own[rng.integers(len(own), size=(size, len(own)))] for own in members], axis=1)
            + np.arange(size)[:, None] * total
        )
        times = np.bincount(drawn.ravel(), minlength=size * total).reshape(size, total)
        yield times[:, units.of_row].astype(np.float64)


def over_seeds_and_rows(right: npt.NDArray[np.bool_], labels: Labels, groups: Labels | None) -> Interval:
    """Mean accuracy over seeds with a 95 % interval for both: other seeds, and other rows of the same kind.

    The variance of the mean is that over seeds, s²/J, and that over rows, less what both hold: how differently seeds do
    on the same rows (the two-way layout's interaction; Searle, Casella and McCulloch 1992, Variance Components, 4). Student's
    t with Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110), those of the rows without end. One seed
    says nothing of others: its interval is for other rows. Where neither seeds nor rows of a class differ, as when all
    are right, what is seen has no spread, and the interval is Wilson's of so many rows, or groups.

    Parameters
    ----------
    right : ndarray of bool, shape (seeds, n)
        Whether the network of each seed has each row right.
    labels, groups : ndarray of int64, shape (n,)
        Of the rows; rows of one group are not independent.
    """
    units = Units.of(labels, groups)
    seeds, of_row = len(right), right.mean(axis=0)
    accuracies = right.mean(axis=1)
    mean, whole = float(accuracies.mean()), variance_of_mean(of_row, units)
    freedom = math.inf
    if seeds > 1:
        of_seeds = float(np.var(accuracies, ddof=1)) / seeds
        shared = float(np.mean([variance_of_mean(each - of_row, units) for each in right])) / (seeds - 1)
        whole = max(of_seeds + whole - shared, of_seeds, whole)
        freedom = (seeds - 1) * (whole / of_seeds) ** 2 if of_seeds else math.inf
    if whole < _NOTHING:
        return wilson_of(mean, independent(labels, groups))
    half = quantile(min(freedom, _MANY)) * math.sqrt(whole)
    return Interval(mean, max(mean - half, SHARE[0]), min(mean + half, SHARE[1]))


def shows_no_spread(values: npt.NDArray[np.number], units: Units) -> bool:
    """Whether no unit of `values`, shape (n,), differs from the others of its class, but for rounding."""
    return variance_of_mean(values.astype(np.float64), units) < _NOTHING


def independent(labels: Labels, groups: Labels | None) -> int:
    """How many rows are independent of one another, or groups of rows, whatever classes these hold; arrays of shape (n,)."""
    return len(labels if groups is None else np.unique(groups))


def variance_of_mean(values: npt.NDArray[np.floating], units: Units) -> float:
    """Variance of the mean of `values`, shape (n,), over draws of units within each class.

    Of each class, by its units' sums (a ratio's, where they differ in size; Cochran 1977, Sampling Techniques, 6.4). A
    class of one unit says nothing of its spread: how far it lies from all others' mean counts.
    """
    sizes, sums = np.bincount(units.of_row).astype(float), np.bincount(units.of_row, values)
    variance, mean = 0.0, values.mean()
    for own in units.members():
        count = len(own)
        centre = sums[own].sum() / sizes[own].sum() if count > 1 else mean
        variance += float(((sums[own] - centre * sizes[own]) ** 2).sum()) * (count / (count - 1) if count > 1 else 1)
    return variance / len(values) ** 2
