"""A feature set's split as a stream for torch's DataLoader, by fork or spawn. Apart, so that others need no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from lib.errors import ConfigError
from lib.features.rows import Features, RowGroup

Pair = tuple[torch.Tensor, torch.Tensor]
"""Features (n, width) and labels (n,)."""


class SplitStream(IterableDataset[Pair]):
    """Batches of a split, row group after row group; see `FeatureSet.torch_stream`."""

    def __init__(
        self,
        groups: Sequence[RowGroup],
        read: Callable[[Sequence[RowGroup]], Iterator[Features]],
        batch_size: int,
        shuffle: bool,
        mix: int,
    ) -> None:
        if batch_size < 1 or mix < 1:
            raise ConfigError(f"a stream needs batch_size and mix of at least 1, got {batch_size} and {mix}")
        self._groups, self._read = groups, read
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
            parts = list(self._read(mine[first : first + mix]))
            X, y = np.concatenate([part.X for part in parts]), np.concatenate([part.y for part in parts])
            rows = rng.permutation(len(y)) if self._shuffle else np.arange(len(y))
            for start in range(0, len(rows), self._batch_size):
                chosen = rows[start : start + self._batch_size]
                yield torch.from_numpy(X[chosen]), torch.from_numpy(y[chosen])
