"""Unpacked archives: compared before each use, made anew when anything in them changed, by one process at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.datasets import acquire, on_disk
from lib.datasets import unpacked as unpacking
from lib.datasets.decoding import encode_png
from lib.datasets.sources import ImageFolder
from lib.errors import ChangedError, DataError
from tests.image_files import write_images
from tests.processes import REPOSITORY


@pytest.fixture
def archive(tmp_path) -> Path:
    return pack(tmp_path, "pets", ("cat", "dog"))


def pack(folder: Path, name: str, classes: tuple[str, ...]) -> Path:
    write_images(folder / "in" / name, classes, 6)
    return Path(shutil.make_archive(str(folder / name), "zip", folder / "in", name))


def take(archive: Path, data: Path):
    return acquire(ImageFolder(path=str(archive)), data)


def cat(data: Path) -> Path:
    """An unpacked image."""
    return next(path for path in sorted((data / "raw" / "folder").rglob("*.png")) if "cat" in path.parts)


def overwrite(data: Path) -> None:
    path = cat(data)
    shutil.copy(path.parent.parent / "dog" / path.name, path)


def overwrite_at_the_same_time(data: Path) -> None:
    """As a disk loses bits: neither size nor time tells it."""
    path = cat(data)
    status = path.stat()
    pixels = np.full((8, 8, 3), 7, np.uint8)
    path.write_bytes(encode_png(pixels).ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(data: Path) -> None:
    os.truncate(cat(data), 20)


def lose(data: Path) -> None:
    cat(data).unlink()


def add(data: Path) -> None:
    shutil.copy(cat(data), cat(data).with_name("more.png"))


def lose_class(data: Path) -> None:
    shutil.rmtree(cat(data).parent)


def lose_seal(data: Path) -> None:
    (seal,) = (data / "raw" / "folder").glob(".*.seal")
    seal.unlink()


@pytest.mark.parametrize("damage", [overwrite, truncate, lose, add, lose_class, lose_seal])
def test_what_was_changed_is_unpacked_anew(damage, archive, tmp_path):
    first = take(archive, tmp_path / "data")
    damage(tmp_path / "data")
    again = take(archive, tmp_path / "data")
    assert again.digest == first.digest
    assert [len(each) for each in again.splits.values()] == [len(each) for each in first.splits.values()]


def test_an_image_found_changed_while_it_is_read_comes_back(archive, tmp_path):
    first = take(archive, tmp_path / "data")
    content = cat(tmp_path / "data").read_bytes()
    overwrite_at_the_same_time(tmp_path / "data")
    (rows,) = {(name, row) for name, split in first.splits.items() for row in range(len(split))
               if split.images.name(row) == "cat/0.png"}  # fmt: skip
    with pytest.raises(ChangedError, match=r"image cat/0\.png changed since it was verified"):
        first.splits[rows[0]].images.read([rows[1]])
    again = take(archive, tmp_path / "data")
    assert again.digest == first.digest
    assert cat(tmp_path / "data").read_bytes() == content


def test_another_archive_in_its_place_is_another_dataset(archive, tmp_path):
    first = take(archive, tmp_path / "data")
    shutil.move(pack(tmp_path, "flowers", ("rose", "tulip", "lily")), archive)
    assert take(archive, tmp_path / "data").class_names == ("lily", "rose", "tulip")
    assert first.class_names == ("cat", "dog")


def test_a_replaced_archive_of_a_mirror_is_noticed(archive, tmp_path):
    (tmp_path / "mirror").mkdir()
    shutil.move(archive, tmp_path / "mirror" / "pets.zip")
    source, mirror = ImageFolder(path="pets.zip"), (tmp_path / "mirror").as_uri()
    first = acquire(source, tmp_path / "data", mirror)
    assert on_disk(source, tmp_path / "data", mirror).digest == first.digest
    shutil.move(pack(tmp_path, "flowers", ("rose", "tulip", "lily")), tmp_path / "mirror" / "pets.zip")
    assert on_disk(source, tmp_path / "data", mirror) is None
    assert acquire(source, tmp_path / "data", mirror).class_names == ("lily", "rose", "tulip")


def test_first_uses_at_once_unpack_once(archive, tmp_path):
    runs = [python(f"{TAKE}; print(acquire(source, data).digest)", archive, tmp_path / "data") for _ in range(3)]
    assert [run.communicate(timeout=480)[0].strip() for run in runs] == [take(archive, tmp_path / "data").digest] * 3
    held = (tmp_path / "data" / "raw" / "folder").iterdir()
    assert sorted(path.suffix for path in held) == ["", ".parquet", ".seal"]  # the folder, its seal, the catalogue


def test_what_a_killed_process_left_is_swept(archive, tmp_path):
    name = python("from lib.machine import this_process; print(this_process())").communicate()[0].strip()
    left = tmp_path / "data" / "raw" / "folder" / f".0123.{name}.01234567.tmp"
    (left / "cat").mkdir(parents=True)
    take(archive, tmp_path / "data")
    assert not left.exists()


TAKE = (
    "import sys; from pathlib import Path; from lib.datasets import acquire; from lib.datasets.sources import ImageFolder; "
    "source, data = ImageFolder(path=sys.argv[1]), Path(sys.argv[2])"
)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_an_archive_that_changes_meanwhile_gives_nothing(archive, tmp_path, monkeypatch):
    real = unpacking.unpack

    def slow(packed: Path, target: Path) -> None:
        real(packed, target)
        os.utime(packed, (1, 1))

    monkeypatch.setattr(unpacking, "unpack", slow)
    with pytest.raises(DataError, match=r"pets.zip changed while it was unpacked; run the same command again"):
        take(archive, tmp_path / "data")
    assert list((tmp_path / "data" / "raw" / "folder").iterdir()) == []
