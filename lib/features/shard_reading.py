"""One shard, open for reading: its footer is checked against the set's plan, every page it gives against its checksum."""

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

from lib.errors import FeatureSetError, one_line
from lib.features.plan import SetPlan

_TYPES = {"sample_id": pa.int64(), "label": pa.int64(), "split": pa.dictionary(pa.int8(), pa.string())}


Rows = tuple[npt.NDArray[np.floating], npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Features (n, width), labels (n,) and sample ids (n,)."""


class ShardError(FeatureSetError):
    """A shard that is damaged or of another set; `fault` says what is wrong with it."""

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class _FaultError(ValueError):
    """What a shard holds that its set does not."""


class OpenShard:
    """The shard of a set with these of its rows; a context manager.

    `groups`: sample ids of each row group.

    Raises FeatureSetError when the file is missing, or its footer is damaged or another set's.
    """

    def __init__(self, path: Path, plan: SetPlan, rows: range) -> None:
        self.path = path
        self._plan = plan
        with self._damage():
            # Mapped, so that pages come to the decoder without a copy; one thread, for several may read at once.
            self._file = pq.ParquetFile(self.path, memory_map=True, page_checksum_verification=True)
            try:
                self.groups = self._checked_groups(rows)
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> OpenShard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Arrays that were read from it stay."""
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
                    raise _FaultError(f"has empty values among samples {held.start} to {held.stop - 1}")
                X = values.flatten().to_numpy(zero_copy_only=True).reshape(len(held), self._plan.width)
                labels, ids = _column(batch, "label"), _column(batch, "sample_id")
            yield X, labels, ids

    def _read(self, group: int, columns: list[str], rows: int) -> Iterator[tuple[range, Any]]:
        """Sample ids and columns of a row group, so many rows at a time, checked to be the plan's."""
        plan, start = self._plan, self.groups[group].start
        with self._damage():
            for batch in self._file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                held = range(start, start + batch.num_rows)
                split = batch["split"]
                names = np.array(split.dictionary.to_pylist())[split.indices.to_numpy(zero_copy_only=True)]
                if not np.array_equal(_column(batch, "sample_id"), np.arange(held.start, held.stop)):
                    raise _FaultError(f"does not hold samples {held.start} to {held.stop - 1} in order")
                if not np.array_equal(names, np.array(list(plan.splits))[plan.split_codes(held)]):
                    raise _FaultError(f"has samples {held.start} to {held.stop - 1} in other splits than the plan")
                yield held, batch
                start = held.stop
            if start != self.groups[group].stop:
                raise _FaultError(f"has no samples {start} to {self.groups[group].stop - 1}")

    def _checked_groups(self, rows: range) -> tuple[range, ...]:
        storage = {"float32": pa.float32(), "float16": pa.float16()}[self._plan.settings.storage]
        found, metadata = self._file.schema_arrow, self._file.metadata
        expected = _TYPES | {"features": pa.list_(storage, self._plan.width)}
        if (found.metadata or {}).get(b"probeflow.digest") != self._plan.digest.encode():
            raise _FaultError("belongs to another set")
        # Values are read by type, not by what the lists call their element.
        if found.names != list(expected) or any(
            not found.field(name).type.equals(kind) for name, kind in expected.items()
        ):
            raise _FaultError(f"has columns of other types than {expected}")
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        if sum(counts) != len(rows) or min(counts) < 1:
            raise _FaultError(f"has {sum(counts):,} rows, not {len(rows):,}")
        starts = np.cumsum([rows.start, *counts]).tolist()
        return tuple(range(first, last) for first, last in pairwise(starts))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise missing(self.path) from None
        except PermissionError:
            fault = "cannot be read; give yourself permission to"
            raise ShardError(f"shard {self.path} {fault}", fault) from None
        except (OSError, ValueError, KeyError, IndexError, OverflowError, pa.ArrowException) as error:
            raise ShardError(
                f"shard {self.path} is damaged (its checksums do not fit, or it is another set's); "
                "run the extraction again, it makes just that one",
                str(error) if isinstance(error, _FaultError) else f"cannot be read ({one_line(error)[:120]})",
            ) from None


def _column(batch: Any, name: str) -> npt.NDArray[np.int64]:
    column: npt.NDArray[np.int64] = batch[name].to_numpy(zero_copy_only=True)
    return column


def missing(path: Path) -> FeatureSetError:
    return FeatureSetError(f"shard {path} is missing; run the extraction again, it makes just that one")
