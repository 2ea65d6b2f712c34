"""Confidence intervals, so that a figure never stands alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval around an estimate."""

    estimate: float
    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion, e.g. accuracy on a test set (Wilson 1927, JASA 22:209).

    Raises
    ------
    ValueError
        When `trials` is not positive or `successes` does not lie in 0..trials.
    """
    from scipy.stats import norm

    if trials <= 0 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials is not a proportion")
    z = float(norm.ppf((1 + confidence) / 2))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def mean_over_seeds(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Student's t interval of the mean over seeds; None when one value alone cannot give an interval."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    mean = float(np.mean(values))
    half = float(t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Difference(Interval):
    """A mean paired difference with its confidence interval, over `pairs` seeds."""

    pairs: int

    @property
    def real(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def words(self) -> str:
        """Such as "0.0031 (0.0010 to 0.0052, 5 seeds)"."""
        return f"{self.estimate:.4f} ({self.low:.4f} to {self.high:.4f}, {self.pairs} seeds)"


def paired_difference(left: Sequence[float], right: Sequence[float], confidence: float = 0.95) -> Difference | None:
    """Mean of left - right over the seeds both were trained with, by Student's paired t; None for a single seed.

    Parameters
    ----------
    left, right : sequence of float
        One value a seed, in the same order of seeds.
    """
    interval = mean_over_seeds([a - b for a, b in zip(left, right, strict=True)], confidence)
    return None if interval is None else Difference(interval.estimate, interval.low, interval.high, len(left))
