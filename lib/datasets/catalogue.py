"""What a source of encoded images holds: one row an image, so that a million images take some 240 MB.

A row says where an image lies, its label and split, and, once verified, its digest or why it is no usable image. It is kept on
disk as one Parquet file; what is unchanged since, by size and stamp, is not decoded again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.datasets.decoding import ASKED_AGAIN
from lib.datasets.split_names import SPLITS
from lib.errors import StorageError
from lib.files import atomic_path

WHOLE = -1
"""In place of a split: images that are still to be dealt to train and test."""


def positions_of(splits: Iterable[str]) -> dict[str, int]:
    """What the catalogue notes for images of each of these splits: without a test split, some of train are dealt to it."""
    found = set(splits)
    return {split: WHOLE if split == "train" and "test" not in found else SPLITS.index(split) for split in found}


def names_of(positions: Iterable[int]) -> tuple[str, ...]:
    """The splits that images of these positions make, in order."""
    distinct = set(positions)
    found = {SPLITS[position] for position in distinct - {WHOLE}} | ({"train", "test"} if WHOLE in distinct else set())
    return tuple(split for split in SPLITS if split in found)


UNVERIFIED, FINE = 0, 1
"""States of a row; of a state above `FINE` the rest is the position of its reason, counted from 1."""

UNKNOWN_SIZE, NOT_REGULAR = -1, -2
"""In place of a size: of images within tables until they are read; of what must not be read, such as a pipe."""

_ROW = np.dtype(
    [
        *((name, "i1") for name in ("split", "told", "format", "several")),
        *((name, "<i4") for name in ("label", "container", "state", "height", "width")),
        *((name, "<i8") for name in ("offset", "size", "stamp")),
        ("digest", "u1", 16),
    ]
)
_SEEN = ["format", "height", "width", "several", "digest"]
"""What verification finds."""

_WINDOW = 1 << 13
_FEW = 1 << 11
_writing = threading.Lock()


@dataclass(frozen=True)
class Container:
    """A file that holds many images: its name under the root, and what tells that it was replaced."""

    name: str
    size: int
    stamp: int

    @property
    def path(self) -> bytes:
        """Its name as bytes: file names need not be UTF-8."""
        return self.name.encode("utf-8", "surrogateescape")


class Verified(NamedTuple):
    digest: bytes
    size: int
    format: int
    height: int
    width: int
    several: bool


@dataclass
class Catalogue:
    """Columns of n images; see the module.

    `names`: path under the root, as bytes: file names need not be UTF-8.
    `columns` (structured ndarray, shape (n,)): "split" (position in `SPLITS`, or `WHOLE`), "label" (position in
    `values`, or -1), "container" and "offset" (for images within `containers`), "size" in bytes, "stamp" (changes when
    the image does), "told" (1 + position of the split that the row itself tells, or 0), "state", and of images that
    were looked at "format" (see `recognition`), of usable ones "height", "width", "several" (the file has more frames)
    and "digest" (of the decoded pixels, uint8 (16,)).
    `values`: the labels as the source writes them.
    """

    names: Any
    columns: npt.NDArray[Any]
    values: list[str]
    containers: list[Container] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    decoder: str = ""
    _reason_states: dict[str, int] = field(default_factory=dict, repr=False)

    @classmethod
    def listed(cls, names: Any, values: Sequence[str], **columns: npt.ArrayLike) -> Catalogue:
        """New rows, not yet verified. A column that is not given is 0; so is one of a single value, repeated."""
        rows = np.zeros(len(names), _ROW)
        for name, column in columns.items():
            rows[name] = column
        return cls(names.cast(pa.large_binary()), rows, list(values))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digests(self) -> npt.NDArray[np.uint8]:
        """Of the decoded pixels, where the state is `FINE`: shape (n, 16)."""
        digests: npt.NDArray[np.uint8] = self.columns["digest"]
        return digests

    def name(self, row: int) -> str:
        """The image's name to be shown; bytes that are no UTF-8 are written as escapes."""
        return shown(self.names[int(row)].as_py())

    def reason(self, row: int) -> str:
        state = int(self.columns["state"][row])
        return self.reasons[state - FINE - 1] if state > FINE else ""

    def accept(self, row: int, found: Verified) -> None:
        noted = self.columns[row]
        noted["state"], noted["digest"] = FINE, np.frombuffer(found.digest, np.uint8)
        for name in ("size", "format", "height", "width", "several"):
            noted[name] = getattr(found, name)

    def refuse(self, row: int, reason: str, size: int | None = None, form: int = 0) -> None:
        """Note why the image is not usable, and as what format it begins."""
        state = self._reason_states.get(reason)
        if state is None:
            self.reasons.append(reason)
            state = self._reason_states[reason] = FINE + len(self.reasons)
        self.columns["state"][row] = state
        self.columns["format"][row] = form
        if size is not None:
            self.columns["size"][row] = size

    def refused_for(self, beginnings: str | tuple[str, ...]) -> npt.NDArray[np.bool_]:
        """Which rows have a reason that begins so, shape (n,)."""
        states = [FINE + number for number, reason in enumerate(self.reasons, 1) if reason.startswith(beginnings)]
        found: npt.NDArray[np.bool_] = np.isin(self.columns["state"], states)
        return found

    def adopt(self, known: Catalogue) -> None:
        """Take from `known` what was verified of rows of the same name, size and stamp."""
        at = np.arange(len(self))
        if not self.names.equals(known.names):
            found = pc.index_in(self.names, value_set=known.names)
            at = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        rows = np.flatnonzero(at >= 0)
        at = at[rows]
        same = known.columns["state"][at] != UNVERIFIED
        for name in ("size", "stamp"):
            same &= known.columns[name][at] == self.columns[name][rows]
        rows, at = rows[same], at[same]
        self.columns[_SEEN][rows] = known.columns[_SEEN][at]
        self.columns["state"][rows] = np.minimum(known.columns["state"][at], FINE)
        refused = known.columns["state"][at] > FINE
        for row, there in zip(rows[refused].tolist(), at[refused].tolist(), strict=True):
            self.refuse(row, known.reason(there), form=int(known.columns["format"][there]))

    def part(self, container: int) -> Catalogue:
        start, stop = np.searchsorted(self.columns["container"], [container, container + 1]).tolist()
        return Catalogue(
            self.names.slice(start, stop - start), self.columns[start:stop], self.values, reasons=self.reasons
        )

    def sorted_by_path(self) -> Catalogue:
        """The rows of a new catalogue in the order of their paths, compared part by part."""
        # As the separator, NUL is before every other byte: "a/b" comes before "a-b", as it does by the parts of the paths.
        order = pc.sort_indices(pc.replace_substring(self.names, b"/", b"\0"))
        return self.taken(order.to_numpy())

    def taken(self, rows: npt.NDArray[np.integer[Any]]) -> Catalogue:
        return Catalogue(self.names.take(pa.array(rows)), self.columns[rows], self.values)

    def same_rows(self, other: Catalogue) -> bool:
        """Whether both list the same images with the same stamps, whatever is known of them."""
        return (
            self.containers == other.containers
            and self.values == other.values
            and self.names.equals(other.names)
            and all(
                np.array_equal(self.columns[name], other.columns[name])
                for name in ("size", "stamp", "label", "split", "told")
            )
        )


class CatalogueBuilder:
    """Collects images one by one into a catalogue, few of them as Python objects at a time."""

    def __init__(self, values: Sequence[str] = ()) -> None:
        self._values = {value: code for code, value in enumerate(values)}
        self._names: list[bytes] = []
        self._windows: list[Any] = []
        self._columns = {name: array("q") for name in ("size", "stamp", "offset", "label")} | {"told": array("b")}
        self._reasons: list[tuple[int, str]] = []

    def add(
        self,
        name: bytes,
        label: str | None,
        size: int,
        stamp: int = 0,
        offset: int = 0,
        reason: str | None = None,
        told: int = 0,
    ) -> None:
        if reason is not None:
            self._reasons.append((len(self._columns["size"]), reason))
        code = -1 if label is None else self._values.setdefault(label, len(self._values))
        for column, number in zip(self._columns.values(), (size, stamp, offset, code, told), strict=True):
            column.append(number)
        self._names.append(name)
        if len(self._names) == _FEW:
            self._close()

    def _close(self) -> None:
        self._windows.append(pa.array(self._names, pa.large_binary()))
        self._names.clear()

    def catalogue(self) -> Catalogue:
        self._close()
        columns = {name: np.frombuffer(column, column.typecode) for name, column in self._columns.items()}
        found = Catalogue.listed(pa.concat_arrays(self._windows), list(self._values), **columns)
        for row, reason in self._reasons:
            found.refuse(row, reason)
        return found


def shown(name: bytes) -> str:
    """A file name as text that any terminal, log or JSON takes."""
    return name.decode("utf-8", "backslashreplace")


def join_rows(parts: Sequence[Catalogue], containers: Sequence[Container] = ()) -> Catalogue:
    """The rows of several catalogues, with one list of labels; of containers, if given, each part is one."""
    values: dict[str, int] = {}
    names = parts[0].names if len(parts) == 1 else pa.concat_arrays([part.names for part in parts])
    whole = Catalogue(names, np.concatenate([part.columns for part in parts]), [])
    start = 0
    for number, part in enumerate(parts):
        rows = whole.columns[start : start + len(part)]
        codes = np.array([*(values.setdefault(value, len(values)) for value in part.values), -1], np.int32)
        rows["label"] = codes[part.columns["label"]]  # -1 takes the last one
        if containers:
            rows["container"] = number
        for row in np.flatnonzero(part.columns["state"] > FINE).tolist():
            whole.refuse(start + row, part.reason(row), form=int(part.columns["format"][row]))
        start += len(part)
    whole.values, whole.containers = list(values), list(containers)
    return whole


def compared(listed: Catalogue, known: Catalogue | None) -> tuple[Catalogue, bool]:
    """The catalogue of what is listed, with all that is known of it; and whether `known` lists anything else."""
    if known is None:
        return listed, True
    if listed.same_rows(known):
        return known, False
    listed.adopt(known)
    return listed, True


def give_back() -> None:
    """Return to the system what Arrow's allocator keeps for later: several times the size of a catalogue."""
    pa.default_memory_pool().release_unused()


def save(catalogue: Catalogue, path: Path, decoder: str) -> None:
    """Write the catalogue atomically. Raises StorageError."""
    metadata = {
        "decoder": decoder,
        "values": json.dumps(catalogue.values),
        "reasons": json.dumps(catalogue.reasons),
        "containers": json.dumps([[each.name, each.size, each.stamp] for each in catalogue.containers]),
        "digest": _digest(catalogue, decoder),
        "row": str(_ROW.descr),
    }
    packed = pa.py_buffer(np.ascontiguousarray(catalogue.columns))
    rows = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_ROW.itemsize), len(catalogue), [None, packed])
    table = pa.table({"name": catalogue.names, "row": rows}).replace_schema_metadata(metadata)
    options = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
    with _writing, atomic_path(path) as temporary:
        pq.write_table(table, temporary, row_group_size=_WINDOW, **options)


def read(path: Path, decoder: str | None) -> Catalogue | None:
    """The catalogue on disk; None when there is none, it is damaged, or another decoder verified it."""
    try:
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            metadata = {name.decode(): value.decode() for name, value in file.schema_arrow.metadata.items()}
            if (decoder is not None and metadata["decoder"] != decoder) or metadata["row"] != str(_ROW.descr):
                return None
            rows, names = _column(file, "row"), _column(file, "name")
        columns = np.frombuffer(rows.buffers()[1], _ROW)[rows.offset :][: len(rows)].copy()
        catalogue = Catalogue(names, columns, json.loads(metadata["values"]), decoder=metadata["decoder"])
        catalogue.reasons = json.loads(metadata["reasons"])
        catalogue.containers = [Container(*each) for each in json.loads(metadata["containers"])]
    except Exception:  # a damaged file makes Arrow raise what it likes
        return None
    if _digest(catalogue, metadata["decoder"]) != metadata["digest"]:
        return None
    # A disk or network that failed is asked again.
    states = catalogue.columns["state"]
    states[catalogue.refused_for(ASKED_AGAIN) | (states > FINE + len(catalogue.reasons))] = UNVERIFIED
    return catalogue


def _digest(catalogue: Catalogue, decoder: str) -> str:
    """Of all that is kept: a bit that a disk lost must not make another dataset."""
    digest = hashlib.sha256(repr((decoder, catalogue.values, catalogue.reasons, catalogue.containers)).encode())
    for start in range(0, len(catalogue), _WINDOW):
        names = catalogue.names.slice(start, _WINDOW)
        digest.update(pc.binary_length(names).to_numpy().tobytes())
        digest.update(b"".join(names.to_pylist()))
    digest.update(np.ascontiguousarray(catalogue.columns).view(np.uint8).data)
    return digest.hexdigest()


def _column(file: Any, name: str) -> Any:
    column = file.read([name], use_threads=False).column(0)  # a thread more takes megabytes more
    give_back()
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def forget(path: Path, name: bytes, container: int | None) -> None:
    """Have an image, or all of its container, verified anew the next time; a catalogue that is gone is well forgotten."""
    known = read(path, None)
    if known is None:
        return
    if container is None:
        found = pc.index(known.names, pa.scalar(name, pa.large_binary())).as_py()
        known.columns["state"][found : found + 1 if found >= 0 else 0] = UNVERIFIED
    else:
        listed = known.containers[container]
        known.containers[container] = Container(listed.name, -1, 0)
    with suppress(StorageError):
        save(known, path, known.decoder)
