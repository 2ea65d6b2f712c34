"""Rows of a feature set in memory, and where the rows of a split lie in its shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

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
    """What one row group of a shard holds of a split: which of its rows, and the sample id of the first of them."""

    shard: int
    group: int
    within: slice
    first: int

    def __len__(self) -> int:
        return int(self.within.stop - self.within.start)


class SplitReader(Protocol):
    def rows(self, split: str) -> range:
        """Sample ids of a split."""

    def row_groups(self, split: str) -> tuple[RowGroup, ...]:
        """Where the rows of a split lie, in order."""

    def read_row_groups(self, groups: Iterable[RowGroup]) -> Iterator[Features]:
        """The rows of each of these row groups."""
