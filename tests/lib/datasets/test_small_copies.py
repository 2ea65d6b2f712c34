"""Small copies of photos: kept while these are verified, used instead of them, and never instead of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.datasets import acquire
from lib.datasets import small_copies as copies
from lib.datasets.decoding import Decoder
from lib.datasets.images import read_shrunk
from lib.datasets.shrinking import Shrink
from lib.datasets.sources import ImageFolder

SQUARE, CROPPED = Shrink(32), Shrink(40, 32)


@pytest.fixture
def photos(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            size = (20, 24) if number == 0 else (90, 120)
            picture = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
            picture.save(tmp_path / "photos" / name / f"{number}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def acquired(photos, tmp_path):
    return acquire(ImageFolder(path=str(photos)), tmp_path / "data", small_copies=[SQUARE, CROPPED])


def decoded(monkeypatch) -> list[bytes]:
    """What is decoded from now on."""
    seen: list[bytes] = []
    decode = Decoder.__call__
    monkeypatch.setattr(Decoder, "__call__", lambda self, data: seen.append(data) or decode(self, data))
    return seen


@pytest.mark.parametrize("shrink", [SQUARE, CROPPED])
def test_large_images_are_not_decoded_again(acquired, monkeypatch, shrink):
    images = acquired.splits["train"].images
    expected = [shrink(image) for image in images.read(range(len(images)))]
    seen = decoded(monkeypatch)
    found = read_shrunk(images, range(len(images)), shrink)
    for ours, plain in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, plain)
    small = sum(min(shape[:2]) < 30 for shape in images.shapes.tolist())
    assert len(seen) == small > 0


def files_of(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("data/raw/**/*.copies/*"))


def test_a_damaged_copy_is_as_good_as_none(acquired, tmp_path, monkeypatch):
    images = acquired.splits["train"].images
    expected = [SQUARE(image) for image in images.read(range(len(images)))]
    for file in files_of(tmp_path):
        content = bytearray(file.read_bytes())
        content[len(content) // 3] ^= 1
        content[-5] ^= 1
        file.write_bytes(content[:-3] if file.name.startswith(CROPPED.name) else content)
    copies._opened.cache_clear()
    for ours, plain in zip(read_shrunk(images, range(len(images)), SQUARE), expected, strict=True):
        np.testing.assert_array_equal(ours, plain)
    cropped = read_shrunk(images, range(len(images)), CROPPED)
    for ours, plain in zip(cropped, images.read(range(len(images))), strict=True):
        np.testing.assert_array_equal(ours, CROPPED(plain))


def test_a_copy_is_never_taken_for_another_image(photos, acquired, tmp_path):
    Image.new("RGB", (90, 120), "red").save(photos / "cat" / "1.jpg")
    again = acquire(ImageFolder(path=str(photos)), tmp_path / "data")
    assert again.digest != acquired.digest
    for split in again.splits.values():
        found = read_shrunk(split.images, range(len(split)), SQUARE)
        for ours, plain in zip(found, split.images.read(range(len(split))), strict=True):
            np.testing.assert_array_equal(ours, SQUARE(plain))


def test_nothing_is_kept_without_need_or_room(photos, tmp_path, monkeypatch):
    acquire(ImageFolder(path=str(photos)), tmp_path / "data")
    assert files_of(tmp_path) == []
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10 * SQUARE.bytes}))
    acquired = acquire(ImageFolder(path=str(photos)), tmp_path / "other", small_copies=[SQUARE])
    assert sum(file.stat().st_size for file in tmp_path.glob("other/raw/**/*.copies/*")) < 2 * SQUARE.bytes
    images = acquired.splits["train"].images
    found = read_shrunk(images, range(len(images)), SQUARE)
    assert [image.shape[0] <= 32 for image in found] == [True] * len(found)


def test_copies_may_be_deleted_at_any_time(acquired, tmp_path):
    images = acquired.splits["train"].images
    first = read_shrunk(images, range(len(images)), SQUARE)
    for file in files_of(tmp_path):
        file.unlink()
    for ours, before in zip(read_shrunk(images, range(len(images)), SQUARE), first, strict=True):
        np.testing.assert_array_equal(ours, before)
