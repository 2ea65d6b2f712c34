"""What a feature set's values are like, feature by feature, in one pass over its rows and flat memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.errors import FeatureSetError
from lib.features.reading import FeatureSet
from lib.progress import Advance, silent

_VALUES = 1 << 18
"""Values that are widened to float64 at once: 2 MB, which stay in cache."""


@dataclass(frozen=True)
class FeatureStatistics:
    """Of each feature over `rows` rows, float64 (width,); deviations are divided by n, `zeros` is the share of zeros."""

    rows: int
    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    minimum: npt.NDArray[np.float64]
    maximum: npt.NDArray[np.float64]
    zeros: npt.NDArray[np.float64]

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        return np.equal(self.minimum, self.maximum)

    def table(self) -> list[dict[str, Any]]:
        columns = {
            "mean": self.mean,
            "standard_deviation": self.deviation,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "share_of_zeros": self.zeros,
        }
        lists = {name: values.tolist() for name, values in columns.items()}
        return [{"feature": k} | {name: values[k] for name, values in lists.items()} for k in range(len(self.mean))]


class RunningStatistics:
    """Statistics of rows that come in parts: means and squared deviations are merged by Chan, Golub and LeVeque (1983)."""

    def __init__(self, width: int) -> None:
        self._rows = 0
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)
        self._minimum = np.full(width, np.inf)
        self._maximum = np.full(width, -np.inf)
        self._zeros = np.zeros(width, np.int64)

    def add(self, X: npt.NDArray[np.floating]) -> None:
        """Take in rows, shape (n, width), of any float type."""
        step = max(1, _VALUES // X.shape[1])
        for start in range(0, len(X), step):
            self._add(X[start : start + step].astype(np.float64))

    def _add(self, block: npt.NDArray[np.float64]) -> None:
        self._minimum = np.minimum(self._minimum, block.min(axis=0))
        self._maximum = np.maximum(self._maximum, block.max(axis=0))
        self._zeros += np.count_nonzero(block == 0, axis=0)
        mean, count = block.mean(axis=0), len(block)
        block -= mean
        total = self._rows + count
        apart = mean - self._mean
        self._squares += np.einsum("rf,rf->f", block, block) + apart * apart * (self._rows * count / total)
        self._mean += apart * (count / total)
        self._rows = total

    def finish(self) -> FeatureStatistics:
        """What was seen. Raises FeatureSetError when nothing was."""
        if not self._rows:
            raise FeatureSetError("no rows to describe; give a feature set that has some")
        deviation = np.sqrt(self._squares / self._rows)
        zeros = self._zeros / self._rows
        return FeatureStatistics(self._rows, self._mean, deviation, self._minimum, self._maximum, zeros)


def feature_statistics(feature_set: FeatureSet, advance: Advance = silent) -> FeatureStatistics:
    """Statistics over all rows of a set, streamed. Raises FeatureSetError when a shard is damaged, or there are no rows."""
    running = RunningStatistics(feature_set.manifest.width)
    for split in feature_set.manifest.splits:
        for part in feature_set.batches(split):
            running.add(part.X)
            advance(len(part))
    return running.finish()
