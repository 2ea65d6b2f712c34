"""Reading a sealed feature set: checked when opened, then as arrays, row group by row group, as a frame or for torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from lib.errors import FeatureSetError
from lib.features.manifest import Manifest, read_manifest
from lib.features.shards import ROW_GROUP
from lib.files import digest_file


@dataclass(frozen=True)
class Features:
    """Rows of one split: X float32 or float16 (n, width), y int64 (n,), sample_ids int64 (n,)."""

    X: npt.NDArray[np.floating]
    y: npt.NDArray[np.int64]
    sample_ids: npt.NDArray[np.int64]


class FeatureSet:
    """A sealed feature set, checked when opened; see `open_feature_set`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def batches(self, split: str) -> Iterator[Features]:
        """Rows of a split in order, a row group at a time.

        Raises
        ------
        FeatureSetError
            When the set has no such split, or a shard is damaged.
        """
        if split not in self.manifest.splits:
            known = ", ".join(self.manifest.splits)
            raise FeatureSetError(f"feature set {self.folder} has no split {split!r}; it has: {known}")
        for shard in self.manifest.shards:
            with pq.ParquetFile(self.folder / shard.name) as file:
                for batch in file.iter_batches(ROW_GROUP):
                    wanted = np.array(batch["split"].to_pylist()) == split
                    if wanted.any():
                        X = batch["features"].flatten().to_numpy(zero_copy_only=False).reshape(-1, self.manifest.width)
                        y, ids = batch["label"].to_numpy(), batch["sample_id"].to_numpy()
                        yield Features(X[wanted], y[wanted], ids[wanted])

    def load(self, split: str) -> Features:
        """All rows of a split, in one array made once."""
        count = self.manifest.splits.get(split, 0)
        X = np.empty((count, self.manifest.width), self.manifest.settings.storage)
        y, ids, start = np.empty(count, np.int64), np.empty(count, np.int64), 0
        for part in self.batches(split):
            rows = slice(start, start + len(part.y))
            X[rows], y[rows], ids[rows] = part.X, part.y, part.sample_ids
            start = rows.stop
        return Features(X, y, ids)


def open_feature_set(folder: Path, verify: bool = True) -> FeatureSet:
    """Open the sealed set in `folder`, by default re-reading every shard's sha256.

    Raises
    ------
    FeatureSetError
        When it is not sealed, or a shard is missing or damaged; extraction makes just those again.
    """
    manifest = read_manifest(folder)
    for shard in manifest.shards:
        path = folder / shard.name
        if not path.exists():
            raise FeatureSetError(f"shard {path} is missing; run the extraction again, it makes just that one")
        if verify and digest_file(path) != shard.sha256:
            raise FeatureSetError(f"shard {path} is damaged (its sha256 has changed); run the extraction again")
    return FeatureSet(folder, manifest)
