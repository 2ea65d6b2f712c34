"""Unpacking zips and tars, known by content, safely: nothing outside the target, no links or devices, no bomb."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from lib.datasets import tars
from lib.datasets.decoding import IMAGE_ENDINGS
from lib.datasets.formats import require_no_pointer
from lib.errors import DataError, one_line
from lib.files import storage_errors
from lib.text import not_utf8

SUFFIXES = (*(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst"),)
_LARGEST = 200 * 1024**3
"""Bytes an archive may unpack to."""

_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_OTHERS = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!": "RAR", b"\x1f\x9d": "compress", b"!<arch>": "ar"}
_HEAD = 512
_TAR = slice(257, 262)
_ZIP_METHODS = {9: "Deflate64", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES"}
_UTF8_NAME = 0x800
_EXTRA, _UTF8_EXTRA = struct.Struct("<HH"), 0x7075
_ENCRYPTED = 0x2041
_SHOWN = 80

_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, pa.ArrowException),
    *(EOFError, ValueError, RuntimeError, OverflowError, MemoryError),
)
"""What the readers raise for damaged archives; their OSErrors have no number, as those of the disk do."""

_WITHOUT = "unpack it yourself and give the folder"


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def begins_as_archive(path: Path) -> bool:
    """Whether a file is an archive by what it begins with, whatever its name."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith((*_ZIP, *_COMPRESSIONS, *_OTHERS)) or head[_TAR] == b"ustar"


def unpack(archive: Path, target: Path) -> None:
    """Unpack to the new folder `target`, or nothing of it. Raises DataError for what is damaged, encrypted, empty, unsafe."""
    try:
        with storage_errors(target), _damage(archive):
            target.mkdir(parents=True)
            _write(archive, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


@dataclass(frozen=True)
class _Member:
    """A file of an archive, with its open content or the name of the member that it is a copy of; or a folder."""

    name: str
    size: int = 0
    content: IO[bytes] | None = None
    copy_of: str | None = None


def _write(archive: Path, target: Path) -> None:
    size, any_file, any_image, inner = 0, False, False, ""
    for member in _members(archive):
        parts = _parts(archive, member.name)
        if not parts:
            continue
        path = target.joinpath(*parts)
        with _naming_errors(archive, member.name):
            if member.content is None and member.copy_of is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # of several members of one name the last is meant
        if size + member.size > _LARGEST:
            raise DataError(f"archive {archive} unpacks to more than {_LARGEST / 1e9:.0f} GB, which is the limit")
        with member.content or _opened(archive, target, member) as content, path.open("xb") as output:
            shutil.copyfileobj(content, output)
            size += output.tell()
        any_file = True
        any_image |= path.suffix.lower()[1:] in IMAGE_ENDINGS
        inner = inner or (member.name if is_archive(path) else "")
    if not any_file:
        raise DataError(f"archive {archive} holds no file; make it again")
    if inner and not any_image:
        raise DataError(f"archive {archive} holds other archives ({_shown(inner)}) and no images; {_WITHOUT}")


def _members(archive: Path) -> Iterator[_Member]:
    with archive.open("rb") as file:
        head = file.read(_HEAD)
        require_no_pointer(f"archive {archive}", head)
        if not head:
            raise DataError(f"archive {archive} is empty (0 bytes); fetch or make it again")
        other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
        if other is not None:
            raise DataError(f"archive {archive} is packed by {other}, which is not read here; {_WITHOUT}")
        file.seek(0)
        for magic, opener in _COMPRESSIONS.items():
            if head.startswith(magic):
                with opener(file) as stream:
                    yield from _of_tar(archive, stream)
                return
        if head.startswith(_ZIP) or (head[_TAR] != b"ustar" and zipfile.is_zipfile(file)):
            yield from _of_zip(archive, file)
        else:
            file.seek(0)
            yield from _of_tar(archive, file)


_COMPRESSIONS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda file: pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"),
}


def _of_tar(archive: Path, stream: IO[bytes]) -> Iterator[_Member]:
    for member, opened in tars.members(stream, "r|"):
        if opened is None and not (member.isdir() or member.islnk()):
            raise _no_file(archive, member.name)
        if not_utf8(member.name.rpartition("/")[0]):
            raise DataError(
                f"archive {archive}: {_shown(member.name)} lies in a folder that is not named in UTF-8, as a class must be; "
                "unpack it yourself, rename the folder and give it"
            )
        content = opened() if opened is not None else None
        yield _Member(member.name, member.size, content, member.linkname if member.islnk() else None)


def _of_zip(archive: Path, file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as packed:
        for item in packed.infolist():
            if "\0" in item.orig_filename:
                raise zipfile.BadZipFile("a name with a zero byte")
            name = _zip_name(archive, item)
            kind = stat.S_IFMT(item.external_attr >> 16)
            if _slashed(name).endswith("/"):
                yield _Member(name)
                continue
            if item.flag_bits & _ENCRYPTED:
                raise DataError(f"archive {archive} is encrypted ({_shown(name)}); {_WITHOUT}")
            if kind not in (0, stat.S_IFREG):
                raise _no_file(archive, name)
            try:
                content = packed.open(item)
            except NotImplementedError:
                method = _ZIP_METHODS.get(item.compress_type, f"method {item.compress_type}")
                raise DataError(
                    f"archive {archive}: {_shown(name)} is compressed by {method}, which is not read here; {_WITHOUT}"
                ) from None
            yield _Member(name, item.file_size, content)


def _zip_name(archive: Path, item: zipfile.ZipInfo) -> str:
    """The member's name; that of macOS is UTF-8 without the mark of it. Raises DataError where a folder's name may be any."""
    if item.flag_bits & _UTF8_NAME:
        return item.filename
    with suppress(UnicodeError):
        return _utf8_name(item.extra) or item.filename.encode("cp437").decode()
    if not _slashed(item.filename).rpartition("/")[0].isascii():
        raise DataError(
            f"archive {archive} does not tell in which encoding its names are (not UTF-8, such as {_shown(item.filename)}); "
            "unpack it yourself with the right one (unzip -O cp932 of Japanese Windows) and give the folder"
        )
    return item.filename


def _utf8_name(extra: bytes) -> str:
    """The name in UTF-8 that Info-ZIP notes beside another; empty where there is none."""
    while len(extra) >= _EXTRA.size:
        kind, size = _EXTRA.unpack_from(extra)
        if kind == _UTF8_EXTRA:
            return extra[_EXTRA.size + 5 : _EXTRA.size + size].decode()
        extra = extra[_EXTRA.size + size :]
    return ""


def _slashed(name: str) -> str:
    """The name with slashes where a program of Windows wrote backslashes."""
    return name if "/" in name else name.replace("\\", "/")


def _no_file(archive: Path, name: str) -> DataError:
    return DataError(
        f"archive {archive}: {_shown(name)} is a link or device; only files and folders are taken: "
        "make it again with files in place of links (tar -h, zip without -y)"
    )


def _parts(archive: Path, name: str) -> list[str]:
    """The parts of a member's path under the target; none for the target itself."""
    slashed = _slashed(name)
    parts = slashed.split("/")
    if slashed.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:[/\\]", name):
        raise DataError(
            f"archive {archive}: {_shown(name)} would land outside the target folder; "
            "make it again from within the folder (tar -C FOLDER .)"
        )
    return [part for part in parts if part not in ("", ".")]


def _opened(archive: Path, target: Path, member: _Member) -> IO[bytes]:
    """What a hard link names, which was unpacked before it."""
    source = target.joinpath(*_parts(archive, member.copy_of or ""))
    if not source.is_file():
        raise DataError(
            f"archive {archive}: {_shown(member.name)} is a link to what does not come before it; {_WITHOUT}"
        )
    return source.open("rb")


@contextmanager
def _naming_errors(archive: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise DataError(f"archive {archive}: {_shown(name)} is both a file and a folder; make it again") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise DataError(
                f"archive {archive}: {_shown(name)} is too long or no name for a file here; rename it and make it again"
            ) from None
        raise


@contextmanager
def _damage(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        problem = error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the latter of a position that cannot be
            raise
        problem = error
    else:
        return
    raise DataError(f"archive {archive} is damaged or no archive ({one_line(problem)}); fetch or make it again")


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")
