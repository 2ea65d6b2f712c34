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
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

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
def image(seed: str, form: str = "PNG") -> bytes:
    """An image file of noise, 8x8 pixels, another for each seed."""
    content = io.BytesIO()
    rng = np.random.default_rng(crc32(seed.encode()))
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(content, form)
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


ROWS = (
    Row("train and test", parts("train", "test"), Taken({"train": 10, "test": 10})),
    Row("no split", parts(""), Taken({"train": 8, "test": 2})),
    Row("train alone", parts("train"), Taken({"train": 8, "test": 2})),
    Row("test alone", parts("test"), Refused(r"has (files of )?test but no(ne| folder) of train")),
    Row(
        "damage with an image's ending",
        [*parts(""), File("", "a", "bad.jpg", image("bad", "JPEG")[:100])],
        Refused(r"1 unreadable image\(s\)"),
    ),
)
