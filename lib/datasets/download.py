"""Fetching one file: from the mirror when there is one, else from its public addresses; resumed, checked, atomic."""

from __future__ import annotations

import base64
import hashlib
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.addresses import without_credentials
from lib.errors import AbsentError, DataError
from lib.files import atomic_path, digest_file, storage_errors
from lib.progress import Advance, bar
from lib.storage.store import download

_CHUNK = 1 << 18
_ATTEMPTS = 4
_TIMEOUT_SECONDS = 30
_AGENT = {"User-Agent": "probeflow"}

NOWHERE = "nowhere:"
"""As a mirror: what is not on disk is not fetched."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to have: its name under a mirror, its public addresses, and what proves it whole."""

    name: str
    urls: Sequence[str] = ()
    algorithm: str = "sha256"
    digest: str | None = None


def fetch(file: RemoteFile, target: Path, mirror: str | None) -> Path:
    """Make sure `target` is the whole file and return it; an existing, right one is left alone.

    Parameters
    ----------
    mirror : str or None
        "file:///…", "https://…" (perhaps with USER:PASSWORD@, never shown) or "s3://…"; when given, `<mirror>/<name>` is
        the only place asked.

    Raises
    ------
    DataError
        When no place has it, or what came is damaged. A partial download stays as `.part` and is resumed next time.
    AbsentError
        When it is not there and the mirror is `NOWHERE`.
    """
    if target.exists() and _is_whole(file, target):
        return target
    if mirror == NOWHERE:
        raise AbsentError(f"{file.name} is not on this machine yet")
    urls = [_under(mirror, file.name)] if mirror else list(file.urls)
    if not urls:
        raise DataError(f"{file.name} has no public address: set PROBEFLOW_MIRROR to a place that holds it")
    problems = []
    for url in urls:
        try:
            _fetch_from(url, file, target)
            return target
        except _UnavailableError as problem:
            problems.append(f"{without_credentials(url)}: {problem}")
    fix = (
        f"check that the mirror holds {file.name}"
        if mirror
        else f"without network set PROBEFLOW_MIRROR=file:///FOLDER that holds {file.name}"
    )
    raise DataError(f"cannot fetch {file.name} ({'; '.join(problems)}); {fix}")


def _under(mirror: str, name: str) -> str:
    return f"{mirror.rstrip('/')}/{name if mirror.startswith('s3:') else urllib.parse.quote(name)}"


class _UnavailableError(Exception):
    """One address did not give the file."""


def _is_whole(file: RemoteFile, path: Path) -> bool:
    return file.digest is None or digest_file(path, file.algorithm) == file.digest


def _fetch_from(url: str, file: RemoteFile, target: Path) -> None:
    if url.startswith("file:"):
        _copy(Path(urllib.request.url2pathname(urllib.parse.urlparse(url).path)), file, target)
        return
    if url.startswith("s3:"):
        _copy_object(url, file, target)
        return
    part = target.with_name(f"{target.name}.part")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _download(url, file.name, part)
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                final = isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410)
                if attempt == _ATTEMPTS or final:
                    raise _UnavailableError(getattr(error, "reason", error)) from None
                time.sleep(2 ** (attempt - 2) * (1 + random.random()))
    if not _is_whole(file, part):
        part.unlink()
        raise DataError(
            f"{file.name} from {without_credentials(url)} is damaged: its {file.algorithm} is not {file.digest}; "
            "try again or use a mirror"
        )
    part.replace(target)


def _copy(source: Path, file: RemoteFile, target: Path) -> None:
    if not source.is_file():
        raise _UnavailableError("no such file")
    with bar(file.name, source.stat().st_size, "B") as advance, atomic_path(target) as temporary:
        with source.open("rb") as read, temporary.open("wb") as write:
            _pour(read, write, advance)
        if not _is_whole(file, temporary):
            raise DataError(
                f"{source} is damaged or altered: its {file.algorithm} is not {file.digest}; replace it with the original"
            )


def _copy_object(url: str, file: RemoteFile, target: Path) -> None:
    with atomic_path(target) as temporary:
        try:
            download(url, temporary)
        except FileNotFoundError:
            raise _UnavailableError("no such object") from None
        if not _is_whole(file, temporary):
            raise DataError(
                f"{url} is damaged or altered: its {file.algorithm} is not {file.digest}; replace it with the original"
            )


def _download(url: str, name: str, part: Path) -> None:
    """Download to `part`, going on where an earlier attempt stopped if the server can."""
    done = part.stat().st_size if part.exists() else 0
    url, allowed = _authorized(url)
    request = urllib.request.Request(url, headers=_AGENT | allowed | ({"Range": f"bytes={done}-"} if done else {}))
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to fetch, or the part is not of this file; its digest decides
            raise
        return
    with response:
        resumed = response.status == 206
        length = int(response.headers.get("Content-Length") or 0)
        total = length + (done if resumed else 0)
        with bar(name, total or None, "B") as advance, part.open("ab" if resumed else "wb") as write:
            advance(done if resumed else 0)
            _pour(response, write, advance)
        if length and part.stat().st_size != total:
            raise ConnectionError(f"connection lost at {part.stat().st_size:,} of {total:,} bytes")


def _authorized(url: str) -> tuple[str, dict[str, str]]:
    """`url` without its user and password, and these as the header that urllib does not make of them."""
    parts = urllib.parse.urlsplit(url)
    given, separator, host = parts.netloc.rpartition("@")
    if not separator:
        return url, {}
    token = base64.b64encode(urllib.parse.unquote(given).encode()).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {token}"}


def _pour(read: object, write: object, advance: Advance) -> None:
    while chunk := read.read(_CHUNK):  # type: ignore[attr-defined]
        write.write(chunk)  # type: ignore[attr-defined]
        advance(len(chunk))


def digest_of(*parts: str) -> str:
    """Short hex digest of some strings, for folder names."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
