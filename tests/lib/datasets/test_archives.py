"""Archives: whatever is in one, it is the folder that was packed, or refused in one line; nothing lands outside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest

from lib.datasets import acquire
from lib.datasets.archives import unpack
from lib.datasets.sources import ImageFolder
from lib.errors import DataError
from tests.image_files import encoded_noise, write_images

Members = Iterable[tuple[str, bytes]]

FILES = [(f"{name}/{number}.png", image) for name in ("cat", "dog") for number, image in enumerate(encoded_noise(0, 3))]


def tar_of(members: Iterable[tuple[str, bytes] | tarfile.TarInfo], form: int = tarfile.GNU_FORMAT) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as tar:
        for each in members:
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each)
                continue
            member = tarfile.TarInfo(each[0])
            member.size = len(each[1])
            tar.addfile(member, io.BytesIO(each[1]))
    return content.getvalue()


def zip_of(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return content.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def patched(packed: bytes, flags: int = 0, method: int | None = None) -> bytes:
    """A zip whose members claim more flags, or another compression."""
    content = bytearray(packed)
    for magic, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(magic)
        while start >= 0:
            content[start + at] |= flags
            if method is not None:
                content[start + at + 2] = method
            start = content.find(magic, start + 4)
    return bytes(content)


def zstd(data: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(data)
    return packed.getvalue().to_pybytes()


def zip64() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name, data in FILES:
            with packed.open(name, "w", force_zip64=True) as member:
                member.write(data)
    return content.getvalue()


def unpacked(tmp_path: Path, content: bytes, name: str = "pets.zip") -> dict[str, bytes]:
    """The files that an archive of this name and content unpacks to."""
    (tmp_path / name).write_bytes(content)
    unpack(tmp_path / name, tmp_path / "out")
    return {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }


TAR, ZIP = tar_of(FILES), zip_of(FILES)

WHOLE = {
    "tar": TAR,
    "tar of pax": tar_of(FILES, tarfile.PAX_FORMAT),
    "gzip": gzip.compress(TAR),
    "bzip2": bz2.compress(TAR),
    "xz": lzma.compress(TAR),
    "zstd": zstd(TAR),
    "zip": ZIP,
    "zip64": zip64(),
    "deflated zip": zip_of(FILES, zipfile.ZIP_DEFLATED),
    "zip by LZMA": zip_of(FILES, zipfile.ZIP_LZMA),
    "zip by bzip2": zip_of(FILES, zipfile.ZIP_BZIP2),
    "zip after a program": b"#!/bin/sh\n" + ZIP,
    "zip with bytes after its end": ZIP + b"more" * 9,
    "zip with backslashes": zip_of((name.replace("/", "\\"), data) for name, data in [("cat/", b""), *FILES]),
    "tar with backslashes": tar_of((name.replace("/", "\\"), data) for name, data in FILES),
    "tar with dots": tar_of((f"./{name}", data) for name, data in FILES),
    "duplicates, the last one right": tar_of([(FILES[0][0], b"old"), *FILES]),
    "hard link": tar_of([*FILES[:5], ("dog/x", FILES[5][1]), special("dog/2.png", tarfile.LNKTYPE, "dog/x")]),
}


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar", "pets"])
@pytest.mark.parametrize("kind", WHOLE)
def test_whatever_an_archive_is_and_is_called_it_unpacks_to_its_files(tmp_path, kind, name):
    found = unpacked(tmp_path, WHOLE[kind], name)
    found.pop("dog/x", None)
    assert found == dict(FILES)


LONG = "n" * 300

REFUSED: dict[str, tuple[bytes, str]] = {
    "zip that is encrypted": (patched(ZIP, flags=1), r"encrypted \('cat/0.png'\); unpack it yourself"),
    "zip of Deflate64": (patched(ZIP, method=9), r"compressed by Deflate64.*unpack it yourself"),
    "zip of a method unknown": (patched(ZIP, method=77), r"compressed by method 77"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + bytes(99), r"packed by 7-Zip.*unpack it yourself"),
    "RAR": (b"Rar!\x1a\7\0" + bytes(99), r"packed by RAR"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"run `git lfs pull`"),
    "nothing": (b"", r"is empty \(0 bytes\)"),
    "words": (b"<html>" * 200, r"damaged or no archive"),
    "empty zip": (zip_of([]), r"holds no file"),
    "empty tar": (tar_of([]), r"holds no file"),
    "folders alone": (zip_of([("cat/", b""), ("dog/", b"")]), r"holds no file"),
    "archives within": (zip_of([("train.zip", ZIP), ("test.tar", TAR)]), r"other archives \('train.zip'\).*unpack it"),
    "cut zip": (ZIP[:-30], r"damaged"),
    "zip with a flipped byte": (ZIP[:100] + bytes([ZIP[100] ^ 1]) + ZIP[101:], r"damaged.*Bad CRC-32"),
    "cut tar": (TAR[:1000], r"damaged.*unexpected end"),
    "tar cut between members": (TAR[:1024], r"damaged.*cut off"),
    "tar with a damaged header": (TAR[:1030] + b"\xff" + TAR[1031:], r"damaged.*bad checksum"),
    "two tars joined": (TAR + TAR, r"two tars joined"),
    **{
        f"cut {kind}": (packed[: len(packed) - 40], r"damaged")
        for kind, packed in (("gzip", gzip.compress(TAR)), ("xz", lzma.compress(TAR)), ("bzip2", bz2.compress(TAR)))
    },
    "cut zstd": (zstd(TAR)[:-40], r"damaged"),
    "gzip with a wrong checksum": (gzip.compress(TAR)[:-8] + bytes(8), r"damaged"),
    "symbolic link": (tar_of([*FILES, special("cat/x", tarfile.SYMTYPE, "0.png")]), r"link or device.*tar -h"),
    "link to a folder": (tar_of([special("cat", tarfile.SYMTYPE, "/tmp"), *FILES]), r"link or device"),
    "device": (tar_of([*FILES, special("cat/x", tarfile.CHRTYPE)]), r"link or device"),
    "pipe": (tar_of([*FILES, special("cat/x", tarfile.FIFOTYPE)]), r"link or device"),
    "hard link to nothing": (tar_of([special("cat/x", tarfile.LNKTYPE, "cat/0.png"), *FILES]), r"does not come before"),
    "hard link that leads out": (tar_of([*FILES, special("cat/x", tarfile.LNKTYPE, "/etc/passwd")]), r"outside the"),
    "zero byte in a name": (zip_of([*FILES, ("XXXX/0.png", b"x")]).replace(b"XXXX", b"c\0at"), r"damaged.*zero byte"),
    "file and folder": (tar_of([("cat", b"x"), *FILES]), r"'cat/0.png' is both a file and a folder"),
    "folder and file": (zip_of([*FILES, ("cat", b"x")]), r"'cat' is both a file and a folder"),
    "long name in a tar": (tar_of([*FILES, (LONG, b"x")]), r"'n{80}…' is too long"),
    "long name in a zip": (zip_of([*FILES, (LONG, b"x")]), r"'n{80}…' is too long"),
    "deep folders": (tar_of([*FILES, ("d/" * 3000 + "x", b"x")]), r"is too long"),
    "folder of Japanese Windows": (
        zip_of([*FILES, ("XX/0.png", b"x")]).replace(b"XX/", "猫".encode("cp932") + b"/"),
        r"does not tell in which encoding its names are \(not UTF-8, such as '.*/0.png'\); unpack it yourself .* -O cp932",
    ),
    "folder in a tar that is not UTF-8": (
        tar_of([*FILES, ("caf\udce9/0.png", b"x")]),
        r"pets.zip: 'caf.udce9/0.png' lies in a folder that is not named in UTF-8, .*unpack it yourself",
    ),
    "name that is marked as UTF-8": (
        zip_of([("c\u00e4t", b"x")]).replace("\u00e4".encode(), b"\xff\xff"),
        r"damaged or no archive",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_unpacked_is_told_in_one_line_and_leaves_nothing(tmp_path, kind):
    content, told = REFUSED[kind]
    with pytest.raises(DataError, match=told) as caught:
        unpacked(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]


OUTSIDE = ["/tmp/x", "../x", "cat/../../x", "..\\x", "C:\\x", "C:/x", "\\x", "//x", "cat/..", ".."]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name, pack: Callable[[Members], bytes]):
    with pytest.raises(DataError, match="outside the target folder; make it again from within"):
        unpacked(tmp_path, pack([*FILES, (name, b"x")]))
    assert [path.name for path in tmp_path.iterdir()] == ["pets.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("cat/x.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match=r"'cat/x.png' is a link or device"):
        unpacked(tmp_path, zip_of([*FILES, (link, b"0.png")]))


@pytest.mark.parametrize(
    ("size", "kind"), [(8 << 30, tarfile.XHDTYPE), (300 << 30, tarfile.REGTYPE), (-512, tarfile.REGTYPE)]
)
def test_a_size_that_cannot_be_is_refused_before_anything_is_read(tmp_path, size, kind):
    member = special("cat/x.png", kind)
    member.size = size
    with pytest.raises(DataError, match=r"claims|more than 215 GB"):
        unpacked(tmp_path, member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


@pytest.mark.parametrize("name", ["k\u00e4tzchen", "\u732b"])
def test_a_name_in_a_zip_that_is_utf_8_without_saying_so_is_kept(tmp_path, name):
    written = zip_of([("X" * len(name.encode()), b"x")])
    assert unpacked(tmp_path, written.replace(b"X" * len(name.encode()), name.encode())) == {name: b"x"}


def test_a_name_in_a_zip_that_info_zip_notes_in_utf_8_is_taken(tmp_path):
    name = "\u732b/0.png".encode()
    member = zipfile.ZipInfo("XX/0.png")
    member.extra = struct.pack("<HHH", 0xCAFE, 2, 0) + struct.pack("<HHBI", 0x7075, 5 + len(name), 1, 0) + name
    written = zip_of([(member, b"x")]).replace(b"XX/", "\u732b".encode("cp932") + b"/")
    assert unpacked(tmp_path, written) == {name.decode(): b"x"}


def test_a_name_in_a_tar_that_is_no_utf_8_is_kept(tmp_path):
    assert list(unpacked(tmp_path, tar_of([("k\udce4tze", b"x")]))) == ["k\udce4tze"]


@pytest.mark.parametrize("prefix", ["pets", "a/pets", "./pets"])
def test_what_lies_in_one_folder_is_the_same_dataset_with_whatever_lies_beside(tmp_path, prefix):
    folder = write_images(tmp_path / "pets", ("cat", "dog"), 5)
    files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.rglob("*.png"))]
    beside = [("README.txt", b"pets"), ("__MACOSX/pets/._x", b""), (".DS_Store", b"")]
    (tmp_path / "pets.zip").write_bytes(zip_of([*((f"{prefix}/{name}", data) for name, data in files), *beside]))
    digests = {
        acquire(ImageFolder(path=str(tmp_path / name)), tmp_path / "data").digest for name in ("pets", "pets.zip")
    }
    assert len(digests) == 1


def test_a_class_alone_in_one_folder_is_not_taken_for_images_without_classes(tmp_path):
    shutil.make_archive(str(tmp_path / "pets"), "zip", write_images(tmp_path / "in" / "pets", ["cat"], 3).parent)
    with pytest.raises(DataError, match="has 1 class folder"):
        acquire(ImageFolder(path=str(tmp_path / "pets.zip")), tmp_path / "data")
