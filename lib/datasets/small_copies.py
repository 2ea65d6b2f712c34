"""Small copies of large images, kept while these are verified, so that a run decodes a photo once.

Each belongs to the digest of its image and has a checksum; the files may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lib.datasets.shrinking import Shrink
from lib.files import atomic_path

_SUFFIX = ".copies"
_SHARE = 10
"""Of the disk's free space a tenth at most becomes copies: of more images than that, the rest are decoded again."""


def copies_folder(catalogue: Path) -> Path:
    return catalogue.with_suffix(_SUFFIX)


class Keeper:
    """Takes copies of images as they are verified; safe to call from several threads at once."""

    def __init__(self, folder: Path, shrinks: Sequence[Shrink], stack: ExitStack) -> None:
        self._folder = folder
        self._shrinks = shrinks
        self._stack = stack
        self._files: dict[Shrink, IO[bytes]] = {}
        self._room: int | None = None
        self._lock = threading.Lock()

    def add(self, digest: bytes, pixels: npt.NDArray[np.uint8]) -> None:
        """Keep what is needed of a verified image, if it is large and there is room."""
        for shrink in self._shrinks:
            if shrink.applies(*pixels.shape[:2]):
                record = np.zeros((), _record(shrink))
                record["pixels"] = shrink(pixels)
                record["digest"] = np.frombuffer(digest, np.uint8)
                record["checksum"] = np.frombuffer(_checksum(record["pixels"]), np.uint8)
                with self._lock:
                    self._write(shrink, record.tobytes())

    def _write(self, shrink: Shrink, record: bytes) -> None:
        if shrink not in self._files:
            path = self._folder / f"{shrink.name}.{uuid.uuid4().hex}"
            temporary = self._stack.enter_context(atomic_path(path))
            self._files[shrink] = self._stack.enter_context(temporary.open("wb"))
        if self._room is None:
            self._room = shutil.disk_usage(self._folder).free // _SHARE
        if self._room >= len(record):
            self._room -= len(record)
            self._files[shrink].write(record)


@contextmanager
def keeping(catalogue: Path, shrinks: Sequence[Shrink]) -> Iterator[Keeper]:
    """Keep copies of images that are verified meanwhile; the files are there once all of them are."""
    with ExitStack() as stack:
        yield Keeper(copies_folder(catalogue), shrinks, stack)


def small_copy(folder: Path, shrink: Shrink, digest: bytes) -> npt.NDArray[np.uint8] | None:
    """The shrunk image, uint8 (side, side, 3), of the image with this digest; None when no whole copy is kept."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(f"{shrink.name}."))  # noqa: PTH208
    except OSError:
        return None
    for name in names:
        try:
            records, places = _opened(folder / name, shrink)
        except (OSError, ValueError):  # deleted meanwhile, or empty
            continue
        if (place := places.get(digest)) is not None:
            record = records[place]
            pixels: npt.NDArray[np.uint8] = np.array(record["pixels"])
            if _checksum(pixels) == record["checksum"].tobytes():
                return pixels
    return None


@lru_cache(maxsize=16)
def _opened(path: Path, shrink: Shrink) -> tuple[npt.NDArray[Any], dict[bytes, int]]:
    """The records of a file, which never changes once it has its name, and where each digest stands."""
    record = _record(shrink)
    records = np.memmap(path, record, "r", shape=(path.stat().st_size // record.itemsize,))
    digests = np.ascontiguousarray(records["digest"])
    return records, {digest.tobytes(): place for place, digest in enumerate(digests)}


def _record(shrink: Shrink) -> np.dtype[np.void]:
    return np.dtype([("digest", "u1", 16), ("checksum", "u1", 16), ("pixels", "u1", (shrink.side, shrink.side, 3))])


def _checksum(pixels: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()
