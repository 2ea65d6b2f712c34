"""Where shared data lies when it is at a URL, and the folder on this machine that holds copies of it.

A folder of copies says whose they are in a file of its own, so any path under it is enough to find its store, in any
process. A plain folder has no such file, and nothing here applies to it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from lib.errors import ConfigError, StorageError
from lib.machine import from_home
from lib.storage.store import Store, s3_endpoint

_MARK = ".probeflow-store"


def place_of(address: str, environment: Mapping[str, str]) -> tuple[Path, str | None]:
    """The folder that PROBEFLOW_DATA means, and its URL when it holds copies: a path and file:// are the folder itself.

    Raises ConfigError when the URL cannot be written to, or holds credentials; StorageError when the folder of copies
    cannot be made.
    """
    if address.startswith("file://"):
        return Path(unquote(address.removeprefix("file://"))).resolve(), None
    if "://" not in address:
        return from_home(address).resolve(), None
    url = _checked(address)
    folder = _cache(environment) / _name(url, environment)
    _mark(folder, url)
    return folder, url


def store_of(path: Path) -> Store | None:
    """The store that `path` is a copy from; None for a plain path."""
    path = path.absolute()
    for folder in (path, *path.parents):
        try:
            mark = folder / _MARK
            if mark.stat().st_uid != os.getuid():  # another's, who would choose where our files go
                continue
            url = mark.read_text(encoding="utf-8").strip()
        except OSError:
            continue
        return Store(url, folder)
    return None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            f"PROBEFLOW_DATA at {shown} holds more than an address: leave out user, password and query, and give "
            "credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in a profile (AWS_PROFILE)"
        )
    if "::" in url or parts.scheme in ("http", "https") or not parts.netloc:
        raise ConfigError(f"PROBEFLOW_DATA is {shown!r}, which cannot be written to; give a path or s3://BUCKET/PREFIX")
    return url.rstrip("/")


def _cache(environment: Mapping[str, str]) -> Path:
    if given := environment.get("PROBEFLOW_CACHE"):
        return from_home(given).resolve()
    try:
        return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "probeflow"
    except RuntimeError:  # a user without a home
        raise ConfigError(
            "there is no folder for copies of PROBEFLOW_DATA: set PROBEFLOW_CACHE to a folder of yours, or HOME"
        ) from None


def _name(url: str, environment: Mapping[str, str]) -> str:
    """One name for one store: equal buckets of two servers are two."""
    return hashlib.sha256(f"{url} {s3_endpoint(environment)}".encode()).hexdigest()[:16]


def _mark(folder: Path, url: str) -> None:
    mark = folder / _MARK
    if mark.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f"{_MARK}.{uuid4().hex[:8]}.tmp"
        temporary.write_text(url + "\n", encoding="utf-8")
        temporary.replace(mark)
    except OSError as error:
        raise StorageError(
            f"cannot keep copies of {url} in {folder} ({error.strerror}): point PROBEFLOW_CACHE at a folder of yours"
        ) from None
