"""Feature shards: Parquet files written atomically, read only from a sealed and undamaged set.

Schema: sample_id int64, label int64, split dictionary<string>, features fixed_size_list<float32 | float16>[width];
the file's metadata holds the set's digest, its description and the class names. pandas reads the files as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lib.errors import FeatureSetError
from lib.features.manifest import Manifest, Shard, read_manifest
from lib.files import atomic_path, digest_file

ROW_GROUP = 1024


@dataclass(frozen=True)
class Features:
    """Rows of one split: X float32 or float16 (n, width), y int64 (n,), sample_ids int64 (n,)."""

    X: npt.NDArray[np.floating]
    y: npt.NDArray[np.int64]
    sample_ids: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ShardContent:
    """What one shard holds; arrays of n rows."""

    sample_ids: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    splits: Sequence[str]
    features: npt.NDArray[np.floating]


def shard_name(index: int) -> str:
    """File name of the shard with this index."""
    return f"part-{index:05d}.parquet"


def write_shard(path: Path, content: ShardContent, digest: str, description: str, class_names: Sequence[str]) -> None:
    """Write one shard atomically; the same content gives the same bytes."""
    flat = pa.array(np.ascontiguousarray(content.features).reshape(-1))
    columns = {
        "sample_id": pa.array(content.sample_ids, pa.int64()),
        "label": pa.array(content.labels, pa.int64()),
        "split": pa.array(content.splits, pa.string()).dictionary_encode(),
        "features": pa.FixedSizeListArray.from_arrays(flat, content.features.shape[1]),
    }
    metadata = {
        "probeflow.digest": digest,
        "probeflow.features": description,
        "probeflow.classes": json.dumps(list(class_names)),
    }
    table = pa.table(columns).replace_schema_metadata(metadata)
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
            # Features are noise to a compressor: zstd costs time and saves little.
            compression="none",
            use_dictionary=["split"],
        )


def check_shard(path: Path, digest: str, rows: int) -> Shard | None:
    """The shard's manifest entry, or None when the file is missing, damaged (by its page checksums), or another's."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            if metadata.get(b"probeflow.digest") != digest.encode() or file.metadata.num_rows != rows:
                return None
            for _ in file.iter_batches():
                pass
    except (OSError, pa.ArrowException):
        return None
    return Shard(name=path.name, rows=rows, bytes=path.stat().st_size, sha256=digest_file(path))


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
            When the set has no such split.
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
        X = np.empty((count, self.manifest.width), self.manifest.storage)
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
