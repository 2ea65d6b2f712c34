"""Rows of a feature set in memory, and where the rows of a split lie in its shards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Features:
    """Rows of one split: X float32 or float16 (n, width), y int64 (n,), sample_ids int64 (n,)."""

    X: npt.NDArray[np.floating]
    y: npt.NDArray[np.int64]
    sample_ids: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice) -> Features:
        return Features(self.X[rows], self.y[rows], self.sample_ids[rows])


@dataclass(frozen=True)
class RowGroup:
    """Which rows of one row group of a shard a split has."""

    shard: int
    group: int
    within: slice
