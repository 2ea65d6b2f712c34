"""Image folders: every kind of file is read right or refused by name, and archives are unpacked safely."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.predict import find_images
from lib.datasets import SplitsBy, acquire, require_no_leakage, splits_ahead
from lib.datasets.decoding import Decoder
from lib.datasets.sources import ImageFolder
from lib.datasets.understood import Why
from lib.errors import DataError, LeakageError
from tests.image_files import encoded_noise, write_images


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_images(tmp_path / "pets", ("cat", "dog"), 10)


def test_one_folder_a_class_is_split_by_class(folder, tmp_path):
    data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    assert data.class_names == ("cat", "dog")
    assert {name: np.bincount(split.labels).tolist() for name, split in data.splits.items()} == {
        "train": [8, 8],
        "test": [2, 2],
    }
    assert data.digest == acquire(ImageFolder(path=str(folder)), tmp_path / "other").digest


def test_the_folders_that_are_written_to_are_left_out_and_told(folder, tmp_path, monkeypatch):
    source = ImageFolder(path=str(folder))
    plain = acquire(source, tmp_path / "data")
    for variable, name in (("PROBEFLOW_DATA", "mine"), ("PROBEFLOW_MLRUNS", "runs")):
        monkeypatch.setenv(variable, str(folder / name))
        shutil.copytree(folder / "cat", folder / name / "figures")
    found = acquire(source, folder / "mine" / "raw")
    assert (found.digest, found.class_names) == (plain.digest, plain.class_names)
    (left,) = found.reading.left_out
    assert (left.why, set(left.examples)) == (Why.HIDDEN, {"mine/", "runs/"})
    with pytest.raises(
        DataError, match=f"^image folder '{folder}/mine' is where probeflow writes: give a folder in it"
    ):
        acquire(ImageFolder(path=f"{folder}/mine"), tmp_path / "data")


def test_so_is_a_train_folder_alone(folder, tmp_path):
    plain = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    shutil.copytree(folder, tmp_path / "parts" / "train")
    assert acquire(ImageFolder(path=str(tmp_path / "parts")), tmp_path / "data").digest == plain.digest


def test_copies_of_one_image_stay_on_one_side(folder, tmp_path):
    for number in range(9):
        shutil.copy(folder / "cat" / "9.png", folder / "cat" / f"copy{number}.png")
    for seed in range(5):
        data = acquire(ImageFolder(path=str(folder), seed=seed, test_fraction=0.4), tmp_path / "data")
        require_no_leakage(data)


def test_train_and_test_folders_are_kept_and_leakage_between_them_is_refused(folder, tmp_path):
    for part in ("train", "test"):
        shutil.copytree(folder, tmp_path / "parts" / part)
    data = acquire(ImageFolder(path=str(tmp_path / "parts")), tmp_path / "data")
    with pytest.raises(LeakageError, match=r"20 of 20 test images of 'parts' \(100.0%\) are also training images"):
        require_no_leakage(data)


def test_the_real_two_class_archive_is_read_from_the_mirror(shared_data, tmp_path):
    source = ImageFolder(path="images/cifar10-airplane-automobile-jpeg.tar")
    data = acquire(source, tmp_path, shared_data.as_uri())
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 10_000, "test": 2_000}
    assert data.pixels("test").shape == (2000, 32 * 32 * 3)
    require_no_leakage(data)


def poison(folder: Path) -> None:
    (folder / "cat" / "empty.jpg").touch()
    (folder / "dog" / "words.jpg").write_text("not an image")
    good = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(good, "JPEG")
    (folder / "dog" / "cut.jpg").write_bytes(good.getvalue()[:500])


def test_unreadable_files_are_refused_naming_the_first(folder, tmp_path):
    poison(folder)
    with pytest.raises(
        DataError, match=r"3 unreadable image\(s\) in .*, e.g. cat/empty.jpg \(the file is empty\).*--quarantine"
    ):
        acquire(ImageFolder(path=str(folder)), tmp_path / "data")


def test_or_set_aside_counted_and_listed_when_asked(folder, tmp_path):
    clean = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    poison(folder)
    for _ in range(2):  # the second time from the ledger
        data = acquire(ImageFolder(path=str(folder), unreadable="quarantine"), tmp_path / "data")
        assert data.warnings[0].startswith("3 unreadable image(s) quarantined: cat/empty.jpg (the file is empty)")
        assert "dog/words.jpg" in data.warnings[0]
        assert data.digest == clean.digest


def test_a_changed_file_is_verified_again(folder, tmp_path):
    before = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    Image.new("RGB", (8, 8)).save(folder / "cat" / "3.png")
    assert acquire(ImageFolder(path=str(folder)), tmp_path / "data").digest != before.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "/absent"}, "image folder '/absent' not found"),
        ({"classes": ("cat", "bird")}, "class 'bird' is not in .*; it has: cat, dog"),
    ],
)
def test_what_is_not_there_is_named(folder, tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        acquire(ImageFolder(**({"path": str(folder)} | change)), tmp_path / "data")


def test_one_class_is_not_enough(folder, tmp_path):
    shutil.rmtree(folder / "dog")
    with pytest.raises(DataError, match="has 1 class folder"):
        acquire(ImageFolder(path=str(folder)), tmp_path / "data")


def layout(root: Path, **parts: str) -> Path:
    """Write `<part>/<class>/…` with a class for each letter; a part "_" is the root itself."""
    for number, (part, classes) in enumerate(parts.items()):
        rng = np.random.default_rng(number)
        for name in classes:
            within = root / part / name if part != "_" else root / name
            within.mkdir(parents=True)
            for image in range(6):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(within / f"{image}.png")
    return root


class TestLayouts:
    @pytest.mark.parametrize("name", ["validation", "val", "valid"])
    def test_validation_has_several_names(self, tmp_path, name):
        data = acquire(ImageFolder(path=str(layout(tmp_path / "p", train="ab", test="ab", **{name: "ab"}))), tmp_path)
        assert {split: len(part) for split, part in data.splits.items()} == {"train": 12, "validation": 12, "test": 12}
        first = np.asarray(Image.open(tmp_path / "p" / name / "a" / "0.png"))
        np.testing.assert_array_equal(data.splits["validation"].images[0], first)
        assert data.warnings == ()

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ({"train": "ab", "test": "abc"}, r"class 'c' of .*/p/test is not in .*/p/train; add it there, or"),
            ({"train": "ab", "val": "abd", "test": "ab"}, r"class 'd' of .*/p/val is not in"),
            (
                {"train": "ab", "val": "ab", "valid": "ab"},
                r"two folders of validation, 'val' and 'valid'; make them one",
            ),
            ({"test": "ab", "validation": "ab"}, r"/p has test, validation but no folder of train; add it, or"),
            ({"test": "ab"}, r"/p has test but no folder of train"),
        ],
    )
    def test_one_that_would_lose_or_mislabel_images_is_refused(self, tmp_path, parts, message):
        with pytest.raises(DataError, match=message) as caught:
            acquire(ImageFolder(path=str(layout(tmp_path / "p", **parts))), tmp_path / "data")
        assert "\n" not in str(caught.value)

    def test_classes_that_are_not_asked_for_are_left_out_of_every_split(self, tmp_path):
        folder = layout(tmp_path / "p", train="ab", test="abc")
        data = acquire(ImageFolder(path=str(folder), classes=("a", "b")), tmp_path / "data")
        assert {split: len(part) for split, part in data.splits.items()} == {"train": 12, "test": 12}

    def test_classes_may_be_called_as_splits_when_they_are_listed(self, tmp_path):
        folder = write_images(tmp_path / "p", ("test", "Train", "bus"), 10)
        data = acquire(ImageFolder(path=str(folder), classes=("test", "Train")), tmp_path / "data")
        assert data.class_names == ("test", "Train")
        assert sum(len(part) for part in data.splits.values()) == 20

    @pytest.mark.parametrize("parts", [{"_": "ab"}, {"train": "ab", "test": "ab"}])
    def test_images_outside_of_class_folders_are_told(self, tmp_path, parts):
        folder = layout(tmp_path / "p", **parts)
        clean = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        (folder / "notes.txt").touch()
        (folder / ".hidden.png").touch()
        within = "train/" if "train" in parts else ""
        names = [f"{within}x{number}.PNG" for number in range(7)]
        for name in names:
            shutil.copy(folder / f"{within}a" / "0.png", folder / name)
        data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        told = ", ".join(names[:5] if not within else ["notes.txt", *names[:4]])
        assert data.warnings == (
            f"8 file(s) beside the class folders are not taken: {told} and 3 more",
            "1 file(s) are no images and are left out: .hidden.png",
        )
        assert data.digest == clean.digest

    def test_so_are_folders_beside_the_splits(self, tmp_path):
        folder = layout(tmp_path / "p", train="ab", test="ab", extra="ab")
        data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        assert data.warnings == ("1 folder(s) beside the splits are not taken: extra",)


class TestSplitsByPatterns:
    @pytest.mark.parametrize(
        ("given", "splits"),
        [
            ("{label}/my {split}", {"train": "*/my train/**", "validation": "*/my val", "test": "*/*test/**"}),
            ("x/{split} 1/{label}/more", {"train": "x/train*", "validation": "x/val*", "test": "x/test*"}),
        ],
    )
    def test_are_the_dataset_that_names_would_make(self, tmp_path, given, splits):
        for place, form in (("named", "{split}/{label}"), ("given", given)):
            for number, split in enumerate(("train", "val", "test")):
                for label in ("a+b", "a", "z"):
                    where = tmp_path / place / form.format(split=split, label=label)
                    where.mkdir(parents=True)
                    for name, content in enumerate(encoded_noise(number * 10 + len(label) + ord(label[0]), 4)):
                        (where / f"{name}.png").write_bytes(content)
        by_names = acquire(ImageFolder(path=str(tmp_path / "named")), tmp_path / "data")
        by_patterns = acquire(ImageFolder(path=str(tmp_path / "given"), splits=splits), tmp_path / "data")
        assert by_patterns.digest == by_names.digest
        assert by_patterns.reading.splits_by is SplitsBy.PATTERNS

    def test_without_a_test_pattern_hold_some_out_and_take_the_classes_asked_for(self, folder, tmp_path):
        source = ImageFolder(path=str(folder.parent), splits={"train": "pets"}, classes=("dog", "cat"))
        data = acquire(source, tmp_path / "data")
        assert data.class_names == ("dog", "cat")
        assert {name: len(split) for name, split in data.splits.items()} == {"train": 16, "test": 4}
        assert data.reading.held_out == ("test",)
        assert splits_ahead(source, tmp_path / "data") == ("train", "test")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"splits": {"train": "**"}, "classes": ("cat", "cow")},
                "class 'cow' is not in train .*; it has: cat, dog",
            ),
            (
                {"splits": {"train": "*/[0-4].png", "test": "cat/[5-9].png"}},
                r"test \(cat/\[5-9\].png\) of .*/pets has none of the class folders of train .* \(it has: no folders\)",
            ),
        ],
    )
    def test_that_make_no_dataset_are_refused(self, folder, tmp_path, settings, message):
        with pytest.raises(DataError, match=message):
            acquire(ImageFolder(path=str(folder), **settings), tmp_path / "data")

    def test_of_images_without_folders_have_no_labels(self, tmp_path):
        folder = write_images(tmp_path / "flat", ["."], 20)
        data = acquire(ImageFolder(path=str(folder), splits={"train": "?.png", "test": "1?.png"}), tmp_path / "data")
        assert not data.labelled
        assert {name: len(split) for name, split in data.splits.items()} == {"train": 10, "test": 10}


class TestSubFoldersOfAClass:
    @pytest.fixture
    def numbers(self, tmp_path) -> Path:
        """`Dataset/0` to `Dataset/9` and `Examples/`, as a downloaded archive is often laid out."""
        return write_images(tmp_path / "numbers", [*(f"Dataset/{number}" for number in range(10)), "Examples"], 6)

    def test_alone_are_warned_of_with_the_path_to_set(self, numbers, tmp_path):
        data = acquire(ImageFolder(path=str(numbers)), tmp_path / "data")
        assert data.class_names == ("Dataset", "Examples")
        assert data.warnings == (
            "1 class folder(s) hold only sub-folders (Dataset: 0, 1, 2, 3, 4 …), and all images below a class folder are "
            f"of its class; if the sub-folders are the classes, set path: {numbers}/Dataset",
        )
        path = data.warnings[0].rpartition("path: ")[2]
        pointed = acquire(ImageFolder(path=path), tmp_path / "data")
        assert pointed.class_names == tuple(map(str, range(10)))
        assert pointed.warnings == ()

    def test_are_named_for_each_class_and_the_path_is_of_the_most(self, numbers, tmp_path):
        for name in ("a", "b"):
            (numbers / "Examples" / name).mkdir()
        for number in range(6):
            (numbers / "Examples" / f"{number}.png").rename(numbers / "Examples" / "ab"[number % 2] / f"{number}.png")
        for split in ("train", "test"):
            shutil.copytree(numbers, tmp_path / "parts" / split)
        (warning,) = acquire(ImageFolder(path=str(tmp_path / "parts")), tmp_path / "data").warnings
        assert warning.startswith("2 class folder(s) hold only sub-folders (Dataset: 0, 1, 2, 3, 4 …; Examples: a, b)")
        assert warning.endswith(f"set path: {tmp_path}/parts/train/Dataset")

    def test_beside_images_or_alone_are_no_classes(self, folder, tmp_path):
        (folder / "cat" / "more").mkdir()
        (folder / "cat" / "3.png").rename(folder / "cat" / "more" / "3.png")
        (folder / "dog").rename(folder / "images")
        (folder / "dog").mkdir()
        (folder / "images").rename(folder / "dog" / "images")
        assert acquire(ImageFolder(path=str(folder)), tmp_path / "data").warnings == ()

    def test_are_no_matter_when_the_classes_are_listed(self, numbers, tmp_path):
        source = ImageFolder(path=str(numbers), classes=("Examples", "Dataset"))
        assert acquire(source, tmp_path / "data").warnings == ()


class TestImagesWithoutClassFolders:
    @pytest.fixture
    def flat(self, tmp_path) -> Path:
        folder = write_images(tmp_path / "flat", ["."], 20)
        (folder / "README.md").write_text("what they are")
        (folder / ".hidden").mkdir()
        return folder

    def test_have_no_labels(self, flat, tmp_path):
        data = acquire(ImageFolder(path=str(flat)), tmp_path / "data")
        assert (data.class_names, data.labelled) == (("",), False)
        assert data.warnings == ("2 file(s) are no images and are left out: README.md; .hidden/",)
        assert {name: split.labels.tolist() for name, split in data.splits.items()} == {
            "train": [0] * 16,
            "test": [0] * 4,
        }
        names = sorted(split.images.name(row) for split in data.splits.values() for row in range(len(split)))
        assert names == sorted(f"{number}.png" for number in range(20))

    def test_may_lie_in_split_folders(self, flat, tmp_path):
        for split in ("train", "test"):
            shutil.copytree(flat, tmp_path / "parts" / split)
        shutil.copy(flat / "1.png", tmp_path / "parts" / "beside.png")
        data = acquire(ImageFolder(path=str(tmp_path / "parts")), tmp_path / "data")
        assert not data.labelled
        assert {name: len(split) for name, split in data.splits.items()} == {"train": 20, "test": 20}
        assert data.warnings[0] == "1 file(s) beside the class folders are not taken: beside.png"

    def test_are_set_aside_without_a_class(self, flat, tmp_path):
        (flat / "bad.png").write_text("no image")
        data = acquire(ImageFolder(path=str(flat), unreadable="quarantine"), tmp_path / "data")
        assert [row["label"] for row in data.quarantined.to_pylist()] == [None]
        for path in flat.glob("*.png"):
            path.write_text("no image")
        with pytest.raises(DataError, match=r"^no readable image in .*/flat; add some"):
            acquire(ImageFolder(path=str(flat), unreadable="quarantine"), tmp_path / "data")

    def test_in_one_split_alone_are_refused(self, flat, folder, tmp_path):
        shutil.copytree(flat, tmp_path / "parts" / "train")
        shutil.copytree(folder, tmp_path / "parts" / "test")
        with pytest.raises(DataError, match=r"/parts/train has 0 class folder\(s\)"):
            acquire(ImageFolder(path=str(tmp_path / "parts")), tmp_path / "data")

    def test_are_refused_when_classes_are_asked_for(self, flat, tmp_path):
        with pytest.raises(DataError, match=r"class 'cat' is not in .*; it has: no folders"):
            acquire(ImageFolder(path=str(flat), classes=("cat", "dog")), tmp_path / "data")


def test_a_class_folder_without_images_is_told_before_others_are_verified(folder, tmp_path, monkeypatch):
    (folder / "annotations").mkdir()
    for number in range(3):
        (folder / "annotations" / f"{number}.xml").write_text("<xml/>")
    looked_at = []
    inspect = Decoder.inspect
    monkeypatch.setattr(Decoder, "inspect", lambda self, data: looked_at.append(data) or inspect(self, data))
    with pytest.raises(DataError, match="class 'annotations' has no readable image in"):
        acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    assert looked_at == [b"<xml/>"] * 3


class TestArchives:
    def test_what_a_mac_adds_changes_nothing(self, folder, tmp_path):
        plain = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        archive = tmp_path / "pets.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for path in sorted(folder.rglob("*.png")):
                packed.write(path, f"my pets/{path.relative_to(folder)}")
                packed.writestr(f"__MACOSX/my pets/{path.parent.name}/._{path.name}", b"\0\5\x16\7")
        data = acquire(ImageFolder(path=str(archive)), tmp_path / "data")
        assert data.digest == plain.digest

    def test_zip_and_tar_hold_the_same_dataset(self, folder, tmp_path):
        digests = {acquire(ImageFolder(path=str(folder)), tmp_path / "data").digest}
        for kind in ("zip", "gztar"):
            archive = shutil.make_archive(str(tmp_path / f"pets-{kind}"), kind, folder.parent, "pets")
            digests.add(acquire(ImageFolder(path=archive), tmp_path / "data").digest)
        assert len(digests) == 1

    @pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png"])
    @pytest.mark.parametrize("kind", ["tar", "zip"])
    def test_a_path_that_leaves_the_target_is_refused(self, tmp_path, name, kind):
        archive = tmp_path / f"evil.{kind}"
        if kind == "tar":
            with tarfile.open(archive, "w") as tar:
                tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        else:
            with zipfile.ZipFile(archive, "w") as packed:
                packed.writestr(name, b"")
        with pytest.raises(DataError, match=r"not safe|outside the target"):
            acquire(ImageFolder(path=str(archive)), tmp_path / "data")
        assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]

    def test_a_link_is_refused(self, tmp_path):
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        with tarfile.open(tmp_path / "l.tar", "w") as tar:
            tar.addfile(link)
        with pytest.raises(DataError, match="link or device"):
            acquire(ImageFolder(path=str(tmp_path / "l.tar")), tmp_path / "data")

    def test_a_cut_archive_leaves_nothing_behind(self, folder, tmp_path):
        archive = Path(shutil.make_archive(str(tmp_path / "pets"), "gztar", folder))
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        with pytest.raises(DataError, match="damaged"):
            acquire(ImageFolder(path=str(archive)), tmp_path / "data")
        assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


@pytest.fixture
def deeper(folder):
    """Makes folders within folders of a class, with an image in the last; removed as Python's own recursion cannot."""

    def make(name: str, levels: int) -> None:
        content = (folder / "cat" / "0.png").read_bytes()
        within = os.open(folder / "cat", os.O_RDONLY)
        for _ in range(levels):
            os.mkdir(name, dir_fd=within)
            inner = os.open(name, os.O_RDONLY, dir_fd=within)
            os.close(within)
            within = inner
        file = os.open("deep.png", os.O_CREAT | os.O_WRONLY, dir_fd=within)
        os.write(file, content)
        os.close(file)
        os.close(within)

    yield make
    subprocess.run(["rm", "-rf", folder], check=True)


def test_folders_may_be_deep(folder, deeper, tmp_path):
    deeper("d", 1_200)
    data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
    assert sum(len(split) for split in data.splits.values()) == 21
    assert len(find_images([str(folder)]).images) == 21


def test_a_path_that_is_too_long_for_the_system_is_told_and_cut(folder, deeper, tmp_path):
    deeper("d" * 90, 60)
    for look in (lambda: acquire(ImageFolder(path=str(folder)), tmp_path / "data"), lambda: find_images([str(folder)])):
        with pytest.raises(DataError, match=r"d… cannot be listed .*a path of 4,\d+ characters is too long") as caught:
            look()
        assert len(str(caught.value)) < 500
