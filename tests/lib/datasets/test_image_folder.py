"""Image folders: every kind of file is read right or refused by name, and archives are unpacked safely."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.datasets import acquire, require_no_leakage
from lib.datasets.sources import ImageFolder
from lib.errors import DataError, LeakageError
from tests.image_files import write_images


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
            ({"test": "ab", "validation": "ab"}, r"/p has test, validation but no folder 'train'; add it, or"),
            ({"test": "ab"}, r"/p has test but no folder 'train'"),
            (
                {"Train": "ab", "test": "ab"},
                r"folder 'Train' in .*/p is called nearly as a split; rename it to 'train'",
            ),
            ({"train": "ab", "TEST": "ab"}, r"folder 'TEST' in .*/p is called nearly as a split; rename it to 'test'"),
            ({"train": "ab", "Val": "ab"}, r"folder 'Val' .*; rename it to 'validation'"),
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
        told = ", ".join(names[:5])
        assert data.warnings == (f"7 image file(s) beside the class folders are not taken: {told} and 2 more",)
        assert data.digest == clean.digest

    def test_so_are_folders_beside_the_splits(self, tmp_path):
        folder = layout(tmp_path / "p", train="ab", test="ab", extra="ab")
        data = acquire(ImageFolder(path=str(folder)), tmp_path / "data")
        assert data.warnings == ("1 folder(s) beside the splits are not taken: extra",)


class TestArchives:
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
