"""What archives hold, as folders: each archive is unpacked once, and what was unpacked is compared before each use.

Beside the folder lies its seal, a digest of the names, sizes and times of all that is in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from lib.datasets.archives import unpack
from lib.errors import DataError
from lib.files import digest_file, remove_abandoned, storage_errors, temporary_beside, write_bytes
from lib.locks import alone


def unpacked(archive: Path, folder: Path, sha256: str | None = None) -> Path:
    """The folder that holds just what the archive does. Raises DataError when that is damaged, unsafe, or changed meanwhile."""
    before = _version(archive)
    target = folder / (sha256 or digest_file(archive))[:16]
    if _is_sealed(target):
        return target
    with alone(target):
        if not _is_sealed(target):
            remove_abandoned(folder)
            fresh = temporary_beside(target)
            try:
                unpack(archive, fresh)
                if _version(archive) != before:
                    raise DataError(f"archive {archive} changed while it was unpacked; run the same command again")
                _put(fresh, target)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return target


def distrust(target: Path) -> None:
    """Have a folder that `unpacked` returned made anew at its next use, for what is in it is not what it was."""
    _seal(target).unlink(missing_ok=True)


def _is_sealed(target: Path) -> bool:
    try:
        return target.is_dir() and _seal(target).read_text(encoding="ascii") == _digest(target)
    except (OSError, UnicodeError):
        return False


def _seal(target: Path) -> Path:
    return target.with_name(f".{target.name}.seal")


def _put(fresh: Path, target: Path) -> None:
    """Give `fresh` the name `target`, in the place of what has it, and seal it."""
    former = temporary_beside(target)
    with storage_errors(target):
        if target.exists():
            target.rename(former)
        fresh.rename(target)
        former.unlink() if former.is_symlink() else shutil.rmtree(former, ignore_errors=True)
    write_bytes(_seal(target), _digest(target).encode())


def _version(archive: Path) -> tuple[int, int, int]:
    status = archive.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    waiting = [os.fsencode(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for item in sorted(found, key=lambda each: each.name):
                is_folder = item.is_dir(follow_symlinks=False)
                digest.update(item.name + b"\0")
                if is_folder:
                    waiting.append(item.path)
                else:
                    status = item.stat(follow_symlinks=False)
                    digest.update(f"{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.hexdigest()
