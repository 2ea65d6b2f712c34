"""Two models on the same test rows: how far apart their accuracies are, and whether chance alone would do that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.evaluation.intervals import Tested, p_words
from lib.evaluation.resampling import Labels, Units

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedPredictions(Tested):
    """Accuracy of the first model less the second's, with a 95 % interval of a paired bootstrap, and McNemar's test.

    Attributes
    ----------
    rows : int
        Test rows that both predicted.
    only_first, only_second : int
        Rows that one model alone had right.
    p_value : float
        McNemar's exact test, two-sided (McNemar 1947, Psychometrika 12:153).
    """

    rows: int
    only_first: int
    only_second: int
    p_value: float

    @property
    def words(self) -> str:
        """Such as "0.0310 (0.0100 to 0.0520, p = 0.016)"."""
        return f"{self.estimate:.4f} ({self.low:.4f} to {self.high:.4f}, {p_words(self.p_value)})"


def compare_predictions(
    a: Labels, b: Labels, y: Labels, groups: Labels | None = None, seed: int = 0
) -> PairedPredictions:
    """Compare the classes that two models predicted, `a` and `b`, with the true ones, `y`; all of shape (n,).

    The bootstrap draws rows, with both models' answers, within each true class; rows of one of `groups` together.
    McNemar's test takes every row as independent.

    Raises
    ------
    ValueError
        When they are not of one length, or there are no rows.
    """
    from scipy.stats import binomtest

    if not (a.shape == b.shape == y.shape) or y.ndim != 1 or not len(y):
        raise ValueError(f"predictions of shapes {a.shape} and {b.shape} cannot be compared on labels of {y.shape}")
    first, second = (a == y) & (b != y), (b == y) & (a != y)
    units = Units.of(y, groups)
    size = np.bincount(units.of_row)
    lead = np.bincount(units.of_row, first.astype(float) - second)
    rng = np.random.default_rng(seed)
    rows, leads = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for own in units.members():
        # Units of one size and lead are alike, so drawing units is drawing how many there are of each kind.
        kinds, counts = np.unique(np.stack([size[own], lead[own]]), axis=1, return_counts=True)
        drawn = rng.multinomial(len(own), counts / len(own), RESAMPLES)
        rows += drawn @ kinds[0]
        leads += drawn @ kinds[1]
    resampled = leads / rows
    low, high = np.percentile(resampled, (2.5, 97.5))
    ahead, behind = int(first.sum()), int(second.sum())
    p_value = float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0
    return PairedPredictions((ahead - behind) / len(y), float(low), float(high), len(y), ahead, behind, p_value)
