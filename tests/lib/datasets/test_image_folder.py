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
