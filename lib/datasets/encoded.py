"""Images that lie encoded in files, archives or tables, decoded on access and compared with their digest at each reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import Catalogue
from lib.datasets.decoding import ASKED_AGAIN, CHANNELS, Decoder, UnreadableError
from lib.datasets.images import Digests, Rows
from lib.datasets.shrinking import Shrink
from lib.datasets.small_copies import copies_folder, small_copy
from lib.datasets.unpacked import distrust
from lib.errors import ChangedError, DataError


class ByteStore(Protocol):
    """Where a catalogue's encoded images lie."""

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        """The bytes of each row in order, or why there are none. Safe to call from several threads at once."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """The images at some rows of a verified catalogue; safe to use from several threads at once.

    `_rows` (int64, shape (n,)): rows of the catalogue, all of them fit for use.
    `_file`: where the catalogue is kept: an image found changed is struck from it.
    `_copy`: the folder that an archive was unpacked to: after a change in it it is unpacked anew.
    """

    _catalogue: Catalogue
    _rows: Rows
    _store: ByteStore
    _decoder: Decoder
    _file: Path
    _copy: Path | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        return self.read([index])[0]

    def read(self, rows: Sequence[int] | Rows) -> list[npt.NDArray[np.uint8]]:
        """Images (height, width, 3), uint8, in order. Raises ChangedError for one that is another now; DataError."""
        wanted = [int(self._rows[row]) for row in rows]
        fetched = self._store.fetch(self._catalogue, wanted)
        return [self._decoded(row, data) for row, data in zip(wanted, fetched, strict=True)]

    def shrunk(self, rows: Sequence[int] | Rows, shrink: Shrink) -> list[npt.NDArray[np.uint8]]:
        """What `shrink` makes of images; small copies are not decoded again, and one is large in memory. Raises as `read`."""
        columns, wanted = self._catalogue.columns, self._rows[np.asarray(rows, np.int64)]
        found: dict[int, npt.NDArray[np.uint8]] = {}
        for row in wanted.tolist():
            if shrink.applies(int(columns["height"][row]), int(columns["width"][row])):
                copy = small_copy(copies_folder(self._file), shrink, columns["digest"][row].tobytes())
                found |= {} if copy is None else {row: copy}
        missing = [row for row in dict.fromkeys(wanted.tolist()) if row not in found]
        for row, data in zip(missing, self._store.fetch(self._catalogue, missing), strict=True):
            found[row] = shrink(self._decoded(row, data))
        return [found[row] for row in wanted.tolist()]

    def take(self, rows: Rows) -> EncodedImages:
        return replace(self, _rows=self._rows[rows])

    @property
    def digests(self) -> Digests:
        """Content digest of each image, shape (n,), dtype S16; nothing is read."""
        found: Digests = self._catalogue.digests[self._rows].view("S16").reshape(-1)
        return found

    @property
    def shapes(self) -> npt.NDArray[np.int32]:
        """Height, width and channels of each image, shape (n, 3); nothing is read."""
        columns = self._catalogue.columns
        channels = np.full(len(self), CHANNELS, np.int32)
        return np.column_stack([columns["height"][self._rows], columns["width"][self._rows], channels])

    def decoded_bytes(self, rows: range | Rows) -> npt.NDArray[np.int64]:
        """Bytes of each of these images once decoded, shape (n,); nothing is read."""
        columns, wanted = self._catalogue.columns, self._rows[np.asarray(rows, np.int64)]
        found: npt.NDArray[np.int64] = CHANNELS * columns["height"][wanted].astype(np.int64) * columns["width"][wanted]
        return found

    def name(self, index: int) -> str:
        return self._catalogue.name(int(self._rows[index]))

    def _decoded(self, row: int, data: bytes | UnreadableError) -> npt.NDArray[np.uint8]:
        try:
            if isinstance(data, UnreadableError):
                raise data
            pixels = self._decoder(data)
        except UnreadableError as problem:
            if str(problem).startswith(ASKED_AGAIN):
                raise DataError(f"image {self._catalogue.name(row)}: {problem}; fix that and run it again") from None
            raise self._changed(row, str(problem)) from None
        if self._decoder.digest(data, pixels) != self._catalogue.digests[row].tobytes():
            raise self._changed(row, "its pixels are others")
        return pixels

    def _changed(self, row: int, why: str) -> ChangedError:
        within = int(self._catalogue.columns["container"][row]) if self._catalogue.containers else None
        catalogues.forget(self._file, self._catalogue.names[row].as_py(), within)
        if self._copy is not None:
            distrust(self._copy)
        return ChangedError(
            f"image {self._catalogue.name(row)} changed since it was verified ({why}); "
            "run the same command again: it is verified anew"
        )
