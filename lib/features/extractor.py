"""The loop of an extraction: blocks of images through the network, into shards that are written meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from lib.datasets.dataset import Dataset
from lib.datasets.images import read_shrunk
from lib.errors import FeatureSetError
from lib.features.plan import SetPlan, blocks
from lib.features.program import Program
from lib.features.resize import Pixels
from lib.features.shards import ShardContent, shard_name, write_shard
from lib.machine import in_turn
from lib.progress import Advance

_BEHIND = 2
"""Shards that may wait for the disk before the network does."""


def write_shards(
    program: Program, plan: SetPlan, dataset: Dataset, folder: Path, indexes: Sequence[int], advance: Advance
) -> Iterator[tuple[int, float]]:
    """Compute and write the shards of these indexes; yields each once it is on disk, and when that was (`perf_counter`).

    Raises FeatureSetError when the network gives a value that is not finite; StorageError when the disk is full or
    cannot be written; DataError when an image is not what it was when the dataset was verified.
    """

    def write(shard: tuple[int, ShardContent]) -> tuple[int, float]:
        index, content = shard
        write_shard(folder / shard_name(index), content, plan)
        return index, time.perf_counter()

    writer = ThreadPoolExecutor(1, "write")
    try:
        yield from in_turn(writer, write, _shards(program, plan, dataset, indexes, advance), _BEHIND)
    finally:
        writer.shutdown(cancel_futures=True)


def _shards(
    program: Program, plan: SetPlan, dataset: Dataset, indexes: Sequence[int], advance: Advance
) -> Iterator[tuple[int, ShardContent]]:
    cut = plan.cut()
    shards = {index: cut[index] for index in indexes}
    planned: Iterable[range] = (block for rows in shards.values() for block in blocks(rows, program.batch_size))
    computed = program.features(_Images(plan, dataset), planned)
    for index, rows in shards.items():
        features = np.empty((len(rows), plan.width), plan.settings.storage)
        filled = rows.start
        for block in blocks(rows, program.batch_size):
            part = next(computed)
            features[block.start - rows.start : block.stop - rows.start] = part
            _require_finite(part, block, plan)
            filled += len(part)
            advance(len(block))
        assert filled == rows.stop, "every row of a shard is computed"
        labels = [dataset.splits[name].labels[piece.start : piece.stop] for name, piece in plan.parts(rows)]
        yield index, ShardContent(rows, np.concatenate(labels).astype(np.int64), features)


class _Images:
    def __init__(self, plan: SetPlan, dataset: Dataset) -> None:
        self._plan, self._dataset = plan, dataset

    def parts(self, block: range, most: int) -> list[range]:
        """Parts lie within one split each."""
        found, start = [], block.start
        for _, piece in self._plan.parts(block):
            found += [
                range(first, min(first + most, start + len(piece))) for first in range(start, start + len(piece), most)
            ]
            start += len(piece)
        return found

    def read(self, part: range) -> Pixels:
        ((name, piece),) = self._plan.parts(part)
        return read_shrunk(self._dataset.splits[name].images, piece, self._plan.settings.shrink)


def _require_finite(features: np.ndarray, block: range, plan: SetPlan) -> None:
    # Sums overflow to infinity but never back, so one number tells of the whole block; float64 holds any sum of float32.
    if np.isfinite(features.sum(dtype=np.float64)):
        return
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if broken.size:
        raise FeatureSetError(
            f"sample {block[int(broken[0])]} of {plan.dataset} gives features that are not finite "
            f"({plan.settings.precision}, stored as {plan.settings.storage}); use float32 or check the weights"
        )
