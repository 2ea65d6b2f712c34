"""Confidence intervals, so that a figure never stands alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval around an estimate."""

    estimate: float
    low: float
    high: float

    @property
    def turned(self) -> Self:
        """Of a difference: the same with the two the other way round."""
        return replace(self, estimate=0 - self.estimate, low=0 - self.high, high=0 - self.low)  # 0 - 0 has no sign

    @property
    def words(self) -> str:
        """Such as "0.9721 (0.9690 to 0.9752)"."""
        if not math.isfinite(self.estimate):
            return "not finite"
        ends = f" ({_short(self.low)} to {_short(self.high)})" if 0 < self.high - self.low < math.inf else ""
        return _short(self.estimate) + ends

    @property
    def rounded(self) -> str:
        """Three digits: "0.972 (0.969 to 0.975)"."""
        if not math.isfinite(self.estimate):
            return "not finite"
        return f"{self.estimate:.3f} ({self.low:.3f} to {self.high:.3f})"


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's 95 % score interval of a proportion, e.g. accuracy on a test set (Wilson 1927, JASA 22:209).

    Raises ValueError when `trials` is not positive or `successes` does not lie in 0..trials.
    """
    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials is not a proportion")
    return wilson_of(successes / trials, trials)


def wilson_of(share: float, trials: int) -> Interval:
    """The same of a share, in 0..1, of so many trials: of means, such as an accuracy over groups of rows."""
    from scipy.stats import norm

    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def half_width(values: npt.NDArray[np.floating], overlap: float = 0.0) -> npt.NDArray[np.float64]:
    """Half of Student's 95 % t interval of the mean over the first axis; `values` has shape (seeds >= 2, ...).

    `overlap`: of repeated splits of the same rows: rows held out by rows trained on. Values of such splits are not
    independent, for their training rows overlap; the variance of the mean is then s² (1/J + overlap) instead of s²/J
    (Nadeau and Bengio 2003, Machine Learning 52:239). 0: the values are independent.
    """
    seeds = len(values)
    deviation = np.std(values, axis=0, ddof=1)
    half: npt.NDArray[np.float64] = quantile(seeds - 1) * deviation * math.sqrt(1 / seeds + overlap)
    return half


@cache
def quantile(freedom: float) -> float:
    """How many standard errors Student's 95 % t interval reaches to each side."""
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))


@dataclass(frozen=True)
class Estimate:
    """A figure over seeds: mean, standard deviation (n - 1) and Student's t interval of the mean.

    One seed, or a value that is not finite, leaves the standard deviation and the interval None.
    """

    mean: float
    standard_deviation: float | None
    low: float | None
    high: float | None
    seeds: int

    @property
    def words(self) -> str:
        """Such as "0.1234 ± 0.0012 (0.1211 to 0.1257)"."""
        if not math.isfinite(self.mean):
            return "not finite"
        if self.standard_deviation is None or self.low is None or self.high is None:
            return f"{_short(self.mean)} (one seed, no interval)"
        if self.standard_deviation == 0:
            return f"{_short(self.mean)} with each of {self.seeds} seeds"
        return f"{_short(self.mean)} ± {_short(self.standard_deviation)} ({_short(self.low)} to {_short(self.high)})"

    @property
    def rounded(self) -> str:
        """Three digits, without the standard deviation: "0.972 (0.969 to 0.975)"."""
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        if self.standard_deviation == 0:
            return f"{self.mean:.3f} with each of {self.seeds} seeds"
        return Interval(self.mean, self.low, self.high).rounded


SHARE = (0.0, 1.0)
"""What an accuracy, an error rate or an F1 can be."""
LOSS = (0.0, math.inf)
"""What a cross-entropy can be."""


def over_seeds(
    values: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf), overlap: float = 0.0
) -> Estimate:
    """Mean, standard deviation and 95 % interval of `values`, one a seed; for `overlap` see `half_width`.

    The interval is cut to `within`, the values the figure can have; that takes nothing from its coverage.
    """
    if not np.isfinite(values).all():
        return Estimate(math.nan, None, None, None, len(values))
    if len(values) < 2:
        return Estimate(float(values[0]), None, None, None, 1)
    if len(set(values)) == 1:  # a mean of equal values may differ from them by rounding
        return Estimate(float(values[0]), 0.0, float(values[0]), float(values[0]), len(values))
    mean, half = float(np.mean(values)), float(half_width(np.asarray(values), overlap))
    low, high = max(mean - half, within[0]), min(mean + half, within[1])
    return Estimate(mean, float(np.std(values, ddof=1)), low, high, len(values))


def _short(value: float) -> str:
    return f"{value:.4f}"


class Tested(Interval):
    """A difference with its interval and the p-value of there being none."""

    p_value: float

    @property
    def significant(self) -> bool:
        """Whether the two differ significantly, at the 5 % level."""
        return self.p_value < LEVEL

    @property
    def with_p(self) -> str:
        """Such as "0.0060 (-0.0056 to 0.0175), p = 0.78"."""
        return f"{self.words}, {p_words(self.p_value)}"


@dataclass(frozen=True)
class Difference(Tested):
    """A mean paired difference with its 95 % confidence interval and p-value (of no difference), over `pairs` seeds."""

    pairs: int
    p_value: float


LEVEL = 0.05
"""A difference is called significant below this p-value (corrected, where several are tested at once)."""


def paired_difference(left: Sequence[float], right: Sequence[float], overlap: float = 0.0) -> Difference | None:
    """Mean of left - right over the seeds both were trained with, by Student's paired t.

    Where each seed has its own split of the same rows, the corrected resampled t of Nadeau and Bengio; see `half_width`.

    None for a single seed, which has no spread, and where a value is not finite.

    `left` and `right`: one value a seed, in the same order of seeds. `overlap`: rows held out by rows trained on, where
    each seed has its own split; else 0.
    """
    ours, theirs = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} values and {len(theirs)} are not pairs")
    if len(ours) < 2 or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    differences = ours - theirs
    mean = float(differences.mean())
    if np.ptp(differences) <= 1e-12 * np.abs([ours, theirs]).max():
        # Without spread there is no t. n equal signs alone have the sign test's two-sided p; no difference has p = 1.
        equal = bool(np.abs(differences).max() <= 1e-12 * np.abs([ours, theirs]).max())
        mean, p_value = (0.0, 1.0) if equal else (mean, 2.0 ** (1 - len(differences)))
        return Difference(mean, mean, mean, len(differences), p_value)
    from scipy.stats import t

    half, freedom = float(half_width(differences, overlap)), len(differences) - 1
    p_value = 2 * float(t.sf(abs(mean) / (half / quantile(freedom)), freedom))
    return Difference(mean, mean - half, mean + half, len(differences), p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values of tests made at once, in their order (Holm 1979, Scandinavian Journal of Statistics 6:65).

    Calling those below 0.05 significant makes the chance of any false call at most 5 %, whatever the tests' dependence.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def holm_of(differences: Sequence[Tested | None]) -> list[float]:
    """Holm's p of each difference; 1 where there is none to test."""
    adjusted = iter(holm([each.p_value for each in differences if each is not None]))
    return [1.0 if each is None else next(adjusted) for each in differences]


def p_words(p_value: float) -> str:
    """Such as "p = 0.016" or "p < 0.0001"."""
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"
