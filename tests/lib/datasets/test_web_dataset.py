"""Tar shards: samples are found, read by their place, and damaged or odd ones are told by name."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.datasets import acquire, require_no_leakage, splits_ahead
from lib.datasets.decoding import Decoder
from lib.datasets.sources import WebDataset
from lib.errors import ChangedError, DataError
from tests.image_files import encoded_noise


def write_tar(path: Path, members: list[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def samples(seed: int, count: int = 12, labels: tuple[str, ...] = ("cat", "dog")) -> list[tuple[str, bytes]]:
    return [
        member
        for number, image in enumerate(encoded_noise(seed, count))
        for member in (
            (f"{seed:03d}{number:03d}.png", image),
            (f"{seed:03d}{number:03d}.cls", labels[number % len(labels)].encode()),
        )
    ]


@pytest.fixture
def shards(tmp_path) -> Path:
    for seed in range(3):
        write_tar(tmp_path / "shards" / f"train-{seed:03d}.tar", samples(seed))
    write_tar(tmp_path / "shards" / "test-000.tar", samples(9))
    return tmp_path / "shards"


def acquired(path: Path | str, tmp_path: Path, **settings):
    return acquire(WebDataset(path=str(path), **settings), tmp_path / "data")


def test_images_and_labels_come_in_the_order_of_the_shards(shards, tmp_path):
    data = acquired(shards, tmp_path)
    assert data.class_names == ("cat", "dog")
    for split, seeds in (("train", (0, 1, 2)), ("test", (9,))):
        expected = [image for seed in seeds for image in encoded_noise(seed, 12)]
        assert len(data.splits[split]) == len(expected)
        assert data.splits[split].labels.tolist() == [0, 1] * (len(expected) // 2)
        for row, content in enumerate(expected):
            np.testing.assert_array_equal(
                data.splits[split].images[row], np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            )
    require_no_leakage(data)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_every_kind_of_tar_is_read(tmp_path, form):
    long = "a/very/long/folder" * 4
    members = [(f"{long}/{'x' * 60}{name}", content) for name, content in samples(0)]
    data = acquired(write_tar(tmp_path / "x.tar", members, form), tmp_path)
    assert sum(len(split) for split in data.splits.values()) == 12


@pytest.mark.parametrize("layout", ["names", "folders", "pattern", "list", "braces"])
def test_splits_come_from_names_or_folders_and_paths_may_be_patterns(tmp_path, layout):
    names = ("train-000", "train-001", "val-000") if layout == "names" else ("train/0", "train/1", "validation/0")
    for seed, name in enumerate(names):
        write_tar(tmp_path / "s" / f"{name}.tar", samples(seed))
    path = {"pattern": "s/*/*.tar", "list": "s/{train,validation}/*.tar", "braces": "s/train/{0..1}.tar"}.get(
        layout, "s"
    )
    data = acquired(tmp_path / path, tmp_path)
    assert data.name == ("train" if layout == "braces" else "s")
    rows = {name: len(split) for name, split in data.splits.items()}
    assert rows == {"train": 20} | ({} if layout == "braces" else {"validation": 12}) | {"test": 4}


def test_of_shards_that_are_all_of_train_some_images_are_held_out(tmp_path):
    for seed in range(2):
        write_tar(tmp_path / "s" / f"train-{seed:03d}.tar", samples(seed))
    rows = {name: len(split) for name, split in acquired(tmp_path / "s", tmp_path).splits.items()}
    assert rows == {"train": 20, "test": 4}


def test_labels_are_numbers_or_names_beside_the_image_or_in_json(tmp_path):
    images = encoded_noise(0, 40)
    labels = ["10", "9", "009", "10\n"] * 10
    members = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        beside = ("cls", label.encode())
        if number % 3 == 1:
            beside = ("json", json.dumps({"label": int(label), "width": 8}).encode())
        elif number % 3 == 2:
            beside = ("json", json.dumps({"cls": label.strip(), "caption": "a thing"}).encode())
        members += [(f"{number}.jpg", image), (f"{number}.{beside[0]}", beside[1]), (f"{number}.txt", b"a caption")]
    data = acquired(write_tar(tmp_path / "x.tar", members), tmp_path)
    assert data.class_names == ("9", "10")
    assert sum(np.bincount(split.labels) for split in data.splits.values()).tolist() == [20, 20]


def test_only_the_classes_asked_for_are_taken_and_decoded(tmp_path, monkeypatch):
    members = samples(0, 30, ("cat", "dog", "bird"))
    path = write_tar(tmp_path / "x.tar", members)
    calls = []
    inspect = Decoder.inspect
    monkeypatch.setattr(Decoder, "inspect", lambda self, data: calls.append(1) or inspect(self, data))
    data = acquired(path, tmp_path, classes=("dog", "cat"))
    assert data.class_names == ("dog", "cat")
    assert len(calls) == sum(len(split) for split in data.splits.values()) == 20
    with pytest.raises(DataError, match=r"class 'fish' is not in .*; it has: bird, cat, dog"):
        acquired(path, tmp_path, classes=("dog", "fish"))


def test_poison_is_told_by_name_and_set_aside(shards, tmp_path):
    good = encoded_noise(5, 1)[0]
    write_tar(
        shards / "train-003.tar",
        [
            ("d/bad.png", b"no image"),
            ("d/bad.cls", b"cat"),
            ("d/alone.png", good),
            ("d/label.cls", b"dog"),
            ("d/._meta.png", b"ignored"),
            ("d/two.png", good),
            ("d/two.jpg", good),
            ("d/two.cls", b"dog"),
            ("d/odd.png", good),
            ("d/odd.cls", b"\xff\xfe"),
        ],
    )
    with pytest.raises(
        DataError, match=r"5 unreadable image\(s\) in .*shards, e.g. train-003.tar/d/bad.png \(not an im"
    ):
        acquired(shards, tmp_path)
    for _ in range(2):  # the second time from the catalogue
        table = acquired(shards, tmp_path, unreadable="quarantine").quarantined
        assert table.column("split").to_pylist() == ["train"] * 5
        assert [tuple(row.values()) for row in table.select(["name", "label", "reason"]).to_pylist()] == [
            ("train-003.tar/d/bad.png", "cat", "not an image that Pillow knows"),
            ("train-003.tar/d/alone.png", None, "no label beside it (.cls, or label or cls in .json); there is .png"),
            ("train-003.tar/d/label", "dog", "the sample has no image"),
            ("train-003.tar/d/two.jpg", "dog", "the sample has several images (d/two.png, d/two.jpg)"),
            ("train-003.tar/d/odd.png", None, "its label file d/odd.cls is no text or JSON"),
        ]


@pytest.mark.parametrize(
    ("members", "name", "label", "reason"),
    [
        (
            {"z\udcff.png": "good", "z\udcff.jpg": "good", "z\udcff.cls": "cat"},
            "z\\xff.jpg",
            "cat",
            "the sample has several images (z\\xff.png, z\\xff.jpg)",
        ),
        (
            {"z\udcff.png": "good", "z\udcff.cls": "1" * 2_000_000},
            "z\\xff.png",
            None,
            "its label file z\\xff.cls has 2,000,000 bytes",
        ),
        (
            {"z\udcff.png": "good", "z\udcff.json": "no JSON"},
            "z\\xff.png",
            None,
            "its label file z\\xff.json is no text or JSON",
        ),
        (
            {"z.png": "good", "z.json": '{"label": "\\ud800"}'},
            "z.png",
            None,
            "its label file z.json is no text or JSON",
        ),
        ({"z.png": "good", "z.json": "[" * 200_000}, "z.png", None, "its label file z.json is no text or JSON"),
    ],
    ids=["name of an image", "name of a long label", "name of a bad label", "half a surrogate pair", "deep JSON"],
)
def test_what_is_no_text_is_the_fault_of_its_sample(tmp_path, members, name, label, reason):
    image = encoded_noise(5, 1)[0]
    odd = [(each, image if content == "good" else content.encode()) for each, content in members.items()]
    path = write_tar(tmp_path / "x.tar", samples(0) + odd)
    with pytest.raises(DataError, match=r"1 unreadable image\(s\) in .*, e\.g\. x\.tar/z") as caught:
        acquired(path, tmp_path)
    assert reason in str(caught.value)
    for _ in range(2):  # the second time from the catalogue
        (row,) = acquired(path, tmp_path, unreadable="quarantine").quarantined.to_pylist()
        assert (row["name"], row["label"], row["reason"]) == (f"x.tar/{name}", label, reason)


class TestWithinOneTar:
    def test_folders_tell_the_splits_of_its_samples(self, tmp_path):
        members = [
            (f"./data/{part}/{name}", content)
            for seed, part in enumerate(("training", "test"))
            for name, content in samples(seed)
        ]
        path = write_tar(tmp_path / "all.tar", members)
        for _ in range(2):  # the second time from the catalogue
            data = acquired(path, tmp_path)
            assert {name: len(split) for name, split in data.splits.items()} == {"train": 12, "test": 12}
        assert splits_ahead(WebDataset(path=str(path)), tmp_path) is None
        pooled = acquired(path, tmp_path, splits={"train": "all.tar"})
        assert {name: len(split) for name, split in pooled.splits.items()} == {"train": 20, "test": 4}

    @pytest.mark.parametrize(
        ("name", "part", "message"),
        [
            ("all.tar", "test", r"12 of 24 rows do not tell their split, as the others do \(test\)"),
            (
                "train.tar",
                "test",
                "train.tar/test/.* is of train by its file's name, and of test by what its row or folder",
            ),
        ],
    )
    def test_folders_that_tell_another_split_are_refused(self, tmp_path, name, part, message):
        members = [*samples(0), *((f"{part}/{member}", content) for member, content in samples(1))]
        with pytest.raises(DataError, match=message):
            acquired(write_tar(tmp_path / name, members), tmp_path)

    def test_what_is_no_sample_is_left_out_and_told(self, tmp_path):
        members = [*samples(0), ("README.md", b"what they are"), ("LICENSE", b"free"), ("__MACOSX/0.png", b"no image")]
        path = write_tar(tmp_path / "x.tar", members)
        for _ in range(2):  # the second time from the catalogue
            data = acquired(path, tmp_path)
            assert data.warnings == ("2 file(s) are no images and are left out: x.tar/README.md, x.tar/LICENSE",)


class TestShards:
    def test_known_ones_are_neither_indexed_nor_decoded_again(self, shards, tmp_path, monkeypatch):
        first = acquired(shards, tmp_path)
        opened = []
        real = tarfile.open
        monkeypatch.setattr(tarfile, "open", lambda *a, **k: opened.append(1) or real(*a, **k))
        calls = []
        inspect = Decoder.inspect
        monkeypatch.setattr(Decoder, "inspect", lambda self, data: calls.append(1) or inspect(self, data))
        assert acquired(shards, tmp_path).digest == first.digest
        assert (opened, calls) == ([], [])
        monkeypatch.setattr(tarfile, "open", real)
        write_tar(shards / "train-003.tar", samples(3))
        (shards / "train-000.tar").unlink()
        assert len(acquired(shards, tmp_path).splits["train"]) == 36
        assert len(calls) == 12

    def test_what_one_alone_told_goes_with_it(self, tmp_path):
        folder = tmp_path / "s"
        write_tar(folder / "train-0.tar", samples(0))
        write_tar(folder / "train-1.tar", samples(1, labels=("bird", "cat")))
        assert acquired(folder, tmp_path).class_names == ("bird", "cat", "dog")
        (folder / "train-1.tar").unlink()
        assert acquired(folder, tmp_path).class_names == ("cat", "dog")
        write_tar(folder / "test-0.tar", samples(2))  # now the splits are told by name
        rows = {name: len(split) for name, split in acquired(folder, tmp_path).splits.items()}
        assert rows == {"train": 12, "test": 12}

    def test_one_that_is_replaced_under_a_reader_is_noticed_and_indexed_anew(self, shards, tmp_path):
        data = acquired(shards, tmp_path)
        path = shards / "train-001.tar"
        before = path.stat()
        write_tar(path, [(name, content) for name, content in samples(1)[::-1]])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        with pytest.raises(ChangedError, match=r"image train-001.tar/0010\d\d.png changed since it was verified"):
            data.splits["train"].images.read(range(36))
        again = acquired(shards, tmp_path)
        assert again.digest != data.digest
        again.splits["train"].images.read(range(36))

    @pytest.mark.parametrize("compress", [gzip.compress])
    def test_a_compressed_one_is_refused_with_the_fix(self, shards, tmp_path, compress):
        path = shards / "train-000.tar"
        path.write_bytes(compress(path.read_bytes()))
        with pytest.raises(DataError, match=r"train-000.tar is compressed \(gzip\).*unpack it to a plain .tar"):
            acquired(shards, tmp_path)

    @pytest.mark.parametrize(
        "kind", ["cut in an image", "cut between samples", "cut in a header", "flipped header", "joined", "no tar"]
    )
    def test_a_damaged_one_is_refused_by_name(self, shards, tmp_path, kind):
        path = shards / "train-001.tar"
        content = path.read_bytes()
        headers = [at for at in range(0, len(content), 512) if content[at + 257 : at + 262] == b"ustar"]
        path.write_bytes(
            {
                "cut in an image": content[: headers[6] + 600],
                "cut between samples": content[: headers[6]],
                "cut in a header": content[: headers[6] + 100],
                "flipped header": content[: headers[6]] + b"!" + content[headers[6] + 1 :],
                "joined": content + content,
                "no tar": b"no tar at all" * 100,
            }[kind]
        )
        with pytest.raises(DataError, match=r"train-001.tar is damaged"):
            acquired(shards, tmp_path, unreadable="quarantine")

    def test_a_git_lfs_pointer_is_told_with_the_command(self, shards, tmp_path):
        (shards / "train-001.tar").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        with pytest.raises(DataError, match=r"train-001.tar is a Git LFS pointer .*: run `git lfs pull`"):
            acquired(shards, tmp_path)

    def test_a_link_is_refused(self, tmp_path):
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        with tarfile.open(tmp_path / "l.tar", "w") as tar:
            tar.addfile(link)
        with pytest.raises(DataError, match=r"l.tar: 'a.png' is a link"):
            acquired(tmp_path / "l.tar", tmp_path)

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("absent", "absent: .*absent not found"),
            ("absent-{00..03}.tar", "absent-00.tar not found"),
            ("shards/x*.tar", r"x\*.tar holds no .tar file"),
            ("shards/test-000.tar", "has files of test but none of train"),
            ("mixed", "extra.tar does not tell its split"),
            ("x-{0..99999999}.tar", "stands for more than 1,000,000 files"),
            ("shards/../shards/none", "none not found"),
        ],
    )
    def test_what_is_not_there_is_told(self, shards, tmp_path, path, message):
        write_tar(tmp_path / "mixed" / "train-0.tar", samples(0))
        write_tar(tmp_path / "mixed" / "extra.tar", samples(1))
        with pytest.raises(DataError, match=message):
            acquired(tmp_path / path, tmp_path)

    def test_one_class_is_not_enough(self, tmp_path):
        with pytest.raises(DataError, match="has the class 'cat' alone; at least two"):
            acquired(write_tar(tmp_path / "x.tar", samples(0, labels=("cat",))), tmp_path)

    def test_they_may_come_from_the_mirror(self, shards, tmp_path):
        here = acquired(shards, tmp_path)
        source = WebDataset(path="shards/*.tar")
        assert acquire(source, tmp_path / "other", tmp_path.as_uri()).digest == here.digest


@pytest.mark.parametrize("ending", ["cls", "json"])
def test_a_byte_order_mark_before_a_label_is_no_part_of_it(tmp_path, ending):
    members = []
    for number, image in enumerate(encoded_noise(0, 12)):
        label = ["cat", "dog"][number % 2]
        text = label if ending == "cls" else json.dumps({"label": label})
        members += [
            (f"{number}.png", image),
            (f"{number}.{ending}", text.encode("utf-8-sig" if number < 6 else "utf-8")),
        ]
    assert acquired(write_tar(tmp_path / "x.tar", members), tmp_path).class_names == ("cat", "dog")


def test_samples_without_labels_are_told_with_what_lies_beside_them(tmp_path):
    images = [(f"{number}.png", image) for number, image in enumerate(encoded_noise(0, 4))]
    members = [each for name, image in images for each in ((name, image), (f"{name[0]}.txt", b"a cat"))]
    told = r"no image of .* has a label: x.tar/0.png: no label beside it \(.cls, or .*\); there is .png, .txt$"
    with pytest.raises(DataError, match=told):
        acquired(write_tar(tmp_path / "x.tar", members), tmp_path)
    with pytest.raises(DataError, match=r"no image of .* has a label: there is no row that may be one"):
        acquired(write_tar(tmp_path / "none.tar", []), tmp_path)


def test_a_whole_number_is_one_class_with_and_without_a_point(tmp_path):
    labels = [1, 1.0, 2, 2.0] * 3
    members = [
        each
        for number, (image, label) in enumerate(zip(encoded_noise(0, 12), labels, strict=True))
        for each in ((f"{number}.png", image), (f"{number}.json", json.dumps({"label": label}).encode()))
    ]
    assert acquired(write_tar(tmp_path / "x.tar", members), tmp_path).class_names == ("1", "2")
