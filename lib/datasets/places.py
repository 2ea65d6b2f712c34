"""Where images lie: a folder on this machine, or a URL of any file system that fsspec knows.

Both list a folder, read a file, and open one for reading at any position. Names are bytes, relative to the place's root.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from lib.datasets.catalogue import NOT_REGULAR, shown
from lib.datasets.decoding import CANNOT_READ, UnreadableError


class Entry(NamedTuple):
    """Something in a folder. `stamp` changes when a file is replaced; of a folder it tells it from every other."""

    name: bytes
    is_folder: bool
    size: int
    stamp: int


class Place(Protocol):
    """A root and what lies under it."""

    @property
    def shown(self) -> str:
        """The root as it may be shown."""
        ...

    def scan(self, folder: bytes) -> Iterator[Entry]:
        """What lies in a folder, in any order. Raises FileNotFoundError."""
        ...

    def identity(self, folder: bytes) -> int:
        """The stamp of a folder. Raises FileNotFoundError."""
        ...

    def fetch(self, names: Iterator[bytes]) -> Iterator[bytes | UnreadableError]:
        """The content of each file, in order, or why there is none."""
        ...

    def open(self, name: bytes) -> IO[bytes]:
        """A file, to be read at any position. Raises OSError."""
        ...


class LocalPlace:
    """A folder, or a single file's folder, on this machine."""

    def __init__(self, root: Path) -> None:
        self.shown = shown(os.fsencode(root))
        self._prefix = os.fsencode(root) + b"/"

    def scan(self, folder: bytes) -> Iterator[Entry]:
        """What lies in a folder, in any order."""
        with os.scandir(self._prefix + folder) as found:
            for item in found:
                try:
                    status = item.stat()
                except OSError:
                    yield Entry(item.name, False, NOT_REGULAR, 0)
                    continue
                if stat.S_ISDIR(status.st_mode):
                    yield Entry(item.name, True, 0, _identity(status))
                elif stat.S_ISREG(status.st_mode):
                    yield Entry(item.name, False, status.st_size, status.st_mtime_ns)
                else:
                    yield Entry(item.name, False, NOT_REGULAR, 0)

    def identity(self, folder: bytes) -> int:
        """The stamp of a folder. Raises FileNotFoundError."""
        return _identity(os.stat(self._prefix + folder))  # noqa: PTH116 - bytes are no Path

    def fetch(self, names: Iterator[bytes]) -> Iterator[bytes | UnreadableError]:
        """The content of each file, in order, or why there is none."""
        for name in names:
            try:
                with self.open(name) as file:
                    yield file.read()
            except OSError as error:
                yield unreadable(error)

    def open(self, name: bytes) -> IO[bytes]:
        """A file, to be read at any position. Raises OSError."""
        return open(self._prefix + name, "rb", buffering=0)  # noqa: PTH123 - bytes are no Path


def _identity(status: os.stat_result) -> int:
    return hash((status.st_dev, status.st_ino))


def unreadable(error: OSError | MemoryError) -> UnreadableError:
    """A file that is gone is the image's matter; anything else is the machine's, and is asked again the next time."""
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    gone = isinstance(error, FileNotFoundError) or getattr(error, "errno", None) == errno.ENOENT
    return UnreadableError("the file is gone" if gone else f"{CANNOT_READ}{reason}")
