"""Atomic files: a reader sees the whole new file or the old one, never a part of it.

Every file the project keeps is written here: temporary name, fsync, rename, fsync of the folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from lib.errors import StorageError
from lib.machine import lives, this_process

_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS}
_CHUNK = 1 << 20
_DAY = 86_400


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the OSErrors a user can mend (full disk, no permission) into a one-line StorageError about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"disk full while writing {path}: free some space and run the same command again"
            ) from error
        if error.errno in _CANNOT_WRITE:
            raise StorageError(
                f"cannot write {path} ({os.strerror(error.errno or 0)}): "
                "make the folder writable or point PROBEFLOW_DATA / PROBEFLOW_MLRUNS elsewhere"
            ) from error
        if error.errno == errno.EISDIR:
            raise StorageError(f"cannot write {path}: a folder of that name is in its place; move it away") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise StorageError(
                f"cannot write {path}: a part of that path is a file, not a folder; move it away"
            ) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is fsynced and renamed to `path`, else removed.

    Raises
    ------
    StorageError
        When the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{this_process()}.{uuid4().hex[:8]}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left of files they were writing into `folder`.

    A process of this host that lives still writes; of another host that is not known, so its files stay for a day.
    """
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            alive = lives(path.name.split(".")[-3])
            if alive is None:
                alive = time.time() - path.stat().st_mtime <= _DAY
            if not alive:
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename alone may be lost with the power)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, atomically. NaN and infinity are refused: they are not JSON."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def require_writable(folder: Path) -> None:
    """Prove that `folder` exists or can be made, and takes a file. Raises StorageError when it cannot."""
    probe = folder / f".probe.{uuid4().hex[:8]}"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()


def digest_file(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes, read in 1 MiB pieces."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_json(content: Any) -> str:
    """SHA-256 hex digest of the canonical JSON of `content` (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_arrays(*arrays: npt.NDArray[Any]) -> str:
    """SHA-256 hex digest of arrays: their shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
