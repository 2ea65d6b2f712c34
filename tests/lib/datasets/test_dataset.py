"""Datasets as pixels: any rows of a split, exact to the bit, read in bounded parts; shapes are known without decoding."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib.datasets import acquire, hold_out_rows, take
from lib.datasets import dataset as datasets
from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.decoding import Decoder
from lib.datasets.encoded import EncodedImages
from lib.datasets.images import Subset, parts_to_read
from lib.datasets.sources import Digits, ImageFolder, ParquetImages, PhotoPatches, WebDataset
from lib.errors import ChangedError, DataError
from tests.image_files import encoded_noise, write_images
from tests.lib.datasets.test_parquet_images import write_parquet
from tests.lib.datasets.test_web_dataset import samples, write_tar


class OneByOne:
    """A sequence that can only be indexed, and counts how often."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.read_rows = images, []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        self.read_rows.append(index)
        return self.images[index]


@pytest.fixture(params=["folder", "archive", "webdataset", "parquet"])
def encoded(request, tmp_path) -> Dataset:
    """A dataset of 8x8 images of each kind of encoded source, acquired a second time: from its catalogue."""
    if request.param in ("folder", "archive"):
        folder = write_images(tmp_path / "pets", ("cat", "dog"), 50)
        if request.param == "archive":
            with tarfile.open(tmp_path / "pets.tar", "w") as tar:
                tar.add(folder, "pets")
            folder = tmp_path / "pets.tar"
        source = ImageFolder(path=str(folder))
    elif request.param == "webdataset":
        source = WebDataset(path=str(write_tar(tmp_path / "x.tar", samples(0, 100))))
    else:
        path = write_parquet(tmp_path / "x.parquet", encoded_noise(0, 100), ["a", "b"] * 50, row_group_size=30)
        source = ParquetImages(path=str(path))
    acquire(source, tmp_path / "data")
    return acquire(source, tmp_path / "data")


def former_pixels(dataset: Dataset, split: str) -> np.ndarray:
    """A slow loop, as a reference."""
    images = dataset.splits[split].images
    rows = [images[row].reshape(-1).astype(np.float32) for row in range(len(images))]
    return np.stack(rows) / np.float32(dataset.maximum)


def filled(dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
    out = np.full((len(rows), int(np.prod(dataset.pixel_shape()))), np.nan, np.float32)
    dataset.fill(out, split, rows)
    return out


class TestPixels:
    @pytest.mark.parametrize("maximum", [255, 16, 1])
    def test_every_value_is_divided_in_float32(self, maximum):
        images = np.arange(maximum + 1, dtype=np.uint8).reshape(-1, 1, 1)
        data = build("d", ["a"], {"train": Split(images, np.zeros(len(images), int))}, "", maximum)
        expected = np.array([np.float32(value) / np.float32(maximum) for value in range(maximum + 1)], np.float32)
        for found in (data.pixels("train"), filled(data, "train", np.arange(len(images)))):
            assert found.dtype == np.float32
            assert found.tobytes() == expected.tobytes()

    @pytest.mark.parametrize("source", [Digits(), PhotoPatches()])
    def test_of_arrays_are_filled_in_any_order_also_in_many_parts(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets, "_PART_ROWS", 100)
        data = acquire(source, tmp_path)
        expected = former_pixels(data, "train")
        assert data.pixels("train").tobytes() == expected.tobytes()
        rows = np.random.default_rng(0).integers(0, len(expected), 1234)
        assert filled(data, "train", rows).tobytes() == expected[rows].tobytes()

    def test_of_encoded_images_are_filled_in_any_order(self, encoded, monkeypatch):
        monkeypatch.setattr(datasets, "_PART_IMAGES", 7)
        for split in ("train", "test"):
            expected = former_pixels(encoded, split)
            assert encoded.pixels(split).tobytes() == expected.tobytes()
            rows = np.random.default_rng(0).integers(0, len(expected), 150)
            assert filled(encoded, split, rows).tobytes() == expected[rows].tobytes()

    def test_are_read_once_an_image_and_a_few_at_a_time(self, encoded, monkeypatch):
        parts, read = [], EncodedImages.read
        monkeypatch.setattr(datasets, "_PART_BYTES", 5 * 8 * 8 * 3)
        monkeypatch.setattr(EncodedImages, "read", lambda self, rows: parts.append(list(rows)) or read(self, rows))
        rows = np.random.default_rng(0).permutation(len(encoded.splits["train"]))
        filled(encoded, "train", rows)
        assert max(map(len, parts)) == 5
        assert sorted(row for part in parts for row in part) == list(range(len(rows)))

    def test_of_any_sequence_are_read(self):
        images = np.random.default_rng(0).integers(0, 256, (70, 4, 5), np.uint8)
        data = build("d", ["a"], {"train": Split(OneByOne(images), np.zeros(70, int))}, "")
        assert filled(data, "train", np.arange(69, -1, -1)).tobytes() == (
            (images[::-1].reshape(70, -1).astype(np.float32) / np.float32(255)).tobytes()
        )

    def test_no_rows_are_nothing(self, encoded):
        assert filled(encoded, "train", np.zeros(0, np.int64)).shape == (0, 192)

    @pytest.mark.parametrize("out", [np.empty((3, 192)), np.empty((2, 192), np.float32), np.empty((3, 64), np.float32)])
    def test_an_array_that_does_not_fit_is_refused(self, encoded, out):
        with pytest.raises(ValueError, match=r"not float32 \(3, 192\)"):
            encoded.fill(out, "train", np.arange(3))

    def test_of_an_image_that_changed_are_refused(self, tmp_path):
        folder = write_images(tmp_path / "pets", ("cat", "dog"), 50)
        data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        Image.new("RGB", (8, 8)).save(folder / data.splits["train"].images.name(40))
        with pytest.raises(ChangedError, match=rf"image {data.splits['train'].images.name(40)} changed since"):
            data.pixels("train")


class TestShapes:
    def test_of_verified_images_are_known_without_decoding(self, encoded, monkeypatch):
        monkeypatch.setattr(Decoder, "_decode", None)
        assert encoded.shapes == {(8, 8, 3): 100}
        assert encoded.pixel_shape() == (8, 8, 3)
        part = take(encoded.splits["train"], np.array([5, 3]))
        assert part.images.shapes.tolist() == [[8, 8, 3]] * 2

    @pytest.fixture
    def several(self, tmp_path) -> Dataset:
        folder = write_images(tmp_path / "pets", ("cat", "dog"), 10)
        Image.new("RGB", (7, 9)).save(folder / "cat" / "0.png")
        Image.new("L", (12, 9)).save(folder / "dog" / "1.png")
        return acquire(ImageFolder(path=str(folder)), tmp_path / "data")

    def test_of_several_sizes_are_counted_and_have_no_pixels(self, several, monkeypatch):
        monkeypatch.setattr(Decoder, "_decode", None)
        assert list(several.shapes.items()) == [((8, 8, 3), 18), ((9, 7, 3), 1), ((9, 12, 3), 1)]
        assert several.pixel_shape() is None
        with pytest.raises(
            DataError, match=r"'pets' has images of several sizes \(8x8: 18, 7x9: 1, 12x9: 1\) and pixels need one"
        ):
            several.pixels("train")

    def test_differ_between_splits_too(self):
        splits = {
            name: Split(np.zeros((4, side, side), np.uint8), np.arange(4)) for name, side in (("train", 3), ("test", 2))
        }
        assert build("d", ["a"], splits, "").pixel_shape() is None

    def test_and_digests_of_some_images_are_those_that_all_are_known_to_have(self, encoded, monkeypatch):
        images, rows = encoded.splits["train"].images, np.array([9, 0, 9])
        part = Split(Subset(images, rows), np.zeros(3, int))
        expected = images.digests[rows].tobytes()
        monkeypatch.setattr(Decoder, "_decode", None)
        assert part.image_digests().tobytes() == expected
        assert part.images.shapes.tolist() == images.shapes[rows].tolist()

    def test_of_images_that_do_not_know_them_are_found_by_decoding(self):
        images = OneByOne(np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8))
        split = take(Split(images, np.arange(6)), np.array([1, 4]))
        data = build("d", ["a"], {"train": split}, "")
        assert data.shapes == {(4, 5): 2}
        assert set(images.read_rows) == {1, 4}

    def test_a_dataset_without_images_says_so(self):
        data = build("d", ["a"], {"train": Split(np.zeros((0, 3, 3), np.uint8), np.zeros(0, int))}, "")
        with pytest.raises(DataError, match="'d' has no images"):
            data.pixels("train")


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 6), st.integers(1, 120), st.randoms())
@settings(deadline=None, max_examples=60)
def test_parts_are_the_rows_in_order_within_both_bounds(sizes, most, most_bytes, random):
    class Sized:
        def decoded_bytes(self, rows):
            return np.array(sizes)[rows]

    rows = np.array(random.sample(range(len(sizes)), len(sizes)))
    parts = parts_to_read(Sized(), rows, most, most_bytes)
    assert np.concatenate(parts).tolist() == rows.tolist()
    for part in parts:
        assert len(part) == 1 or (len(part) <= most and sum(sizes[row] for row in part) <= most_bytes)


class TestHoldingOut:
    def test_is_of_training_rows_with_their_groups(self, tmp_path):
        data = acquire(PhotoPatches(), tmp_path)
        train = data.splits["train"]
        kept, held = data.hold_out(0.2, 3)
        expected = hold_out_rows(train.labels, 0.2, 3, train.groups)  # no two patches are equal
        np.testing.assert_array_equal(kept, expected[0])
        np.testing.assert_array_equal(held, expected[1])

    def test_keeps_copies_of_an_image_on_one_side(self, tmp_path):
        folder = write_images(tmp_path / "pets", ("cat", "dog"), 30)
        for name in ("cat", "dog"):
            for number in range(0, 30, 2):
                content = (folder / name / f"{number}.png").read_bytes()
                (folder / name / f"copy-{number}.png").write_bytes(content)
        data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        digests = data.digests("train")
        assert len(np.unique(digests)) < len(digests)
        for seed in range(5):
            kept, held = data.hold_out(0.3, seed)
            assert not np.isin(digests[held], digests[kept]).any()


def test_a_dataset_is_labelled_when_it_has_two_classes():
    split = {"train": Split(np.zeros((2, 3, 3), np.uint8), np.zeros(2, int))}
    assert build("d", ["a", "b"], split, "").labelled
    assert not build("d", [""], split, "").labelled


def test_the_bundled_datasets_are_those_of_former_versions(tmp_path):
    assert acquire(Digits(), Path(tmp_path)).digest.startswith("79a384804e479b0e")
    assert acquire(PhotoPatches(), Path(tmp_path)).digest.startswith("6f574f45b061850a")
