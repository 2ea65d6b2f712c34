"""`quarantine.parquet` of a feature set: the source's files that are no usable images, each with its reason."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lib.errors import FeatureSetError
from lib.files import atomic_path, digest_json, remove_file

NAME = "quarantine.parquet"


def quarantine_digest(quarantined: pa.Table | None) -> str | None:
    """What names a quarantine's content; None for an empty one."""
    return digest_json(quarantined.to_pylist()) if quarantined is not None and quarantined.num_rows else None


def write_quarantine(folder: Path, quarantined: pa.Table | None) -> None:
    """Keep the list in the set's folder; an empty one is no file."""
    path = folder / NAME
    if quarantined is None or not quarantined.num_rows:
        remove_file(path)
        return
    with atomic_path(path) as temporary:
        pq.write_table(quarantined, temporary)


def read_quarantine(folder: Path) -> pa.Table | None:
    """Name, split, label, bytes, reason of each; None when there are none. Raises FeatureSetError for a damaged file."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException):
        raise FeatureSetError(f"{path} is damaged; extract again with the same settings to write it anew") from None


def quarantine_is_whole(folder: Path, digest: str | None) -> bool:
    try:
        return quarantine_digest(read_quarantine(folder)) == digest
    except FeatureSetError:
        return False
