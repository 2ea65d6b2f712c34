"""Whatever folders, names and splits people bring: each image is taken as its path says, or it is told in one line."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.datasets import Dataset, acquire, splits_ahead
from lib.datasets.catalogue import shown
from lib.datasets.recognition import is_hidden
from lib.datasets.sources import ImageFolder, SourceSettings, WebDataset
from lib.errors import ProbeflowError
from tests.image_files import encoded_noise

pytestmark = pytest.mark.fuzz
EXAMPLES = settings.default.max_examples // 3

IMAGES = encoded_noise(0, 24)

SPLITS = {
    **dict.fromkeys((b"train", b"Training", b"x_train", b"train-2017"), "train"),
    **dict.fromkeys((b"val", b"VALID", b"validation set"), "validation"),
    **dict.fromkeys((b"test", b"TEST", b"test_images", b"test_0"), "test"),
}
"""Names that say one split for certain."""

WORDS = [
    *SPLITS,
    b"tr",
    b"te",
    b"dev",
    b"eval",
    b"train_val",
    b"data",
    b"images",
    b"mnistTest",
    b"a",
    b"b",
    b"cat",
    b"0",
    b"strain",
]
ODD = [
    b"__MACOSX",
    b".git",
    b"caf\xe9",
    "\u732b \U0001f408".encode(),
    b"~",
    b"$HOME",
    b"#1",
    b"[ab]*",
    b"-n",
    b"a\\b",
    b"x\ny",
]
NAMES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(WORDS),
    st.sampled_from(ODD),
    st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 0x2F} and name not in (b".", b"..")),
)
FILES = st.one_of(
    st.integers(0, 99).map(lambda number: b"%d.png" % number),
    st.sampled_from([b"train_0.png", b"test_1.png", b"no-ending", b"\xff.jpg"]),
)
JUNK = st.sampled_from([b"Thumbs.db", b".DS_Store", b"desktop.ini", b"._0.png"])

Tree = Mapping[bytes, bytes]
"""The content of each file by its path."""


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, bytes]:
    """Folders of a few names each, three levels deep at most, with an image in most of them."""
    tops = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    classes = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    depth = draw(st.sampled_from([1, 2, 2, 2, 3]))
    paths = [b"%s/" % top for top in tops]
    for _ in range(depth - 1):
        paths = [path + b"%s/" % name for path in paths for name in (classes if draw(st.booleans()) else classes[:2])]
    numbers, tree = count(), {}
    for path in paths:
        for name in draw(st.lists(FILES, min_size=0, max_size=4, unique=True)):
            tree[path + name] = IMAGES[next(numbers) % len(IMAGES)]
    return tree


def write(root: Path, tree: Tree) -> str:
    """The tree as a folder; paths at which a folder is already are left out."""
    for path, content in tree.items():
        full = os.path.join(os.fsencode(root), path)  # noqa: PTH118 - bytes are no Path
        if os.path.isdir(full):  # noqa: PTH112
            continue
        os.makedirs(os.path.dirname(full), exist_ok=True)  # noqa: PTH103, PTH120
        with open(full, "wb") as file:  # noqa: PTH123
            file.write(content)
    root.mkdir(exist_ok=True)
    return str(root)


@contextmanager
def fresh() -> Iterator[Path]:
    """A folder for one example."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


def outcome(source: SourceSettings, root: Path) -> Dataset | str:
    """The dataset, or the one line that refuses it; what is said ahead agrees with it."""
    told = ""
    try:
        ahead = splits_ahead(source, root / "data")
        data = acquire(source, root / "data")
    except ProbeflowError as problem:
        told = str(problem)
    else:
        assert ahead is None or ahead == tuple(data.splits)
    assert "\n" not in told
    return told or data


def taken(data: Dataset) -> dict[str, tuple[str, str]]:
    """Name -> split and class of each image."""
    return {
        split.images.name(row): (name, data.class_names[split.labels[row]])
        for name, split in data.splits.items()
        for row in range(len(split))
    }


@given(trees())
@settings(max_examples=EXAMPLES)
def test_each_image_of_a_folder_has_the_split_and_the_class_that_its_path_says_or_that_is_told(tree):
    with fresh() as root:
        data = outcome(ImageFolder(path=write(root / "in", tree)), root)
        if isinstance(data, str):
            return
        found = taken(data)
    for path, (split, name) in found.items():
        folders = path.split("/")[:-1]
        assert not data.labelled or name in folders
        said = {SPLITS[step.encode()] for step in folders if step.encode() in SPLITS and step != name}
        if len(said) == 1:
            (only,) = said
            assert split == only or (only == "train" and split == "test" and "test" in data.reading.held_out)
    seen = {path for path in tree if not any(map(is_hidden, path.split(b"/")))}
    assert {shown(path) for path in seen} - set(found) == set() or data.warnings


@given(trees(), st.lists(JUNK, min_size=1, max_size=3))
@settings(max_examples=EXAMPLES)
def test_what_systems_leave_among_images_changes_nothing(tree, junk):
    folders = sorted({path.rpartition(b"/")[0] for path in tree})
    with fresh() as root:
        plain = outcome(ImageFolder(path=write(root / "in", tree)), root)
        more = {folder + b"/" + name: b"junk" for folder in folders for name in junk}
        beside = outcome(ImageFolder(path=write(root / "in", more)), root)
    assert isinstance(plain, str) == isinstance(beside, str)
    if isinstance(plain, Dataset):
        assert (plain.digest, plain.class_names) == (beside.digest, beside.class_names)


@given(trees())
@settings(max_examples=EXAMPLES)
def test_a_tar_of_a_folder_is_the_same_dataset(tree):
    # Of one folder with nothing beside it the tar is that folder itself; backslashes alone may be slashes.
    tops = {path.split(b"/")[0] for path in tree}
    if len({top for top in tops if not is_hidden(top)}) < 2 or any(b"\\" in path for path in tree):
        return
    with fresh() as root:
        folder = outcome(ImageFolder(path=write(root / "in", tree)), root)
        with tarfile.open(root / "x.tar", "w") as tar:
            tar.add(root / "in", ".")
        packed = outcome(ImageFolder(path=str(root / "x.tar")), root)
    assert isinstance(folder, str) == isinstance(packed, str)
    if isinstance(folder, Dataset):
        assert folder.digest == packed.digest


@given(st.lists(st.tuples(NAMES, st.integers(0, 3)), min_size=1, max_size=5, unique=True))
@settings(max_examples=EXAMPLES)
def test_each_sample_of_shards_is_of_the_split_that_its_shard_says(names):
    with fresh() as root:
        numbers = count()
        for name, number in names:
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as tar:
                for label in ("a", "b"):
                    for _ in range(2):
                        at = next(numbers)
                        for ending, data in ((".png", IMAGES[at % len(IMAGES)]), (".cls", label.encode())):
                            member = tarfile.TarInfo(f"{at}{ending}")
                            member.size = len(data)
                            tar.addfile(member, io.BytesIO(data))
            write(root / "in", {b"%s-%d.tar" % (name, number): content.getvalue()})
        data = outcome(WebDataset(path=str(root / "in")), root)
        if isinstance(data, str):
            return
        found = taken(data)
    for path, (split, _) in found.items():
        only = SPLITS.get(path.rpartition("/")[0].rpartition("-")[0].encode())
        assert only in (None, split) or (only == "train" and split == "test" and "test" in data.reading.held_out)
