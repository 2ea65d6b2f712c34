"""Unpacking archives safely: no path leaves the target, no links or devices, no bomb; all or nothing."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from uuid import uuid4

from lib.errors import DataError
from lib.files import storage_errors, sync_folder

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
_LARGEST = 200 * 1024**3
"""Bytes an archive may unpack to."""


def is_archive(path: Path) -> bool:
    """Whether the name ends as an archive's does."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, target: Path) -> None:
    """Unpack `archive` to the folder `target`, which appears whole or not at all; an existing one is left alone.

    Raises
    ------
    DataError
        When the archive is damaged, or holds a path, link or size that is not safe.
    """
    if target.exists():
        return
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    try:
        with storage_errors(target):
            temporary.mkdir(parents=True)
            if archive.name.lower().endswith(".zip"):
                _unzip(archive, temporary)
            else:
                _untar(archive, temporary)
            temporary.rename(target)
            sync_folder(target.parent)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"archive {archive} is damaged or not safe ({error}); fetch or make it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _untar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        _check_size(archive, sum(member.size for member in members))
        for member in members:
            _check_name(archive, member.name)
            if not (member.isfile() or member.isdir()):
                raise DataError(
                    f"archive {archive}: {member.name!r} is a link or device; only files and folders are taken"
                )
        for member in members:  # by hand: what was checked is what is written, whatever else a member claims
            path = target / member.name
            content = tar.extractfile(member)
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("wb") as output:
                shutil.copyfileobj(content, output)


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        _check_size(archive, sum(item.file_size for item in packed.infolist()))
        for item in packed.infolist():
            _check_name(archive, item.filename)
        packed.extractall(target)


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"archive {archive}: {name!r} would land outside the target folder; refused")


def _check_size(archive: Path, size: int) -> None:
    if size > _LARGEST:
        raise DataError(f"archive {archive} would unpack to {size / 1e9:.0f} GB; the limit is {_LARGEST / 1e9:.0f} GB")
