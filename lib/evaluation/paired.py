"""Two models on the same test rows: how far apart their accuracies are, and whether chance alone would do that."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import Tested, wilson_of
from lib.evaluation.resampling import Labels, Units, independent, shows_no_spread

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedPredictions(Tested):
    """Accuracy of the first model less the second's, with a 95 % interval of a paired bootstrap, and an exact test."""

    rows: int
    """Test rows that both predicted."""
    only_first: int
    only_second: int
    """Rows that one model alone had right."""
    p_value: float
    """McNemar's exact test, two-sided (McNemar 1947, Psychometrika 12:153); of grouped rows, its generalisation
    `sign_flip_p_value` over groups."""

    @property
    def turned(self) -> Self:
        return replace(super().turned, only_first=self.only_second, only_second=self.only_first)


def compare_predictions(
    a: Labels, b: Labels, y: Labels, groups: Labels | None = None, seed: int = 0
) -> PairedPredictions:
    """Compare the classes that two models predicted, `a` and `b`, with the true ones, `y`; all of shape (n,).

    Rows of one of `groups`, shape (n,), are not independent: the bootstrap, which draws within each true class, draws
    them together, and the test takes them as one. Where no row differs from the others of its class, such as where two
    models agree on all, the interval is that of two shares of so many rows, or groups. Raises ValueError when predictions
    are not of one length, or there are no rows.
    """
    if not (a.shape == b.shape == y.shape) or y.ndim != 1 or not len(y):
        raise ValueError(f"predictions of shapes {a.shape} and {b.shape} cannot be compared on labels of {y.shape}")
    first, second = (a == y) & (b != y), (b == y) & (a != y)
    lead_of_row = first.astype(np.int64) - second
    units = Units.of(y, groups)
    size = np.bincount(units.of_row)
    lead = np.bincount(units.of_row, lead_of_row)
    rng = np.random.default_rng(seed)
    rows, leads = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for own in units.members():
        # Units of one size and lead are alike, so drawing units is drawing how many there are of each kind.
        kinds, counts = np.unique(np.stack([size[own], lead[own]]), axis=1, return_counts=True)
        drawn = rng.multinomial(len(own), counts / len(own), RESAMPLES)
        rows += drawn @ kinds[0]
        leads += drawn @ kinds[1]
    ahead, behind = int(first.sum()), int(second.sum())
    low, high = np.percentile(leads / rows, (2.5, 97.5))
    if low == high or shows_no_spread(lead_of_row, units):  # draws of them say nothing of others
        low, high = _of_shares(ahead / len(y), behind / len(y), independent(y, groups))
    of_group = lead_of_row
    if groups is not None:
        of_group = np.bincount(np.unique(groups, return_inverse=True)[1], lead_of_row).astype(np.int64)
    p_value = sign_flip_p_value(of_group)
    return PairedPredictions((ahead - behind) / len(y), float(low), float(high), len(y), ahead, behind, p_value)


def _of_shares(ahead: float, behind: float, count: int) -> tuple[float, float]:
    """A 95 % interval of the difference of two shares of `count`: Wilson's of each, by squares, as of independent ones
    (Newcombe 1998, Statistics in Medicine 17:873)."""
    first, second = wilson_of(ahead, count), wilson_of(behind, count)
    low = math.hypot(ahead - first.low, second.high - behind)
    high = math.hypot(first.high - ahead, behind - second.low)
    return max(ahead - behind - low, -1.0), min(ahead - behind + high, 1.0)


def sign_flip_p_value(leads: npt.NDArray[np.int64]) -> float:
    """Exact two-sided p-value of a sum of independent whole numbers, shape (n,), each as likely to be negative.

    If two models are alike, either could have been the first on any group of rows: a group's lead has either sign with
    equal chance. Of leads of 1 and -1 this is McNemar's exact test.

    >>> round(sign_flip_p_value(np.array([1, 1, 1, 1, 1, -1])), 4), sign_flip_p_value(np.array([5, 5, -1]))
    (0.2188, 0.5)
    """
    from scipy.stats import binom

    sizes, counts = np.unique(np.abs(leads[leads != 0]), return_counts=True)
    chances = np.ones(1)  # of each sum of the sizes that are positive
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        own = np.zeros(size * count + 1)
        own[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, own)
    reach = len(chances) - 1
    sums = 2 * np.arange(reach + 1) - reach
    return min(1.0, float(chances[np.abs(sums) >= abs(int(leads.sum()))].sum()))


def significant(difference: PairedPredictions) -> bool:
    """Whether two models differ significantly on the same images.

    Of predictions that hardly differ the bootstrap's interval is too narrow, so McNemar's test has to agree.
    """
    return difference.significant and (difference.low > 0 or difference.high < 0)
