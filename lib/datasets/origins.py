"""Where a file may be copied from: a mirror's folder on this machine, its object store, or a web server."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.addresses import PATIENCE_SECONDS, proxies_left_out, without_credentials, without_secrets
from lib.datasets.copies import PART, Origin, Stamp
from lib.datasets.places import open_filesystem, remote_errors
from lib.errors import DataError
from lib.progress import Advance, bar
from lib.storage.store import version_of

_CHUNK = 1 << 18
_ATTEMPTS = 4
_SILENT_SECONDS = 60
_silent_until: dict[str, float] = {}
"""Web servers that took too long to begin an answer, and until when they are not asked again."""

_AGENT = {"User-Agent": "probeflow"}
_NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


class _SilentError(TimeoutError):
    """A web server that does not begin to answer."""


class UnavailableError(DataError):
    """An address that does not give the file; why."""


def origin_of(address: str, proven: bool) -> Origin:
    """What lies at an address; of a copy that a digest will prove whole, a download may go on from any version's part."""
    if address.startswith("file:"):
        return _Local(address)
    return UrlOrigin(address) if address.startswith("s3:") else _OnWeb(address, proven)


def digest_of(*parts: str) -> str:
    """Short hex digest of some strings, for names of files and folders."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True)
class _Local:
    url: str
    is_near = True

    @property
    def shown(self) -> str:
        return self.url

    def stamp(self) -> Stamp:
        """Its size and times; who replaces a file may set the time of its content, but not that of the change."""
        status = self._path.stat()
        return {"size": str(status.st_size), "modified": str(status.st_mtime_ns), "changed": str(status.st_ctime_ns)}

    def copy(self, target: Path) -> None:
        try:
            source = self._path.open("rb")
        except OSError as error:
            raise UnavailableError("no such file" if isinstance(error, FileNotFoundError) else error.strerror) from None
        with source, bar(self._path.name, self._path.stat().st_size, "B") as advance, target.open("wb") as write:
            _pour(source, write, advance)

    @property
    def _path(self) -> Path:
        return Path(urllib.request.url2pathname(urllib.parse.urlparse(self.url).path))


class UrlOrigin:
    is_near = False

    def __init__(self, url: str) -> None:
        self.shown = without_secrets(url)
        self._url = url

    def stamp(self) -> Stamp:
        with self._opened() as (filesystem, inner):
            filesystem.invalidate_cache()
            info = filesystem.info(inner)
        return {"size": str(info.get("size")), "stamp": version_of(info)}

    def copy(self, target: Path) -> None:
        with self._opened() as (filesystem, inner):
            filesystem.get_file(inner, str(target))

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        opened = open_filesystem(self._url)
        try:
            with remote_errors(self.shown):
                yield opened
        except FileNotFoundError:
            raise UnavailableError("no such object") from None


@dataclass(frozen=True)
class _OnWeb:
    url: str
    proven: bool
    is_near = False

    @property
    def shown(self) -> str:
        return without_credentials(self.url)

    def stamp(self) -> Stamp:
        try:
            with _asked(self.url, "HEAD") as response:
                told = {name: response.headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length")}
        except _NETWORK_ERRORS as error:
            raise self._unavailable(error) from None
        if not any(told.values()):
            raise UnavailableError("the server tells neither its size nor its version")
        return {name: value for name, value in told.items() if value is not None}

    def copy(self, target: Path) -> None:
        """Download it, going on where an earlier attempt stopped at the same version of the file."""
        version = None if self.proven else self._version()
        part = target.with_name(f".{digest_of(self.shown, *(version or {}).values())}{PART}")
        if version == {}:
            part.unlink(missing_ok=True)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._download(part)
                break
            except _NETWORK_ERRORS as error:
                final = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410)
                final = final or isinstance(error, _SilentError)
                if attempt == _ATTEMPTS or final:
                    raise self._unavailable(error) from None
                time.sleep(2 ** (attempt - 2) * (1 + random.random()))
        part.replace(target)

    def _unavailable(self, error: BaseException) -> UnavailableError:
        return UnavailableError(f"{getattr(error, 'reason', error)}{proxies_left_out(self.url)}")

    def _version(self) -> Stamp:
        try:
            return {name: value for name, value in self.stamp().items() if name != "Content-Length"}
        except UnavailableError:
            return {}

    def _download(self, part: Path) -> None:
        done = part.stat().st_size if part.exists() else 0
        try:
            response = _asked(self.url, "GET", {"Range": f"bytes={done}-"} if done else {})
        except urllib.error.HTTPError as error:
            if error.code != 416:  # 416: nothing is left to fetch, or the part is not of this file; its digest decides
                raise
            return
        with response:
            resumed = response.status == 206
            length = int(response.headers.get("Content-Length") or 0)
            total = length + (done if resumed else 0)
            name = urllib.parse.unquote(self.shown.rpartition("/")[2])
            with bar(name, total or None, "B") as advance, part.open("ab" if resumed else "wb") as write:
                advance(done if resumed else 0)
                _pour(response, write, advance)
            if length and part.stat().st_size != total:
                raise ConnectionError(f"connection lost at {part.stat().st_size:,} of {total:,} bytes")


def _asked(url: str, method: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """The server's answer; user and password in the address become the header that urllib does not make of them."""
    parts = urllib.parse.urlsplit(url)
    given, separator, host = parts.netloc.rpartition("@")
    allowed = {}
    if separator:
        url = urllib.parse.urlunsplit(parts._replace(netloc=host))
        allowed = {"Authorization": f"Basic {base64.b64encode(urllib.parse.unquote(given).encode()).decode()}"}
    request = urllib.request.Request(url, headers=_AGENT | allowed | (headers or {}), method=method)
    if time.monotonic() < _silent_until.get(host, 0):
        raise _SilentError(f"no answer within {PATIENCE_SECONDS} s")
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
    except OSError as error:
        if not isinstance(getattr(error, "reason", error), TimeoutError):
            raise
        _silent_until[host] = time.monotonic() + _SILENT_SECONDS
        raise _SilentError(f"no answer within {PATIENCE_SECONDS} s") from None
    return response


def _pour(read: object, write: object, advance: Advance) -> None:
    while chunk := read.read(_CHUNK):  # type: ignore[attr-defined]
        write.write(chunk)  # type: ignore[attr-defined]
        advance(len(chunk))
