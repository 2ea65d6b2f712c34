"""Where images lie: a folder on this machine, or a URL of any file system that fsspec knows.

Both list a folder, give parts of files, and open one for reading at any position. Names are bytes, relative to the root.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol
from urllib.parse import unquote

from lib.addresses import PATIENCE_SECONDS, hangs, proxies_left_out, without_secrets
from lib.datasets.catalogue import NOT_REGULAR, shown
from lib.datasets.copies import is_offline
from lib.datasets.decoding import CANNOT_READ, NO_PERMISSION, UnreadableError
from lib.errors import AbsentError, ConfigError, DataError, ProbeflowError, one_line
from lib.storage.store import s3_endpoint, version_of
from lib.text import cut

Range = tuple[bytes, int, int | None]
"""A file's name, the first byte wanted, and how many; None for all that follow."""

_AT_ONCE = 32
"""Ranges asked of a remote file system together."""

_ATTEMPTS = 3

_WEB = ("http://", "https://")
_STALLED_SECONDS = 60


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

    def scan(self, folder: bytes) -> Iterator[Entry]:
        """What lies in a folder, in any order. Raises FileNotFoundError."""

    def identity(self, folder: bytes) -> int:
        """The stamp of a folder. Raises FileNotFoundError."""

    def fetch(self, ranges: Iterable[Range]) -> Iterator[bytes | UnreadableError]:
        """The bytes of each range, in order, or why there are none."""

    def open(self, name: bytes) -> IO[bytes]:
        """A file, to be read at any position. Raises OSError or DataError."""

    def is_own(self, entry: Entry) -> bool:
        """Whether this is a folder where probeflow itself writes."""


class LocalPlace:
    """A folder on this machine."""

    def __init__(self, root: Path, own: Iterable[Path] = ()) -> None:
        self.shown = shown(os.fsencode(root))
        self._own = {_identity(folder.stat()) for folder in own if folder.exists()}
        self._prefix = os.fsencode(root) + b"/"

    def scan(self, folder: bytes) -> Iterator[Entry]:
        with self._listing_errors(folder), os.scandir(self._prefix + folder) as found:
            for item in found:
                try:
                    status = item.stat()
                except OSError as error:
                    if error.errno == errno.ENAMETOOLONG:  # there may be thousands of images below it
                        raise
                    yield Entry(item.name, False, NOT_REGULAR, 0)
                    continue
                if stat.S_ISDIR(status.st_mode):
                    yield Entry(item.name, True, 0, _identity(status))
                elif stat.S_ISREG(status.st_mode):
                    yield Entry(item.name, False, status.st_size, status.st_mtime_ns)
                else:
                    yield Entry(item.name, False, NOT_REGULAR, 0)

    def identity(self, folder: bytes) -> int:
        with self._listing_errors(folder):
            return _identity(os.stat(self._prefix + folder))  # noqa: PTH116 - bytes are no Path

    @contextmanager
    def _listing_errors(self, folder: bytes) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            name, fix = f"{self.shown}/{shown(folder)}", "fix that or move it away"
            if error.errno == errno.ENAMETOOLONG:
                fix = (
                    f"a path of {len(name):,} characters is too long for this system: move what lies there up, or away"
                )
            raise DataError(f"folder {cut(name)} cannot be listed ({error.strerror}); {fix}") from None

    def fetch(self, ranges: Iterable[Range]) -> Iterator[bytes | UnreadableError]:
        """The bytes of each range, in order, or why there are none; a file is opened once for ranges that follow."""
        opened, file = b"", None
        try:
            for name, start, size in ranges:
                try:
                    if file is None or name != opened:
                        if file is not None:
                            file.close()
                        opened, file = name, self.open(name)
                    if start:
                        file.seek(start)
                    content = file.read(-1 if size is None else size)
                except (OSError, MemoryError) as error:
                    file = None
                    yield unreadable(error)
                else:
                    yield content
                    if size is None:
                        file.close()
                        file = None
        finally:
            if file is not None:
                file.close()

    def open(self, name: bytes) -> IO[bytes]:
        return open(self._prefix + name, "rb", buffering=0)  # noqa: PTH123 - bytes are no Path

    def is_own(self, entry: Entry) -> bool:
        return entry.is_folder and entry.stamp in self._own


class RemotePlace:
    """A folder of a file system that fsspec knows."""

    def __init__(self, filesystem: Any, root: str, url: str) -> None:
        self.shown = without_secrets(url).rstrip("/")
        self._filesystem = filesystem
        self._root = root.rstrip("/") + "/"

    def scan(self, folder: bytes) -> Iterator[Entry]:
        path = self._path(folder)
        with remote_errors(self.shown):
            found = self._filesystem.ls(path, detail=True)
            self._filesystem.invalidate_cache()  # or all listings stay in memory
        for info in found:
            name = info["name"].rstrip("/").rpartition("/")[2]
            if info["type"] == "directory":
                yield Entry(os.fsencode(name), True, 0, _number(os.fsencode(f"{path.rstrip('/')}/{name}")))
            elif info["name"].rstrip("/") != path.rstrip("/"):  # object stores list a folder as an empty object in it
                if info.get("size") is None:
                    raise DataError(
                        f"{self.shown} lists its files without their sizes, as web servers do; give tar shards or "
                        "Parquet files there by name (source: webdataset or parquet, path: with {000..009})"
                    )
                yield Entry(os.fsencode(name), False, info["size"], stamp_of(info))

    def identity(self, folder: bytes) -> int:
        path = self._path(folder)
        with remote_errors(self.shown):
            if not self._filesystem.isdir(path):
                raise FileNotFoundError(path)
        return _number(os.fsencode(path.rstrip("/")))

    def fetch(self, ranges: Iterable[Range]) -> Iterator[bytes | UnreadableError]:
        """The bytes of each range, in order, or why there are none; some are asked for together."""
        rest = iter(ranges)
        while wanted := list(islice(rest, _AT_ONCE)):
            found = self._fetch(wanted)
            for attempt in range(1, _ATTEMPTS):
                failed = [
                    position
                    for position, content in enumerate(found)
                    if isinstance(content, BaseException)
                    and not isinstance(content, FileNotFoundError | PermissionError)
                ]
                if not failed:
                    break
                time.sleep(0.5 * 2**attempt)
                for position, content in zip(failed, self._fetch([wanted[each] for each in failed]), strict=True):
                    found[position] = content
            for (name, _, size), content in zip(wanted, found, strict=True):
                if size is not None and isinstance(content, bytes) and len(content) > size:
                    raise self._no_ranges(name)
                yield content if isinstance(content, bytes) else unreadable(content)

    def _fetch(self, ranges: list[Range]) -> list[Any]:
        paths = [self._path(name) for name, _, _ in ranges]
        starts = [None if size is None else start for _, start, size in ranges]
        ends = [None if size is None else start + size for _, start, size in ranges]
        content: list[Any] = self._filesystem.cat_ranges(paths, starts, ends, on_error="return")
        return content

    def open(self, name: bytes) -> IO[bytes]:
        with remote_errors(self.shown):
            file: IO[bytes] = self._filesystem.open(self._path(name), "rb")
        if not file.seekable():
            file.close()
            raise self._no_ranges(name)
        return file

    def is_own(self, entry: Entry) -> bool:
        return False

    def _no_ranges(self, name: bytes) -> DataError:
        return DataError(
            f"{self.shown}/{shown(name)} cannot be read in parts (the server knows no ranges); "
            "use another server or copy the file here"
        )

    def _path(self, name: bytes) -> str:
        return self._root + os.fsdecode(name)


def is_url(path: str) -> bool:
    """Whether fsspec is to be asked, and not the local file system."""
    return "://" in path or "::" in path


def is_local(filesystem: Any) -> bool:
    """Whether its files are this machine's, which are read without fsspec."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(filesystem, LocalFileSystem)


def open_filesystem(url: str, mirror: str | None = None) -> tuple[Any, str]:
    """The file system of a URL and the path within it.

    Raises ConfigError when no such file system is known, or its package is not installed; AbsentError when nothing is
    to be fetched from the mirror and it is not on this machine; DataError when its web server is silent.
    """
    import fsspec

    if url.startswith("file://"):
        return fsspec.filesystem("file"), unquote(url.removeprefix("file://"))
    protocol = url.partition("://")[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **_web_options(url))
    except ImportError as error:
        package = re.search(r"[Ii]nstall (?:the )?(\w+)", str(error))
        fix = f"pip install {package.group(1)}" if package else "install what it names"
        raise ConfigError(f"{protocol}:// cannot be read here ({one_line(error)}): {fix}") from None
    except ValueError as error:
        known = ", ".join(("file", "s3", "gs", "abfs", "http", "https", "memory"))
        raise ConfigError(
            f"{without_secrets(url)}: {one_line(error)}; known are {known} and all that fsspec knows"
        ) from None
    except Exception as error:  # what drives it, such as libhdfs, is missing or finds no server
        raise DataError(
            f"{without_secrets(url)} cannot be opened ({one_line(error)[:200]}); check the address, and that what reads "
            f"{protocol}:// is installed"
        ) from None
    if is_offline(mirror) and not is_local(filesystem):
        raise AbsentError(f"{without_secrets(url)} is not on this machine")
    for address in url.split("::"):
        server = s3_endpoint() if address.startswith("s3") else address if address.startswith(_WEB) else None
        if server and hangs(server):
            raise DataError(
                f"{without_secrets(server)} does not answer within {PATIENCE_SECONDS} s{proxies_left_out(server)}; "
                "check the address and the network"
            )
    return filesystem, str(path)


def _web_options(url: str) -> dict[str, Any]:
    """For web servers: proxies as everywhere, and any length of time for a file whose bytes keep coming."""
    names = {address.partition("://")[0] for address in url.split("::") if address.startswith(_WEB)}
    if not names:
        return {}
    from aiohttp import ClientTimeout

    patience = ClientTimeout(total=None, sock_connect=PATIENCE_SECONDS, sock_read=_STALLED_SECONDS)
    return {name: {"client_kwargs": {"timeout": patience, "trust_env": True}} for name in names}


@contextmanager
def remote_errors(place: str) -> Iterator[None]:
    """Turn whatever a file system raises into a one-line DataError; what is not found stays a FileNotFoundError."""
    try:
        yield
    except (FileNotFoundError, ProbeflowError):
        raise
    except Exception as error:  # each file system has its own
        raise DataError(
            f"{place} cannot be read ({one_line(error)}{proxies_left_out(place)}); check the address, the network and the "
            "credentials"
        ) from None


def stamp_of(info: dict[str, Any]) -> int:
    """A number that changes when the file is replaced, from what its file system tells of it."""
    return _number(version_of(info).encode())


def unreadable(error: BaseException) -> UnreadableError:
    """A file that is gone is the image's matter; anything else is the machine's, and is asked again the next time."""
    if isinstance(error, FileNotFoundError) or getattr(error, "errno", None) == errno.ENOENT:
        return UnreadableError("the file is gone")
    if isinstance(error, PermissionError):
        return UnreadableError(NO_PERMISSION)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return UnreadableError(f"{CANNOT_READ}{reason}")


def _identity(status: os.stat_result) -> int:
    return hash((status.st_dev, status.st_ino))


def _number(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)
