"""A split of a feature set for torch's DataLoader: by index, or as a stream. Apart, so that others need no torch.

Both are handed to workers by fork or spawn; neither holds an open file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from lib.errors import ConfigError
from lib.features.rows import Features, SplitReader

Pair = tuple[torch.Tensor, torch.Tensor]
"""Features (width,) and label (), or of n rows (n, width) and (n,)."""


class SplitDataset(Dataset[Pair]):
    """The rows of a split by their position in it; see `FeatureSet.torch_dataset`."""

    def __init__(self, feature_set: SplitReader, split: str, cache_bytes: int) -> None:
        self._set = feature_set
        self._groups = feature_set.row_groups(split)
        self._first = feature_set.rows(split).start
        self._starts = [group.first - self._first for group in self._groups]
        self._length = len(feature_set.rows(split))
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[int, Features] = OrderedDict()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Pair:
        """One row: copies of its features and label."""
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError(index)  # Python's own protocol: it ends a loop
        group = bisect_right(self._starts, position) - 1
        part, row = self._part(group), position - self._starts[group]
        return torch.from_numpy(part.X[row].copy()), torch.tensor(part.y[row])

    def __getitems__(self, indices: Sequence[int]) -> list[Pair]:
        """Several rows, as DataLoader asks for a batch; each row group is read once however its rows are ordered."""
        found: dict[int, Pair] = {}
        for index in sorted(set(indices)):
            found[index] = self[index]
        return [found[index] for index in indices]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": OrderedDict()}

    def _part(self, group: int) -> Features:
        if group in self._cache:
            self._cache.move_to_end(group)
            return self._cache[group]
        (part,) = self._set.read_row_groups([self._groups[group]])
        self._cache[group] = part
        while len(self._cache) > 1 and sum(held.X.nbytes for held in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return part


class SplitStream(IterableDataset[Pair]):
    """Batches of a split, row group after row group; see `FeatureSet.torch_stream`."""

    def __init__(self, feature_set: SplitReader, split: str, batch_size: int, shuffle: bool, mix: int) -> None:
        if batch_size < 1 or mix < 1:
            raise ConfigError(f"a stream needs batch_size and mix of at least 1, got {batch_size} and {mix}")
        self._set = feature_set
        self._groups = feature_set.row_groups(split)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._mix = mix
        self._epoch = 0

    def __iter__(self) -> Iterator[Pair]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        order = np.arange(len(self._groups))
        rng = np.random.default_rng()
        if self._shuffle:
            # All workers must draw one order of row groups: DataLoader's seed of the epoch is theirs less their number.
            # Persistent workers keep that seed; each counts the epochs in its own copy of this, all alike.
            epoch = 0 if worker is None else self._epoch
            seed = int(torch.randint(2**62, ())) if worker is None else worker.seed - worker.id
            order = np.random.default_rng([seed, epoch]).permutation(order)
            rng = np.random.default_rng([seed, epoch, number])
            self._epoch += 1
        mine = [self._groups[index] for index in order[number::workers].tolist()]
        mix = self._mix if self._shuffle else 1
        for first in range(0, len(mine), mix):
            parts = list(self._set.read_row_groups(mine[first : first + mix]))
            X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
            rows = rng.permutation(len(y)) if self._shuffle else np.arange(len(y))
            for start in range(0, len(rows), self._batch_size):
                chosen = rows[start : start + self._batch_size]
                yield torch.from_numpy(X[chosen]), torch.from_numpy(y[chosen])
