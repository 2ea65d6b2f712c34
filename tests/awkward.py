"""Awkward inputs as people bring them, and what is right for each: one row a kind, for every source that can hold it.

An input is some files, each of a part (a folder, shard or table), a class and a name. A holder writes them as its kind of
source has them. A new oddity is one row of `ROWS`; `tests/lib/datasets/test_awkward.py` runs each with each of its holders,
and with what `predict` takes for an image.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib.datasets import Why
from lib.datasets.sources import ImageFolder, ParquetImages, SourceSettings, WebDataset


@dataclass(frozen=True)
class File:
    """One file of an input; `path` is where it lies in a folder if not at `part/label/name`."""

    part: str
    label: str
    name: str
    content: bytes
    path: str = ""

    @property
    def place(self) -> str:
        """Its path in a folder."""
        return self.path or "/".join(step for step in (self.part, self.label, self.name) if step)


@dataclass(frozen=True)
class Taken:
    """An input that is taken: its images of each split, its classes, what is left out, and words of its warnings."""

    splits: Mapping[str, int]
    classes: Sequence[str] = ("a", "b")
    left_out: Mapping[Why, int] = field(default_factory=dict)
    warns: str = ""


@dataclass(frozen=True)
class Refused:
    """An input that is refused: a regular expression that the one line has in it."""

    words: str


@dataclass(frozen=True)
class Row:
    """An awkward input and what is right for it, with every holder that can hold it."""

    name: str
    files: Sequence[File]
    right: Taken | Refused
    holders: Sequence[str] = ("folder", "zip", "webdataset", "parquet")
    settings: Mapping[str, Any] = field(default_factory=dict)


@cache
def image(seed: str, form: str = "PNG", height: int = 8, width: int = 8) -> bytes:
    """An image file of noise, another for each seed."""
    content = io.BytesIO()
    rng = np.random.default_rng(crc32(seed.encode()))
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(content, form)
    return content.getvalue()


def images(part: str = "", labels: Sequence[str] = ("a", "b"), count: int = 5, path: str = "") -> list[File]:
    """`count` images of each class in a part; `path` is a format of where they lie, with {label} and {name}."""
    return [
        File(part, label, name, image(f"{part}/{label}/{name}"), path.format(label=label, name=name))
        for label in labels
        for name in (f"{number}.png" for number in range(count))
    ]


def parts(*names: str, count: int = 5) -> list[File]:
    """The same two classes in several parts."""
    return [file for name in names for file in images(name, count=count)]


def write_folder(root: Path, files: Sequence[File]) -> Path:
    """The files as a folder."""
    for file in files:
        path = root / file.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    return root


def write_zip(root: Path, files: Sequence[File]) -> Path:
    """The files as a .zip of a folder."""
    return Path(shutil.make_archive(str(root), "zip", write_folder(root, files)))


def write_shards(root: Path, files: Sequence[File]) -> Path:
    """The files as a tar for each part; a class is a .cls beside each image."""
    for part in dict.fromkeys(file.part for file in files):
        path = root / f"{part or 'all'}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for file in files:
                if file.part != part:
                    continue
                stem = f"{file.label}-{file.name.partition('.')[0]}" if file.label else ""
                name = f"{stem}{file.name[file.name.find('.') :]}" if stem and "." in file.name else stem or file.name
                for each, content in [(name, file.content)] + [(f"{stem}.cls", file.label.encode())] * bool(stem):
                    member = tarfile.TarInfo(each)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return root


def write_tables(root: Path, files: Sequence[File]) -> Path:
    """The files as a Parquet file for each part."""
    for part in dict.fromkeys(file.part for file in files):
        path = root / f"{part or 'all'}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        within = [file for file in files if file.part == part]
        content = {"image": [file.content for file in within], "label": [file.label for file in within]}
        pq.write_table(pa.table(content), path)
    return root


HOLDERS: Mapping[str, tuple[type[SourceSettings], Callable[[Path, Sequence[File]], Path]]] = {
    "folder": (ImageFolder, write_folder),
    "zip": (ImageFolder, write_zip),
    "webdataset": (WebDataset, write_shards),
    "parquet": (ParquetImages, write_tables),
}
"""What each kind of source is called here, its settings, and how it is written."""


def written(row: Row, holder: str, root: Path) -> SourceSettings:
    """The input written under `root`, as a source."""
    settings, write = HOLDERS[holder]
    path = write(root / "input", row.files)
    return settings.model_validate({"path": str(path), **row.settings})


def junk(*places: str, content: bytes = b"no image") -> list[File]:
    """Files that are no image, at these places of a folder; in a tar they lie beside the samples."""
    return [File("", "", place.rpartition("/")[2], content, place) for place in places]


FOLDERS = ("folder", "zip")
SHARDS = ("webdataset", "parquet")
HALVES = Taken({"train": 10, "test": 10})
DEALT = Taken({"train": 8, "test": 2})
ONE_MORE = Taken({"train": 9, "test": 2})

NAMED_BY_SPLIT = [
    File("", label, f"{part}_{number}.png", image(f"{part}/{label}/{number}"))
    for part in ("train", "test")
    for label in "ab"
    for number in range(5)
]

_SPLIT_NAMES = (
    Row("train and test", parts("train", "test"), HALVES),
    Row("training and testing", parts("training", "testing"), HALVES),
    Row("training_set and test_set", parts("training_set", "test_set"), HALVES),
    Row("capitals", parts("Train", "TEST"), HALVES),
    Row("x_train and x_test", parts("x_train", "x_test"), HALVES),
    Row("a name and a split", parts("mnist_train", "mnist_test"), HALVES),
    Row("camel case", parts("trainImages", "testImages"), HALVES),
    Row("years", parts("train2017", "test2017"), HALVES),
    Row("glued", parts("trainset", "testdata"), HALVES),
    Row("tr and te above classes", parts("tr", "te"), HALVES),
    Row("train and eval", parts("train", "eval"), HALVES),
    Row("a folder around", parts("data/train", "data/test"), HALVES),
    Row("two folders around", parts("pets/data/train", "pets/data/test"), HALVES),
    Row("split words above and below", parts("test-data/train", "test-data/test"), HALVES),
    Row("three splits", parts("train", "valid", "test"), Taken({"train": 10, "validation": 10, "test": 10})),
    Row("train and val", parts("train", "val"), Taken({"train": 8, "validation": 10, "test": 2})),
    Row("train_data and dev", parts("train_data", "dev"), Taken({"train": 8, "validation": 10, "test": 2})),
    Row("no split", parts(""), DEALT),
    Row("train alone", parts("train"), DEALT),
    Row("test alone", parts("test"), Refused(r"has (files of )?test but no(ne| folder) of train")),
    Row("dev alone", parts("dev"), Refused(r"has (files of )?(dev|validation) but no(ne| folder) of train")),
    Row("two of one split", parts("train", "val", "valid"), Refused("two folders of validation"), FOLDERS),
    Row("test and eval", parts("train", "test", "eval"), Refused("two folders of test, 'eval' and 'test'"), FOLDERS),
    Row(
        "numbered",
        parts("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"),
        Taken({"train": 20, "test": 10}),
        SHARDS,
    ),
    Row("within words", parts("contest-0", "latest-1", "strain-2"), Taken({"train": 24, "test": 6}), SHARDS),
    Row("some tell and some do not", parts("train-0", "extra"), Refused("extra.* does not tell its split"), SHARDS),
    Row(
        "two splits in a name",
        parts("train_val", "test"),
        Refused("train_val.* may be of train or validation by"),
        SHARDS,
    ),
    Row("languages as shards", parts("de", "en", "tr"), Taken({"train": 24, "test": 6}), SHARDS),
    Row("by patterns", parts("one", "two"), HALVES, settings={"splits": {"train": "one*", "test": "two*"}}),
    Row(
        "by patterns, some left out",
        parts("one", "two", "three"),
        Taken(
            {"train": 10, "test": 10},
            left_out={Why.NO_PATTERN: 10},
            warns="10 file(s) are matched by no pattern of splits",
        ),
        FOLDERS,
        {"splits": {"train": "one", "test": "two/**"}},
    ),
    Row(
        "shards by patterns, some left out",
        parts("one", "two", "three"),
        Taken(
            {"train": 10, "test": 10},
            left_out={Why.NO_PATTERN: 1},
            warns="1 file(s) are matched by no pattern of splits and are left out: three.",
        ),
        SHARDS,
        {"splits": {"train": "one.*", "test": "two.*"}},
    ),
    Row(
        "a pattern that matches nothing",
        parts("one", "two"),
        Refused(r"splits: test: '2\*' matches nothing in .*, and a path there is '(one|two)"),
        settings={"splits": {"train": "one*", "test": "2*"}},
    ),
    Row(
        "a pattern in another case",
        parts("one", "two"),
        Refused(r"splits: train: 'One\*' matches nothing"),
        settings={"splits": {"train": "One*", "test": "two*"}},
    ),
    Row(
        "two patterns for one file",
        parts("one", "two"),
        Refused(r"'one.*' is matched by two patterns of splits, train: '\*\*' and test: 'one\*'"),
        settings={"splits": {"train": "**", "test": "one*"}},
    ),
)

_FOLDER_LAYOUTS = (
    Row(
        "splits in classes",
        [*images("train", path="{label}/train/{name}"), *images("test", path="{label}/Test/{name}")],
        HALVES,
        FOLDERS,
    ),
    Row(
        "splits in classes, val and no test",
        [*images("train", path="{label}/train/{name}"), *images("val", path="{label}/val/{name}")],
        Taken({"train": 8, "validation": 10, "test": 2}),
        FOLDERS,
    ),
    Row(
        "splits in some classes",
        [*images("train", path="{label}/train/{name}"), *images("", ("c",))],
        Refused(
            r"a/train may be the split train or only a part of class 'a'; for the split set "
            r"splits: \{train: \"\*/train/\*\*\"\}, .* classes: \[a, b, c\]"
        ),
        FOLDERS,
    ),
    Row(
        "and said to be classes",
        [*images("train", path="{label}/train/{name}"), *images("", ("c",))],
        Taken({"train": 12, "test": 3}, ("a", "b", "c")),
        FOLDERS,
        {"classes": ["a", "b", "c"]},
    ),
    Row(
        "two datasets",
        [
            *images("train", path="mnist/train/{label}/{name}"),
            *images("test", path="mnist/test/{label}/{name}"),
            *images("", ("kmnist",)),
        ],
        Refused(r"/mnist holds folders of splits \(test, train\), which hold folders in turn.* set path: .*/mnist$"),
        FOLDERS,
    ),
    Row(
        "folders of one split that may be classes",
        images("", ("te", "test", "train")),
        Refused(
            r"'te', 'test', 'train' may be .* set splits: \{train: \"train/\*\*\", test: \"\{te,test\}/\*\*\"\}, for classes"
        ),
        FOLDERS,
    ),
    Row(
        "a test split among classes",
        images("", ("cat", "test")),
        Refused(
            r"'test' may be .* set splits: \{train: \"…\", test: \"test/\*\*\"\}, for classes set classes: \[cat, test\]"
        ),
        FOLDERS,
    ),
    Row(
        "classes tr and te",
        images("", ("te", "tr")),
        Refused(
            r"'te', 'tr' may be the splits train and test or classes; for splits set "
            r"splits: \{train: \"tr/\*\*\", test: \"te/\*\*\"\}, for classes set classes: \[te, tr\]"
        ),
        FOLDERS,
    ),
    Row(
        "classes tr and te, said",
        images("", ("te", "tr")),
        Taken({"train": 8, "test": 2}, ("te", "tr")),
        FOLDERS,
        {"classes": ["te", "tr"]},
    ),
    Row("languages", images("", ("de", "en", "tr")), Taken({"train": 12, "test": 3}, ("de", "en", "tr"))),
    Row(
        "vehicles",
        images("", ("bus", "train")),
        Refused(r"'train' may be the split train or classes; .* classes: \[bus, train\]"),
        FOLDERS,
    ),
    Row("vehicles with labels", images("", ("bus", "train")), Taken({"train": 8, "test": 2}, ("bus", "train")), SHARDS),
    Row(
        "split words in class names",
        images("", ("bullet_train", "bus", "test_tube")),
        Taken({"train": 12, "test": 3}, ("bullet_train", "bus", "test_tube")),
    ),
    Row(
        "class names with split words alone",
        images("", ("bullet_train", "test_tube")),
        Refused("may be the splits train and test or classes"),
        FOLDERS,
    ),
    Row(
        "longer words as classes",
        images("", ("contest", "latest", "strain")),
        Taken({"train": 12, "test": 3}, ("contest", "latest", "strain")),
    ),
    Row(
        "classes beside a split",
        [*parts("train"), *images("", ("c",))],
        Refused(r"'train' may be the split train or classes"),
        FOLDERS,
    ),
    Row(
        "a folder beside the splits",
        [*parts("train", "test"), *images("extra")],
        Taken(
            {"train": 10, "test": 10},
            left_out={Why.BESIDE_SPLITS: 1},
            warns="1 folder(s) beside the splits are not taken: extra",
        ),
        FOLDERS,
    ),
    Row(
        "a test split without labels",
        [*parts("train"), *images("test", ("a",), path="test/{name}")],
        Refused(
            r"/test has none of the class folders of .*/train \(it has: no folders\); to leave test out set "
            r"splits: \{train: \"train/\*\*\"\}"
        ),
        FOLDERS,
    ),
    Row(
        "and left out",
        [*parts("train"), *images("test", ("a",), path="test/{name}")],
        Taken({"train": 8, "test": 2}, left_out={Why.NO_PATTERN: 5}, warns="5 file(s) are matched by no pattern"),
        FOLDERS,
        {"splits": {"train": "train/**"}},
    ),
    Row(
        "split words in file names",
        [*images("1", path="{label}/train_{name}"), *images("2", path="{label}/test_{name}")],
        Refused(r"files may be of splits by their names \(train: a/train_0.png, test: a/test_0.png\)"),
        FOLDERS,
    ),
    Row(
        "and by patterns",
        [*images("1", path="{label}/train_{name}"), *images("2", path="{label}/test_{name}")],
        HALVES,
        FOLDERS,
        {"splits": {"train": "*/train_*", "test": "**/test_*"}},
    ),
    Row(
        "split words in names of samples",
        NAMED_BY_SPLIT,
        Refused(
            r"by their names \(train: .*train_0.png, test: .*test_0.png\), .*; to take them together set splits: \{train:"
        ),
        ("folder", "webdataset"),
    ),
    Row(
        "and said to be together", NAMED_BY_SPLIT, Taken({"train": 16, "test": 4}), settings={"splits": {"train": "**"}}
    ),
    Row(
        "classes below a folder beside another",
        [*images("Dataset", ("a", "b")), *images("", ("Examples",))],
        Taken(
            {"train": 12, "test": 3},
            ("Dataset", "Examples"),
            warns="1 class folder(s) hold only sub-folders (Dataset: a, b), and all images below a class folder are of its "
            "class; if the sub-folders are the classes, set path: ",
        ),
        FOLDERS,
    ),
)

_UNPACKED = (
    Row("doubled folders", parts("training_set/training_set", "test_set/test_set"), HALVES, FOLDERS),
    Row(
        "doubled folders, one beside and a stray image",
        [*parts("seg_train/seg_train", "seg_test/seg_test", "seg_pred"), *images("", ("",), 1, path="seg_test/{name}")],
        Taken(
            {"train": 10, "test": 10},
            left_out={Why.BESIDE_SPLITS: 1, Why.BESIDE_CLASSES: 1},
            warns="1 file(s) beside the class folders are not taken: seg_test/0.png",
        ),
        FOLDERS,
    ),
    Row(
        "a stray image beside the folder around",
        [*parts("data/train", "data/test"), *images("", ("",), 1, path="banner.png")],
        Taken(
            {"train": 10, "test": 10},
            left_out={Why.BESIDE_CLASSES: 1},
            warns="1 file(s) beside the class folders are not taken: banner.png",
        ),
        FOLDERS,
    ),
    Row(
        "a split within a split",
        parts("train/train", "train/val", "test"),
        Refused(
            r"/train is of train and holds folders of splits in turn \(train, val\); set "
            r"splits: \{train: \"train/train/\*\*\", validation: \"train/val/\*\*\", test: \"test/\*\*\"\}"
        ),
        FOLDERS,
    ),
    Row(
        "two splits without classes",
        [
            *images("train", path="train/{label}/images/{name}"),
            *images("val", ("images",), path="val/images/{name}"),
            *images("test", ("images",), path="test/images/{name}"),
        ],
        Refused(r"to leave validation and test out set splits: \{train: \"train/\*\*\"\}"),
        FOLDERS,
    ),
    Row(
        "boxes beside images",
        [
            file
            for part in ("train", "val", "test")
            for file in [*images(part, path=f"images/{part}/{{name}}"), *junk(f"labels/{part}/0.txt")]
        ],
        Refused(r"is laid out for detection \(labels/ holds no images\), which has no classes; put the images of each"),
        FOLDERS,
    ),
    Row(
        "boxes beside images in each split",
        [
            file
            for part in ("train", "valid")
            for file in [*images(part, path=f"{part}/images/{{name}}"), *junk(f"{part}/labels/0.txt")]
        ],
        Refused(r"is laid out for detection \(labels/ holds no images\)"),
        FOLDERS,
    ),
    Row(
        "labels in a table",
        [*images("", ("",), path="images/{name}"), *junk("labels.csv")],
        Refused(
            r"has 1 class folder\(s\) \(images\); .* labels in a table \(labels.csv\) are not read: put the images of each "
            r"class into a folder called as the class \(cat/0.jpg\); images without labels are taken by path: .*/images$"
        ),
        FOLDERS,
    ),
    Row(
        "a table beside images",
        [*images("", ("",), path="{name}"), *junk("labels.csv")],
        Taken({"train": 4, "test": 1}, ("",), {Why.NO_IMAGE: 1}, "labels in a table (labels.csv) are not read: put"),
        FOLDERS,
    ),
    Row(
        "tars",
        junk("train.tar", "test.tar"),
        Refused(r"holds no images: it holds archives \(test.tar, train.tar\): unpack them, or set source: webdataset"),
        ("folder",),
    ),
    Row(
        "hidden classes",
        images("", (".cat", ".dog")),
        Refused(r"has 0 class folder\(s\); .* 2 folder\(s\) are hidden \(.cat, .dog\): rename them$"),
        FOLDERS,
    ),
    Row(
        "a hidden class",
        images("", (".cat", "a", "b", "lost+found")),
        Taken(
            {"train": 8, "test": 2},
            left_out={Why.HIDDEN_FOLDERS: 2},
            warns="2 folder(s) of images are hidden and not taken; rename them to have them: .cat, lost+found",
        ),
        FOLDERS,
    ),
)

_NO_IMAGES = (
    Row(
        "what systems leave",
        [*parts(""), *junk("a/Thumbs.db", "b/desktop.ini", "a/.DS_Store", "b/._0.png", "__MACOSX/a/._0.png")],
        Taken({"train": 8, "test": 2}, left_out={Why.HIDDEN: 5}, warns="5 file(s) are no images and are left out: "),
        FOLDERS,
    ),
    Row(
        "what systems leave in shards", [*parts(""), *junk("Thumbs.db", ".DS_Store", "._0.png")], DEALT, ("webdataset",)
    ),
    Row(
        "notes among images",
        [*parts(""), *junk("a/README", "a/notes.txt", "b/labels.csv"), *junk("b/empty", content=b"")],
        Taken({"train": 8, "test": 2}, left_out={Why.NO_IMAGE: 4}, warns="4 file(s) are no images and are left out: "),
        (*FOLDERS, "webdataset"),
    ),
    Row(
        "notes beside classes",
        [*parts("train", "test"), *junk("README.md", "train/index.html")],
        Taken(
            {"train": 10, "test": 10},
            left_out={Why.BESIDE_CLASSES: 2},
            warns="2 file(s) beside the class folders are not taken: README.md, train/index.html",
        ),
        FOLDERS,
    ),
    Row("no ending", [*parts("", count=4), *(File("", label, "no-ending", image(label)) for label in "ab")], DEALT),
    Row(
        "another ending",
        [*parts("", count=4), *(File("", label, "odd.txt", image(label, "JPEG")) for label in "ab")],
        DEALT,
    ),
    Row(
        "a form's wrong ending",
        [*parts("", count=4), *(File("", label, "odd.png", image(label, "JPEG")) for label in "ab")],
        DEALT,
    ),
    Row(
        "damage with an image's ending",
        [*parts(""), File("", "a", "bad.jpg", image("bad", "JPEG")[:100])],
        Refused(r"1 unreadable image\(s\)"),
    ),
    Row(
        "damage with an image's beginning",
        [*parts(""), File("", "a", "bad.bin", image("bad", "JPEG")[:100])],
        Refused(r"1 unreadable image\(s\)"),
    ),
    Row(
        "words with an image's ending",
        [*parts(""), File("", "a", "bad.jpg", b"no image")],
        Refused(r"1 unreadable image\(s\)"),
    ),
    Row(
        "a form that cannot be read",
        [*parts(""), File("", "a", "bad.heic", b"\0\0\0\x18ftypheic" + bytes(40))],
        Refused(r"1 unreadable image\(s\) .*a HEIC image, which Pillow does not read: convert it to JPEG or PNG"),
    ),
    Row(
        "an image that is empty",
        [*parts(""), File("", "a", "bad.jpg", b"")],
        Refused(r"1 unreadable image\(s\) .*the file is empty"),
    ),
    Row(
        "a pointer of Git LFS",
        [*parts(""), File("", "a", "bad.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")],
        Refused(r"1 unreadable image\(s\) .*run `git lfs pull`"),
    ),
)


def _saved(mode: str, form: str, size: tuple[int, int] = (9, 7), several: bool = False, **options: Any) -> bytes:
    content = io.BytesIO()
    if several:
        options |= {"save_all": True, "append_images": [Image.new("RGB", size)]}
    Image.new("RGB", size, "teal").convert(mode).save(content, form, **options)
    return content.getvalue()


_TEXT = PngInfo()
_TEXT.add_text("workflow", "x" * 2_000_000, zip=True)  # more than Pillow takes

_ODD_IMAGES: Mapping[str, bytes] = {
    "CMYK": _saved("CMYK", "JPEG"),
    "16 bits": _saved("I;16", "PNG"),
    "one bit": _saved("1", "PNG"),
    "grey with alpha": _saved("LA", "PNG"),
    "a palette with a clear colour": _saved("P", "PNG", transparency=0),
    "one pixel wide": _saved("RGB", "PNG", (1, 3000)),
    "one pixel": _saved("RGB", "JPEG", (1, 1)),
    "a phone's, with a preview": _saved("RGB", "MPO", several=True),
    "AVIF": _saved("RGB", "AVIF"),
    "a large text": _saved("RGB", "PNG", pnginfo=_TEXT),
    "a large colour profile": _saved("RGB", "PNG", icc_profile=bytes(2_000_000)),
    "EXIF of words": _saved("RGB", "JPEG", exif=b"Exif\0\0words"),
    "bytes after its end": _saved("RGB", "JPEG") + b"more" * 99,
}

_CONTENTS = (
    *(Row(name, [*parts(""), File("", "a", "odd.png", content)], ONE_MORE) for name, content in _ODD_IMAGES.items()),
    *(
        Row(
            f"several frames of {form}",
            [*parts(""), File("", "a", "odd.gif", _saved("RGB", form, several=True))],
            replace(ONE_MORE, warns="1 image(s) hold several frames or pages, of which the first is taken: "),
        )
        for form in ("GIF", "TIFF", "WEBP", "PNG")
    ),
)

_ONE, _TWO = "caf\u00e9", "cafe\u0301"
_ALIKE = "classes that look alike are taken as different ones: "
_NAMES_ALIKE = (
    Row(
        "one class in both forms of Unicode",
        [*images("train", (_ONE, "b")), *images("test", (_TWO, "b"))],
        Taken({"train": 10, "test": 10}, ("b", _ONE)),
    ),
    Row(
        "a class in the other form of Unicode",
        images("", (_TWO, "b", "c")),
        Taken({"train": 8, "test": 2}, (_TWO, "b")),
        settings={"classes": [_ONE, "b"]},
    ),
    Row(
        "both forms of Unicode side by side",
        images("", (_ONE, _TWO, "b")),
        Taken({"train": 12, "test": 3}, ("b", _TWO, _ONE), warns=rf"{_ALIKE}'cafe\u0301' and 'caf\xe9'; give"),
    ),
    Row(
        "spaces, case and no width",
        images("", ("cat", "Cat", "cat ", "dog", "dog\u200b")),
        Taken(
            {"train": 20, "test": 5},
            ("Cat", "cat", "cat ", "dog", "dog\u200b"),
            warns=rf"{_ALIKE}'Cat' and 'cat' and 'cat '; 'dog' and 'dog\u200b'; give",
        ),
        ("folder", "parquet"),
    ),
    Row(
        "a space in one split",
        [*images("train", ("cat ", "b")), *images("test", ("cat", "b"))],
        Refused(
            r"class 'cat' of .*/test is not in .*/train, where 'cat ' looks like 'cat': give both one name; or add"
        ),
        FOLDERS,
    ),
    Row(
        "both forms of Unicode by patterns",
        [*images("one", (_ONE, "b")), *images("two", (_TWO, "b"))],
        Taken({"train": 10, "test": 10}, ("b", _ONE)),
        settings={"splits": {"train": "one*", "test": "two*"}},
    ),
)

_SMALL_CLASSES = (
    Row(
        "one image in a class",
        [*parts(""), *images("", ("c",), 1)],
        Refused(r"too few different images of class 'c' \(1\): each needs 2 to part"),
    ),
    Row(
        "copies of one image",
        [*parts(""), *(File("", "c", f"{number}.png", image("c")) for number in range(5))],
        Refused(r"too few different images of class 'c' \(1\): each needs 2 to hold some out"),
    ),
    Row(
        "an image in two classes",
        [*parts(""), *(File("", label, "same.png", image("same")) for label in ("a", "b")), *images("", ("c",))],
        Taken(
            {"train": 14, "test": 3},
            ("a", "b", "c"),
            warns="1 image(s) are in several classes, by their pixels: ",
        ),
    ),
    Row(
        "two images in a class",
        [*parts(""), *images("", ("c",), 2)],
        Taken(
            {"train": 9, "test": 3},
            ("a", "b", "c"),
            warns="train has too few different images of class 'c' (1): each needs 2 to hold one out for validation",
        ),
    ),
    Row(
        "a class without test images",
        [*parts("train", "test"), *images("train", ("c",))],
        Refused("class 'c' has no readable image in test of "),
    ),
    Row(
        "one image without a class",
        [File("", "", "0.png", image("0"))],
        Refused(r"has too few different images \(1\): it needs 2 to part train and test; add some"),
        FOLDERS,
    ),
    Row(
        "two small classes",
        [*parts(""), *images("", ("c", "d"), 1)],
        Refused(r"of 2 classes 'c' \(1\), 'd' \(1\): each needs 2"),
    ),
    Row(
        "a class folder of notes",
        [*parts(""), *junk("annotations/0.xml", "annotations/1.xml")],
        Refused("class 'annotations' has no readable image in .*; add some, or list the other classes"),
        FOLDERS,
    ),
)

ROWS = (*_SPLIT_NAMES, *_FOLDER_LAYOUTS, *_UNPACKED, *_NO_IMAGES, *_CONTENTS, *_NAMES_ALIKE, *_SMALL_CLASSES)
