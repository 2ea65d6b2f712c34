"""Parquet with encoded images: any row, in any order, from any thread, is the image that was written."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lib.datasets import acquire, parquet_images, splits_ahead
from lib.datasets.decoding import Decoder
from lib.datasets.sources import ParquetImages
from lib.errors import ChangedError, DataError
from tests.image_files import encoded_noise


def write_parquet(path: Path, images, labels, names=None, struct=True, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [image if image is None or not struct else {"bytes": image, "path": None} for image in images]
    column = pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}) if struct else pa.binary())
    table = pa.table({"image": column, "label": labels, "caption": ["a thing"] * len(images)})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, **options)
    return path


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def acquired(path: Path | str, tmp_path: Path, **settings):
    return acquire(ParquetImages(path=str(path), **settings), tmp_path / "data")


def test_files_as_hugging_face_writes_them_are_read_with_their_class_names(tmp_path):
    names = ["zebra", "ape", "never seen"]
    for seed, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        path = tmp_path / "data set" / "data" / f"{name}.parquet"
        write_parquet(path, encoded_noise(seed, 10), [0, 1] * 5, names, row_group_size=4)
    data = acquired(tmp_path / "data set", tmp_path)
    assert data.class_names == ("zebra", "ape")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 20, "test": 10}
    assert data.splits["train"].labels.tolist() == [0, 1] * 10
    for row, content in enumerate(encoded_noise(0, 10) + encoded_noise(1, 10)):
        np.testing.assert_array_equal(data.splits["train"].images[row], pixels(content))


@pytest.mark.parametrize("struct", [True, False], ids=["struct", "binary"])
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pa.array([10, 9] * 10, pa.uint8()), ("9", "10")),
        (pa.array(["b", "a"] * 10), ("a", "b")),
        (pa.array(["b", "a"] * 10).dictionary_encode(), ("a", "b")),
    ],
    ids=["numbers", "names", "dictionary"],
)
def test_without_names_the_values_are_the_classes(tmp_path, struct, labels, names):
    path = write_parquet(tmp_path / "x.parquet", encoded_noise(0, 20), labels, struct=struct)
    data = acquired(path, tmp_path)
    assert data.class_names == names
    assert {name: np.bincount(split.labels).tolist() for name, split in data.splits.items()} == {
        "train": [8, 8],
        "test": [2, 2],
    }


IMAGES = encoded_noise(0, 20)
LABELS = ["a", "b"] * 10
PATHS = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.mark.parametrize(
    "column",
    [
        pa.array(IMAGES, pa.large_binary()),
        pa.array(IMAGES).cast(pa.binary_view()),
        pa.array(IMAGES).dictionary_encode(),
        pa.array([image.ljust(300, b"\0") for image in IMAGES], pa.binary(300)),
        pa.array([list(image) for image in IMAGES], pa.list_(pa.uint8())),
        pa.array([list(image) for image in IMAGES], pa.large_list(pa.uint8())),
        pa.array([list(image) for image in IMAGES]),
        pa.array([{"bytes": list(image)} for image in IMAGES], pa.struct([("bytes", pa.list_(pa.uint8()))])),
    ],
    ids=lambda column: str(column.type),
)
def test_bytes_may_be_written_in_many_ways(tmp_path, column):
    pq.write_table(pa.table({"image": column, "label": LABELS}), tmp_path / "x.parquet", row_group_size=7)
    plain = write_parquet(tmp_path / "plain.parquet", IMAGES, LABELS)
    assert acquired(tmp_path / "x.parquet", tmp_path).digest == acquired(plain, tmp_path).digest


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pa.array([0.0, 1.0] * 10), ("0", "1")),
        (pa.array(np.array([0, 1] * 10, np.float16)), ("0", "1")),
        (pa.array([True, False] * 10), ("false", "true")),
        (pa.array(LABELS).cast(pa.binary()), ("a", "b")),
        (pa.array(LABELS).cast(pa.string_view()), ("a", "b")),
        (pa.array([0, 1] * 10).dictionary_encode(), ("0", "1")),
        (pa.array([2**64 - 1, 0] * 10, pa.uint64()), ("0", str(2**64 - 1))),
    ],
    ids=lambda labels: str(getattr(labels, "type", "")),
)
def test_so_may_labels(tmp_path, labels, names):
    assert acquired(write_parquet(tmp_path / "x.parquet", IMAGES, labels), tmp_path).class_names == names


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"image": pa.array(["0.png"] * 20)}, r"'image' holds string, not encoded images as bytes; write the content"),
        ({"image": pa.array([[[0, 1], [2, 3]]] * 20)}, r"'image' holds list<.*list<.*>>, not encoded"),
        ({"image": pa.array([{"data": image} for image in IMAGES])}, r"'image' holds struct<data: binary>"),
        ({"image": pa.nulls(20)}, r"'image' holds null, not encoded"),
        (
            {"image": pa.array([{"bytes": None, "path": "0.png"}] * 20, PATHS)},
            r"'image' has no bytes, only paths, which are not followed",
        ),
        (
            {"image": pa.array([[300], *map(list, IMAGES[1:])])},
            r"x.parquet:0 \(its list holds numbers that are no bytes",
        ),
        ({"image": pa.array([[None, 1], *map(list, IMAGES[1:])])}, r"x.parquet:0 \(its list of bytes has empty places"),
        ({"label": pa.array([0.5, 1.0] * 10)}, r"x.parquet: column 'label' holds numbers that are not whole"),
        ({"label": pa.array([[0]] * 20)}, r"'label' holds list<.*>, neither numbers nor names; name another"),
        ({"label": pa.array([0, 1] * 10, pa.date32())}, r"'label' holds date32\[day\], neither"),
        ({"label": pa.nulls(20)}, r"'label' holds null, neither"),
        ({"label": pa.array([None, *LABELS[1:]])}, r"x.parquet:0 \(its label in 'label' is empty"),
        ({"label": pa.array([float("nan"), *[0.0, 1.0] * 9, 0.0])}, r"x.parquet:0 \(its label in 'label' is empty"),
    ],
    ids=range(13),
)
def test_columns_that_hold_no_images_or_labels_are_told_in_one_line(tmp_path, table, message):
    pq.write_table(pa.table({"image": IMAGES, "label": LABELS} | table), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message) as caught:
        acquired(tmp_path / "x.parquet", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            r"x.parquet is a Git LFS pointer.*`git lfs pull`",
        ),
        (b"", r"x.parquet is damaged or cannot be read \(Parquet file size is 0"),
        (b"image,label\n" * 9, r"x.parquet is damaged or cannot be read \(Parquet magic bytes not found"),
    ],
    ids=["pointer", "nothing", "CSV"],
)
def test_what_is_no_parquet_is_told_in_one_line(tmp_path, content, message):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(DataError, match=message):
        acquired(tmp_path / "x.parquet", tmp_path)


def test_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(IMAGES), pa.array(IMAGES), pa.array(LABELS)], ["image", "image", "label"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x.parquet has several columns 'image'; give each a name"):
        acquired(tmp_path / "x.parquet", tmp_path)


@pytest.mark.parametrize("group", [3, 64, 1000])
def test_any_row_is_read_in_any_order_by_any_thread(tmp_path, monkeypatch, group):
    for name, value in (("_BATCH_BYTES", 1000), ("_BATCHES", 2), ("_GROUPS", 2), ("_FILES", 1)):
        monkeypatch.setattr(parquet_images, name, value)  # small, so that all of them overflow
    images = encoded_noise(0, 120)
    for number in range(3):
        part = slice(number * 40, number * 40 + 40)
        write_parquet(tmp_path / "p" / f"train{number}.parquet", images[part], ["a", "b"] * 20, row_group_size=group)
    write_parquet(tmp_path / "p" / "test.parquet", encoded_noise(1, 4), ["a", "b"] * 2)
    split = acquired(tmp_path / "p", tmp_path).splits["train"]
    rng = np.random.default_rng(0)
    orders = [list(range(120)), list(range(119, -1, -1)), rng.permutation(120).tolist()]
    with ThreadPoolExecutor(3) as pool:
        for order, read in zip(orders, pool.map(split.images.read, orders), strict=True):
            for row, image in zip(order, read, strict=True):
                np.testing.assert_array_equal(image, pixels(images[row]))


def test_poison_and_rows_without_a_label_are_set_aside(tmp_path):
    images = [*encoded_noise(0, 20), b"no image", None, b"", *encoded_noise(1, 3)]
    labels = [0, 1] * 11 + [1, -1, None, 7]
    path = write_parquet(tmp_path / "x.parquet", images, labels, ["a", "b"])
    with pytest.raises(DataError, match=r"6 unreadable image\(s\) in .*, e.g. x.parquet:20 \(not an image"):
        acquired(path, tmp_path)
    for _ in range(2):
        table = acquired(path, tmp_path, unreadable="quarantine").quarantined
        unlabelled = "its label in 'label' is empty or none of the classes"
        assert [tuple(row.values()) for row in table.to_pylist()] == [
            ("x.parquet:20", None, "a", 8, "not an image that Pillow knows"),
            ("x.parquet:21", None, "b", 0, "the cell is empty (null)"),
            ("x.parquet:22", None, "b", 0, "the file is empty"),
            *((f"x.parquet:{row}", None, None, 0, unlabelled) for row in (23, 24, 25)),
        ]


@pytest.mark.parametrize("dictionary", [False, True], ids=["names", "dictionary"])
def test_so_are_rows_whose_label_is_no_text(tmp_path, dictionary):
    labels = pa.array([b"a", b"b"] * 10 + [b"\xff\xfe", None], pa.binary())
    labels = pa.Array.from_buffers(pa.string(), len(labels), labels.buffers())  # unchecked, as another writer's
    path = tmp_path / "x.parquet"
    write_parquet(path, encoded_noise(0, 22), labels.dictionary_encode() if dictionary else labels)
    with pytest.raises(
        DataError, match=r"2 unreadable image\(s\) .* x.parquet:20 \(its label in 'label' is not in UTF-8\)"
    ):
        acquired(path, tmp_path)
    data = acquired(path, tmp_path, unreadable="quarantine")
    assert data.class_names == ("a", "b")
    assert [tuple(row.values()) for row in data.quarantined.select(["name", "label", "reason"]).to_pylist()] == [
        ("x.parquet:20", None, "its label in 'label' is not in UTF-8"),
        ("x.parquet:21", None, "its label in 'label' is empty or none of the classes"),
    ]


class TestAColumnOfSplits:
    @staticmethod
    def table(path: Path, splits, name: str = "split", count: int = 12) -> Path:
        write_parquet(path, encoded_noise(0, count), ["a", "b"] * (count // 2))
        pq.write_table(pq.read_table(path).append_column(name, pa.array(splits)), path)
        return path

    @pytest.mark.parametrize(
        ("values", "rows"),
        [
            (["train"] * 8 + ["test"] * 4, {"train": 8, "test": 4}),
            (["Train"] * 6 + ["dev"] * 6, {"train": 4, "validation": 6, "test": 2}),
            (["Training"] * 6 + ["PublicTest"] * 4 + ["PrivateTest"] * 2, {"train": 6, "test": 6}),
        ],
    )
    @pytest.mark.parametrize("name", ["split", "Usage", "set", "fold", "Partition", "of no such name"])
    def test_tells_each_row_s(self, tmp_path, name, values, rows):
        path = self.table(tmp_path / "x.parquet", values, name)
        for _ in range(2):  # the second time from the catalogue
            found = acquired(path, tmp_path)
            assert {name: len(split) for name, split in found.splits.items()} == rows
            both = f"'PrivateTest', 'PublicTest' in column {name!r} are all taken as test"
            assert [each for each in found.warnings if "column" in each] == [both] * ("PublicTest" in values)
        assert splits_ahead(ParquetImages(path=str(path)), tmp_path) is None

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("split", [0] * 8 + [1] * 4),
            ("split", ["red"] * 12),
            ("partition", [0] * 12),
            ("is_train", [True] * 8 + [False] * 4),
            ("is_test", [0] * 12),
            ("Train", [True] * 12),
        ],
    )
    def test_without_words_is_refused_unless_rows_are_said_to_be_together(self, tmp_path, name, values):
        path = self.table(tmp_path / "x.parquet", values, name)
        for _ in range(2):  # the second time from the catalogue
            with pytest.raises(DataError, match=rf"column '{name}' \(\w+\) .* set splits: {{train: \"\*\*\"}}"):
                acquired(path, tmp_path)
        found = acquired(path, tmp_path, splits={"train": "**"})
        assert {name: len(split) for name, split in found.splits.items()} == {"train": 10, "test": 2}
        path.rename(tmp_path / "train.parquet")
        assert len(acquired(tmp_path / "train.parquet", tmp_path).splits["test"]) == 2

    @pytest.mark.parametrize(
        ("name", "values", "warned"),
        [
            ("fold", [0, 1, 2] * 4, True),
            ("subset", ["coco"] * 12, True),
            ("trained", [True] * 12, False),
            ("test", [1] * 12, False),
            ("vehicle", ["train"] * 12, False),
            ("language", ["tr", "te"] * 6, False),
            ("text", ["a train", "a bus"] * 6, False),
        ],
    )
    def test_of_another_meaning_is_left_and_told_if_it_is_called_as_one(self, tmp_path, name, values, warned):
        found = acquired(self.table(tmp_path / "x.parquet", values, name), tmp_path)
        assert {name: len(split) for name, split in found.splits.items()} == {"train": 10, "test": 2}
        assert [f"column {name!r}" in each for each in found.warnings if "column" in each] == [True] * warned

    def test_may_be_a_dictionary_and_set_aside_by_patterns(self, tmp_path):
        values = pa.array(["train"] * 8 + ["test"] * 4).dictionary_encode()
        path = self.table(tmp_path / "x.parquet", values, "Subset")
        assert len(acquired(path, tmp_path).splits["test"]) == 4
        assert len(acquired(path, tmp_path, splits={"train": "x*"}).splits["test"]) == 2

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            ("x", ["train"] * 8 + [None] * 4, r"4 of 12 rows do not tell their split, as the others do \(train\)"),
            ("x", ["test"] * 12, "has rows of test but none of train"),
            (
                "train",
                ["train"] * 8 + ["test"] * 4,
                "train.parquet:8 is of train by its file's name, and of test by what",
            ),
        ],
    )
    def test_that_is_not_clear_is_refused(self, tmp_path, name, values, message):
        with pytest.raises(DataError, match=message):
            acquired(self.table(tmp_path / f"{name}.parquet", values), tmp_path)

    def test_of_any_name_with_empty_cells_is_refused(self, tmp_path):
        path = self.table(tmp_path / "x.parquet", ["train"] * 6 + ["test"] * 2 + [None] * 4, "of no such name")
        with pytest.raises(DataError, match=r"4 of 12 rows do not tell their split, as the others do \(train, test\)"):
            acquired(path, tmp_path)


def test_known_files_are_not_read_again(tmp_path, monkeypatch):
    for number in range(2):
        write_parquet(tmp_path / "p" / f"train-{number}.parquet", encoded_noise(number, 10), [0, 1] * 5)
    calls = []
    inspect = Decoder.inspect
    monkeypatch.setattr(Decoder, "inspect", lambda self, data: calls.append(1) or inspect(self, data))
    first = acquired(tmp_path / "p", tmp_path)
    assert acquired(tmp_path / "p", tmp_path).digest == first.digest
    assert len(calls) == 20
    write_parquet(tmp_path / "p" / "train-2.parquet", encoded_noise(2, 10), [0, 1] * 5)
    assert sum(len(split) for split in acquired(tmp_path / "p", tmp_path).splits.values()) == 30
    assert len(calls) == 30


def test_a_file_replaced_under_a_reader_is_noticed(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", encoded_noise(0, 20), [0, 1] * 10, compression="none")
    data = acquired(path, tmp_path)
    before = path.stat()
    write_parquet(path, encoded_noise(0, 20)[::-1], [0, 1] * 10, compression="none")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    again = acquired(path, tmp_path)  # nothing tells of it yet
    with pytest.raises(ChangedError, match=r"image x.parquet:\d+ changed since it was verified"):
        again.splits["train"].images.read(range(16))
    again = acquired(path, tmp_path)
    assert again.digest != data.digest
    again.splits["train"].images.read(range(16))


def test_a_damaged_page_poisons_its_row_group_alone(tmp_path):
    options = {"row_group_size": 20, "compression": "snappy", "use_dictionary": False}
    path = write_parquet(tmp_path / "x.parquet", encoded_noise(0, 40), [0, 1] * 20, **options)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = column.data_page_offset
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)
    data = acquired(path, tmp_path, unreadable="quarantine")
    assert sum(len(split) for split in data.splits.values()) == 20
    assert data.quarantined.num_rows == 20
    assert data.quarantined.column("reason")[0].as_py().startswith("its row group is damaged")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_column": "photo"}, "has no column 'photo'; .*: it has image, label, caption"),
        ({"image_column": "caption"}, "column 'caption' holds string, not encoded images as bytes"),
        ({"label_column": "image"}, "column 'image' holds struct<.*, neither numbers nor names"),
        ({"classes": ("0", "2")}, "class '2' is not in .*; it has: 0, 1"),
    ],
)
def test_columns_and_classes_that_are_not_there_are_told(tmp_path, settings, message):
    path = write_parquet(tmp_path / "x.parquet", encoded_noise(0, 20), [0, 1] * 10)
    with pytest.raises(DataError, match=message):
        acquired(path, tmp_path, **settings)


@pytest.mark.parametrize("bare", [0, 1, 2])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
def test_files_of_which_only_some_name_their_classes_are_refused(tmp_path, bare, later):
    def write(number: int) -> None:
        names = None if number == bare else ["cat", "dog"]
        write_parquet(tmp_path / "p" / f"train-{number}.parquet", encoded_noise(number, 10), [0, 1] * 5, names)

    for number in {0, 1, 2} - {bare}:
        write(number)
    if later:
        assert acquired(tmp_path / "p", tmp_path).class_names == ("cat", "dog")
    write(bare)
    with pytest.raises(
        DataError, match=rf"/p/train-{bare}.parquet has no class names .* as train-\d.parquet has; write"
    ):
        acquired(tmp_path / "p", tmp_path)


def test_a_damaged_file_is_told(tmp_path):
    path = write_parquet(tmp_path / "x.parquet", encoded_noise(0, 20), [0, 1] * 10)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"x.parquet is damaged or cannot be read \(.*\); fetch or make it again"):
        acquired(path, tmp_path)
