"""One shard, open for reading: its footer is checked against the manifest, every page it gives against its checksum.

So a flipped bit is found whether or not the file's sha256 was verified before; what a flip of a bit cannot do to the rows
(in padding, in statistics that nobody reads) is not looked for here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lib.errors import FeatureSetError
from lib.features.manifest import Manifest

_TYPES = {"sample_id": pa.int64(), "label": pa.int64(), "split": pa.dictionary(pa.int8(), pa.string())}


Rows = tuple[npt.NDArray[np.floating], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Features (n, width), labels (n,) and sample ids (n,)."""


class OpenShard:
    """A shard of `manifest`; a context manager.

    Attributes
    ----------
    groups : tuple of range
        Sample ids of each row group.

    Raises FeatureSetError when the file is missing, or its footer is damaged or another set's.
    """

    def __init__(self, folder: Path, manifest: Manifest, index: int) -> None:
        self.path = folder / manifest.shards[index].name
        self._manifest = manifest
        with self._damage():
            # Mapped, so that pages come to the decoder without a copy; one thread, for several may read at once.
            self._file = pq.ParquetFile(self.path, memory_map=True, page_checksum_verification=True)
            try:
                self.groups = self._checked_groups(manifest.cut()[index])
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> OpenShard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def labels(self, group: int) -> npt.NDArray[np.int64]:
        """Labels int64 (n,) of a row group; its features are not read."""
        ((_, batch),) = self._read(group, [*_TYPES], len(self.groups[group]))
        return _column(batch, "label")

    def read(self, group: int) -> Rows:
        """Features (n, width), labels (n,) and sample ids (n,) of a row group: read-only views of what was decoded."""
        (rows,) = self.pieces(group, len(self.groups[group]))
        return rows

    def pieces(self, group: int, rows: int) -> Iterator[Rows]:
        """A row group as `read` gives it, so many rows at a time: decoding all at once takes several times its memory."""
        for held, batch in self._read(group, [*_TYPES, "features"], rows):
            with self._damage():
                values = batch["features"]
                if values.null_count or values.flatten().null_count:
                    raise ValueError("null features")
                X = values.flatten().to_numpy(zero_copy_only=True).reshape(len(held), self._manifest.width)
            yield X, _column(batch, "label"), _column(batch, "sample_id")

    def _read(self, group: int, columns: list[str], rows: int) -> Iterator[tuple[range, Any]]:
        """Sample ids and columns of a row group, so many rows at a time, checked to be the manifest's."""
        manifest, start = self._manifest, self.groups[group].start
        with self._damage():
            for batch in self._file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                held = range(start, start + batch.num_rows)
                split = batch["split"]
                names = np.array(split.dictionary.to_pylist())[split.indices.to_numpy(zero_copy_only=True)]
                if not np.array_equal(_column(batch, "sample_id"), np.arange(held.start, held.stop)):
                    raise ValueError("other samples")
                if not np.array_equal(names, np.array(list(manifest.splits))[manifest.split_codes(held)]):
                    raise ValueError("other splits")
                yield held, batch
                start = held.stop
            if start != self.groups[group].stop:
                raise ValueError("other rows")

    def _checked_groups(self, rows: range) -> tuple[range, ...]:
        storage = {"float32": pa.float32(), "float16": pa.float16()}[self._manifest.settings.storage]
        found, metadata = self._file.schema_arrow, self._file.metadata
        expected = _TYPES | {"features": pa.list_(storage, self._manifest.width)}
        if (found.metadata or {}).get(b"probeflow.digest") != self._manifest.digest.encode():
            raise ValueError("another set's")
        # Values are read by type, not by what the lists call their element.
        if found.names != list(expected) or any(
            not found.field(name).type.equals(kind) for name, kind in expected.items()
        ):
            raise ValueError("another schema")
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if sum(counts) != len(rows) or min(counts) < 1:
            raise ValueError("other rows")
        starts = np.cumsum([rows.start, *counts]).tolist()
        return tuple(range(first, last) for first, last in pairwise(starts))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise missing(self.path) from None
        except PermissionError:
            raise FeatureSetError(f"shard {self.path} cannot be read; give yourself permission to") from None
        except (OSError, ValueError, KeyError, IndexError, OverflowError, pa.ArrowException):
            raise FeatureSetError(
                f"shard {self.path} is damaged (its checksums do not fit, or it is another set's); "
                "run the extraction again, it makes just that one"
            ) from None


def _column(batch: Any, name: str) -> npt.NDArray[np.int64]:
    column: npt.NDArray[np.int64] = batch[name].to_numpy(zero_copy_only=True)
    return column


def missing(path: Path) -> FeatureSetError:
    return FeatureSetError(f"shard {path} is missing; run the extraction again, it makes just that one")
