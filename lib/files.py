"""Atomic files: a reader sees the whole new file or the old one, never a part of it.

Every file the project keeps is written here: temporary name, fsync, rename, fsync of the folder. In a folder of copies
(`lib.storage`) a shared file goes to its store before it gets its name here, so what is here is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from lib.errors import PLACES, StorageError, system_words
from lib.machine import lives, this_process
from lib.storage.address import store_of
from lib.storage.store import Store

_DAY = 86_400
_SEAL = "sha256"


@contextmanager
def storage_errors(path: Path, setting: str = PLACES) -> Iterator[None]:
    """Turn the OSErrors that a user can fix into a one-line StorageError about `path`; `setting` says where that is."""
    try:
        yield
    except OSError as error:
        if words := system_words(error, path, writing=True, setting=setting):
            raise StorageError(words) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is fsynced and renamed to `path`, else removed.

    Raises StorageError when the disk is full or the folder cannot be written, or the store that the folder has copies
    of.
    """
    temporary = temporary_beside(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            if (store := _sharing(path)) is not None:
                store.put(temporary, path)
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def require_no_folder(file: Path) -> None:
    """Raise StorageError where a folder has the name of a file that is to be written, before what goes into it is made."""
    if file.is_dir():
        raise StorageError(f"cannot write {file}: a folder of that name is in its place; give a file")


def remove_file(path: Path) -> None:
    if (store := _sharing(path)) is not None:
        store.remove(path)
    path.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A name for a file that will be renamed to `path`, by which `remove_abandoned` knows whose it is."""
    return path.with_name(f".{path.name}.{this_process()}.{uuid4().hex[:8]}.tmp")


def _sharing(path: Path) -> Store | None:
    """The store that has this file too, if there is one."""
    store = store_of(path)
    return store if store is not None and store.shares(path) else None


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left of files and folders they were writing into `folder`.

    A process of this host that lives still writes; of another host that is not known, so its files stay for a day.
    """
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            alive = lives(path.name.split(".")[-3])
            if alive is None:
                alive = time.time() - path.stat().st_mtime <= _DAY
            if not alive:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename alone may be lost with the power)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, atomically. NaN and infinity are refused: they are not JSON."""
    write_bytes(path, _json_bytes(content))


def write_json_once(path: Path, content: Any) -> None:
    """Write `content` to `path` unless a file is there: of all who try, on any machine, the first one's stays."""
    whole, temporary, store = _json_bytes(content), temporary_beside(path), _sharing(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if store is not None and not store.create(path, whole):
                store.get(path, temporary)
            else:
                temporary.write_bytes(whole)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            if store is not None:
                temporary.replace(path)
            else:
                _link(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Name the file `source` also `target`, unless that name is taken, which a rename would not mind."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        source.replace(target)


def _json_bytes(content: Any) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def require_writable(folder: Path, setting: str = PLACES) -> None:
    """Prove that `folder` takes a file, and the store that it has copies of. Raises StorageError naming `setting`."""
    probe = folder / f".probe.{uuid4().hex[:8]}"
    with storage_errors(folder, setting):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"x")  # a full disk takes a name still
        except FileNotFoundError as error:
            words = (
                f"cannot write {folder}: a folder above it cannot be made ({error.strerror}); point {setting} elsewhere"
            )
            raise StorageError(words) from None
        finally:
            with suppress(OSError):
                probe.unlink()
    if (store := store_of(folder)) is not None and store.cache == folder.absolute():
        store.require_writable()


def digest_file(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


def digest_json(content: Any) -> str:
    """SHA-256 hex digest of the canonical JSON of `content` (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """JSON content with the digest of all of it as its last field, by which `unsealed` finds damage."""
    plain = {name: value for name, value in content.items() if name != _SEAL}
    return {**plain, _SEAL: digest_json(json.loads(json.dumps(plain)))}  # as it is read: keys are text, sorted as such


def unsealed(content: Any, must: bool = False) -> dict[str, Any]:
    """Sealed JSON content without its seal; without one it passes unless it `must`. Raises ValueError when it changed."""
    if not isinstance(content, dict):
        raise ValueError(f"it holds {type(content).__name__}, not fields")
    if (_SEAL in content or must) and content.get(_SEAL) != sealed(content)[_SEAL]:
        raise ValueError(f"its {_SEAL} does not fit its content")
    return {name: value for name, value in content.items() if name != _SEAL}


def digest_arrays(*arrays: npt.NDArray[Any]) -> str:
    """SHA-256 hex digest of arrays: their shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
