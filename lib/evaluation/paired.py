"""Two models on the same test rows: how far apart their accuracies are, and whether chance alone would do that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import LEVEL, Interval, p_words

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedPredictions(Interval):
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
    def real(self) -> bool:
        """Whether McNemar's test tells them apart at the 5 % level."""
        return self.p_value < LEVEL

    @property
    def words(self) -> str:
        """Such as "0.0310 (0.0100 to 0.0520, p = 0.016)"."""
        return f"{self.estimate:.4f} ({self.low:.4f} to {self.high:.4f}, {p_words(self.p_value)})"


def compare_predictions(
    a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], y: npt.NDArray[np.int64], seed: int = 0
) -> PairedPredictions:
    """Compare the classes that two models predicted, `a` and `b`, with the true ones, `y`; all of shape (n,).

    The bootstrap draws rows, with both models' answers, within each true class.

    Raises
    ------
    ValueError
        When they are not of one length, or there are no rows.
    """
    from scipy.stats import binomtest

    if not (a.shape == b.shape == y.shape) or y.ndim != 1 or not len(y):
        raise ValueError(f"predictions of shapes {a.shape} and {b.shape} cannot be compared on labels of {y.shape}")
    first, second = (a == y) & (b != y), (b == y) & (a != y)
    rng = np.random.default_rng(seed)
    resampled = np.zeros(RESAMPLES)
    for label in np.unique(y):
        # Drawing n rows of three kinds (one right, the other, neither or both) is one multinomial draw of their counts.
        of_class = y == label
        size, ahead, behind = int(of_class.sum()), int((first & of_class).sum()), int((second & of_class).sum())
        counts = rng.multinomial(
            size, [ahead / size, behind / size, max(0.0, (size - ahead - behind) / size)], RESAMPLES
        )
        resampled += (counts[:, 0] - counts[:, 1]) / len(y)
    low, high = np.percentile(resampled, (2.5, 97.5))
    ahead, behind = int(first.sum()), int(second.sum())
    p_value = float(binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0
    return PairedPredictions((ahead - behind) / len(y), float(low), float(high), len(y), ahead, behind, p_value)
