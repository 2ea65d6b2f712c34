"""What a dataset was understood to be: counts, sizes and formats as they are, and a few lines that say it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets import LeftOut, Reading, Split, SplitsBy, Understood, Why, acquire
from lib.datasets.dataset import build
from lib.datasets.decoding import Decoder
from lib.datasets.sources import ImageFolder
from lib.datasets.understood import sizes_of
from tests.awkward import HOLDERS, File, image, images, junk, parts, write_folder

FILES = [*parts("train", "val"), *images("train", ("c",), 3), *images("val", ("c",), 1)]


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_dataset_is_understood_without_decoding_anything_again(holder, tmp_path, monkeypatch):
    files = [*FILES, File("train", "c", "odd.png", image("odd", "JPEG")), File("train", "c", "bad.png", b"bad")]
    if holder in ("folder", "zip"):
        files += junk("train/c/notes.txt", "train/c/.hidden")
    kind, write = HOLDERS[holder]
    source = kind.model_validate({"path": str(write(tmp_path / "in", files)), "unreadable": "quarantine"})
    acquire(source, tmp_path / "data")
    monkeypatch.setattr(Decoder, "inspect", None)
    monkeypatch.setattr(Decoder, "__call__", None)
    found = acquire(source, tmp_path / "data").understood
    assert found.splits == {"train": 11, "validation": 11, "test": 3}
    assert found.classes == {
        "a": {"train": 4, "validation": 5, "test": 1},
        "b": {"train": 4, "validation": 5, "test": 1},
        "c": {"train": 3, "validation": 1, "test": 1},
    }
    assert found.reading.formats == {"PNG": 24, "JPEG": 1}
    assert (found.reading.splits_by, found.reading.held_out) == (SplitsBy.NAMES, ("test",))
    left = {each.why: each.count for each in found.reading.left_out}
    few = {Why.NO_IMAGE: 1, Why.HIDDEN: 1} if holder in ("folder", "zip") else {}
    assert left == {Why.UNREADABLE: 1} | few
    assert (found.sizes.smallest, found.sizes.largest, found.sizes.distinct) == ((8, 8), (8, 8), 1)


def test_data_that_was_never_encoded_is_understood_as_well():
    split = Split(np.zeros((6, 5, 4), np.uint8), np.array([0, 0, 1, 1, 1, 2]))
    found = build("d", ("a", "b", "c"), {"train": split}, "").understood
    assert found.classes == {"a": {"train": 2}, "b": {"train": 3}, "c": {"train": 1}}
    assert found.lines() == ["splits, as the source has them: train 6", "3 classes: a 2, b 3, c 1", "sizes: 4x5"]


def test_a_few_lines_say_it_whatever_the_number_of_classes():
    classes = {f"class {number}": {"train": 1} for number in range(1000)}
    left = (LeftOut(Why.HIDDEN, 7, ("a", "b")),)
    reading = Reading(SplitsBy.NOTHING, ("test",), {"JPEG": 900, "": 100}, left)
    lines = Understood({"train": 800, "test": 200}, classes, sizes_of({(8, 9, 3): 2, (1, 2): 1}), reading).lines()
    assert lines == [
        "splits: train 800, test 200 held out of train",
        f"1,000 classes: {', '.join(f'class {number} 1' for number in range(10))} and 990 more",
        "sizes: 2x1 to 9x8, median 9x8, 2 different",
        "formats: JPEG 900, other 100",
        "left out: 7 hidden, or kept by an operating system or probeflow: a, b and 5 more",
    ]


@given(st.dictionaries(st.tuples(st.integers(1, 30), st.integers(1, 30)), st.integers(1, 9), min_size=1))
def test_the_median_is_that_of_the_images(shapes):
    areas = np.sort([height * width for (height, width), count in shapes.items() for _ in range(count)])
    found = sizes_of(shapes)
    assert np.prod(found.median) == areas[(len(areas) - 1) // 2]
    assert (np.prod(found.smallest), np.prod(found.largest)) == (areas[0], areas[-1])


@pytest.mark.parametrize(
    ("form", "settings", "told"),
    [
        ("JPEG", {"decode_side": 20}, "sizes, large JPEGs as decoded (decode: scaled): 40x20"),
        ("JPEG", {"decode_side": 20, "decode": "full"}, "sizes: 80x40"),
        ("JPEG", {"decode_side": 50}, "sizes: 80x40"),
        ("PNG", {"decode_side": 20}, "sizes: 80x40"),
    ],
)
def test_sizes_of_jpegs_that_may_be_scaled_say_so(tmp_path, form, settings, told):
    files = [File("", "ab"[number % 2], str(number), image(str(number), form, 40, 80)) for number in range(6)]
    path = write_folder(tmp_path / "pets", files)
    found = acquire(ImageFolder(path=str(path), **settings), tmp_path / "data").understood
    assert told in found.lines()
