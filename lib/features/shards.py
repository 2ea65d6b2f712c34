"""Feature shards: Parquet files written atomically, the same bytes for the same content.

Schema: sample_id int64, label int64, split dictionary<string>, features fixed_size_list<float32 | float16>[width]; in the
metadata the set's digest, description and class names. `part-00000.json` beside a shard is its entry of the manifest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from lib.features.manifest import Shard
from lib.features.plan import SetPlan
from lib.files import atomic_path, digest_file, write_bytes

ROW_GROUP = 1024


@dataclass(frozen=True)
class ShardContent:
    """What one shard holds: its rows in the set, labels int64 (n,), features (n, width)."""

    rows: range
    labels: npt.NDArray[np.int64]
    features: npt.NDArray[np.floating]


def shard_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


def write_shard(path: Path, content: ShardContent, plan: SetPlan) -> Shard:
    """Write a shard atomically, and before it its manifest entry, so that it can be checked from its first moment."""
    flat = pa.array(np.ascontiguousarray(content.features).reshape(-1))
    columns = {
        "sample_id": pa.array(np.arange(content.rows.start, content.rows.stop, dtype=np.int64)),
        "label": pa.array(content.labels, pa.int64()),
        "split": pa.DictionaryArray.from_arrays(plan.split_codes(content.rows), pa.array(list(plan.splits))),
        "features": pa.FixedSizeListArray.from_arrays(flat, plan.width),
    }
    metadata = {
        "probeflow.digest": plan.digest,
        "probeflow.features": plan.description,
        "probeflow.classes": json.dumps(plan.class_names),
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
        size, sha256 = temporary.stat().st_size, digest_file(temporary)
        entry = Shard(name=path.name, rows=len(content.rows), bytes=size, sha256=sha256)
        write_bytes(_entry_path(path), _entry_bytes(entry))
    return entry


def check_shard(path: Path, digest: str, rows: int) -> Shard | None:
    """The shard's manifest entry; None when the file is not there with just the bytes that were written, or another set's."""
    try:
        entry = Shard.model_validate_json(_entry_path(path).read_bytes())
        if (entry.name, entry.rows) != (path.name, rows):
            return None
        if path.stat().st_size != entry.bytes or digest_file(path) != entry.sha256:
            return None
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, ValidationError, pa.ArrowException):
        return None
    return entry if metadata.get(b"probeflow.digest") == digest.encode() else None


def stray_shards(folder: Path, count: int) -> list[Path]:
    """Files named like shards that a set of `count` shards does not have."""
    known = {shard_name(index) for index in range(count)}
    return sorted(path for path in folder.glob("part-*.parquet") if path.name not in known)


def restore_entry(path: Path, entry: Shard) -> None:
    """Put a manifest's entry beside its shard again."""
    if not _entry_path(path).is_file() or _entry_path(path).read_bytes() != _entry_bytes(entry):
        write_bytes(_entry_path(path), _entry_bytes(entry))


def _entry_bytes(entry: Shard) -> bytes:
    return (entry.model_dump_json() + "\n").encode()


def _entry_path(path: Path) -> Path:
    return path.with_suffix(".json")
