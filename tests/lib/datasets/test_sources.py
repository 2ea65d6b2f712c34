"""Every source: what it holds, that it is verified, and what it says of bad input."""

from __future__ import annotations

import gzip
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.datasets import CIFAR10

from lib.datasets import acquire, photo_patches
from lib.datasets.letters import read_csv
from lib.datasets.sources import Cifar10, Digits, Letters, Mnist, PhotoPatches
from lib.errors import ConfigError, DataError


def letter_row(label: int = 0, **changes: str) -> str:
    cells = [str(label), *(["0", "1"] * 64)]
    for column, value in changes.items():
        cells[int(column[1:])] = value
    return ",".join(cells)


def test_digits_are_split_by_class_and_the_same_each_time(tmp_path):
    first, second = (acquire(Digits(), tmp_path) for _ in range(2))
    assert first.digest == second.digest
    assert len(first.splits["train"]) + len(first.splits["test"]) == 1797
    assert first.pixels("train").max() == 1.0
    shares = [np.bincount(first.splits[split].labels) / len(first.splits[split]) for split in ("train", "test")]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.01)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return acquire(PhotoPatches(), tmp_path_factory.mktemp("data"))


class TestPhotoPatches:
    def test_are_balanced_and_enough(self, patches):
        for split, least in (("train", 800), ("test", 200)):
            counts = np.bincount(patches.splits[split].labels)
            assert counts[0] == counts[1]
            assert counts.sum() >= least

    @pytest.mark.parametrize(
        "classifier",
        [make_pipeline(StandardScaler(), LogisticRegression()), RandomForestClassifier(random_state=0)],
        ids=["logistic", "forest"],
    )
    def test_mean_colour_does_not_tell_the_classes(self, patches, classifier):
        colours = {split: patches.splits[split].images.mean(axis=(1, 2)) for split in ("train", "test")}
        classifier.fit(colours["train"], patches.splits["train"].labels)
        assert classifier.score(colours["test"], patches.splits["test"].labels) < 0.6

    def test_texture_does_tell_them(self, patches):
        def roughness(split):
            images = patches.splits[split].images.astype(float)
            steps = [np.abs(np.diff(images, axis=axis)).mean(axis=(1, 2, 3)) for axis in (1, 2)]
            return np.column_stack([*steps, images.std(axis=(1, 2, 3))])

        model = RandomForestClassifier(random_state=0).fit(roughness("train"), patches.splits["train"].labels)
        assert model.score(roughness("test"), patches.splits["test"].labels) > 0.75

    def test_no_test_patch_shares_a_pixel_with_a_training_patch(self, patches, monkeypatch):
        # Each source pixel carries its own number through the cutting; the tinting is bypassed.
        source = PhotoPatches()
        numbered = np.repeat(np.arange(427 * 640, dtype=np.float64).reshape(427, 640, 1), 3, axis=2)
        monkeypatch.setattr("sklearn.datasets.load_sample_image", lambda name: numbered)
        monkeypatch.setattr(photo_patches, "_tinted", lambda patch, rng: patch[:, :, 0])
        cut = photo_patches.load(source, Path(), None)
        for label in (0, 1):
            seen = {name: np.unique(split.images[split.labels == label]) for name, split in cut.splits.items()}
            assert len(np.intersect1d(seen["train"], seen["test"])) == 0
            assert len(seen["test"]) > 10_000

    def test_impossible_settings_are_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"patch 128 is larger than block 64"):
            acquire(PhotoPatches(patch=128), tmp_path)


class TestMnist:
    def test_comes_from_the_mirror_and_a_second_time_from_disk(self, shared_data, tmp_path):
        first = acquire(Mnist(), tmp_path, shared_data.as_uri())
        again = acquire(Mnist(), tmp_path, "file:///nowhere")
        assert first.digest == again.digest
        assert {name: len(split) for name, split in first.splits.items()} == {"train": 60_000, "test": 10_000}
        assert first.splits["test"].labels[:5].tolist() == [7, 2, 1, 0, 4]

    def test_an_altered_file_is_refused_and_nothing_is_kept(self, shared_data, tmp_path):
        mirror = tmp_path / "mirror"
        (mirror / "mnist").mkdir(parents=True)
        for file in (shared_data / "mnist").iterdir():
            (mirror / "mnist" / file.name).write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(DataError, match="is damaged or altered: its md5 is not"):
            acquire(Mnist(), tmp_path / "data", mirror.as_uri())
        assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


class TestLetters:
    def test_all_rows_of_the_study_s_files_are_read(self, shared_data, tmp_path):
        letters = acquire(Letters(), tmp_path, shared_data.as_uri())
        assert {name: len(split) for name, split in letters.splits.items()} == {"train": 9000, "validation": 1000}
        np.testing.assert_array_equal(np.bincount(letters.splits["train"].labels), [900] * 10)
        raw = np.loadtxt(shared_data / "letters" / "largeValidation.csv", delimiter=",", dtype=int)
        np.testing.assert_array_equal(letters.pixels("validation"), raw[:, 1:])
        assert letters.warnings == ()

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (letter_row()[:-2], r"row 2 has 128 columns; 129 are needed"),
            (letter_row(_5="x"), r"row 2, column 6 holds 'x'"),
            (letter_row(label=10), r"row 2 has label 10; labels are 0 to 9"),
            (letter_row(_7="2"), r"row 2, column 8 holds pixel 2"),
            (letter_row(_0="-1"), r"row 2, column 1 holds '-1'"),
        ],
    )
    def test_a_bad_row_is_named_by_its_number(self, tmp_path, row, message):
        path = tmp_path / "l.csv"
        path.write_text(f"{letter_row()}\r\n{row}\r\n")
        with pytest.raises(DataError, match=f"l.csv {message}"):
            read_csv(path)

    def test_an_empty_file_is_refused(self, tmp_path):
        (tmp_path / "l.csv").write_text("")
        with pytest.raises(DataError, match="is empty"):
            read_csv(tmp_path / "l.csv")

    def test_without_a_file_or_mirror_it_says_what_to_do(self, tmp_path):
        with pytest.raises(
            DataError, match="no public address: give its path, set PROBEFLOW_MIRROR, or use origin: archive"
        ):
            acquire(Letters(train_csv="absent.csv"), tmp_path)

    def test_the_public_archive_gives_the_same_shape(self, tmp_path):
        archive = tmp_path / "mirror" / "letters" / "letter.data.gz"
        archive.parent.mkdir(parents=True)
        rng = np.random.default_rng(0)
        alphabet = "aegilnortu" * 1001 + "z" * (52_152 - 10_010)
        pixels = rng.integers(0, 2, (len(alphabet), 128))
        lines = (
            f"{number}\t{letter}\t-1\t1\t1\t0\t" + "\t".join(map(str, row)) + "\t\n"
            for number, (letter, row) in enumerate(zip(alphabet, pixels, strict=True))
        )
        archive.write_bytes(gzip.compress("".join(lines).encode(), 1))
        first = acquire(Letters(origin="archive"), tmp_path / "a", (tmp_path / "mirror").as_uri())
        assert {name: len(split) for name, split in first.splits.items()} == {"train": 9000, "validation": 1000}
        np.testing.assert_array_equal(np.bincount(first.splits["validation"].labels), [100] * 10)
        archive.write_bytes(archive.read_bytes()[:-1000])
        with pytest.raises(DataError, match="damaged"):
            acquire(Letters(origin="archive"), tmp_path / "b", (tmp_path / "mirror").as_uri())


class TestCifar10:
    @pytest.fixture
    def mirror(self, shared_data, tmp_path, monkeypatch) -> Path:
        """A small archive in CIFAR-10's own layout, from real images, known by its own md5s."""
        stored = np.load(shared_data / "images" / "cifar10-lossless-subset.npz")
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()

        def member(name: str, X, y) -> list[str]:
            rows = X.transpose(0, 3, 1, 2).reshape(len(X), -1)
            content = pickle.dumps({"data": rows, "labels": [int(label) for label in y]})
            (folder / name).write_bytes(content)
            return [name, _md5(folder / name)]

        train = member("data_batch_1", stored["X_train"][:400], stored["y_train"][:400])
        test = member("test_batch", stored["X_test"][:200], stored["y_test"][:200])
        (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.__doc__ or "")}))
        archive = tmp_path / "mirror" / "cifar10" / CIFAR10.filename
        archive.parent.mkdir(parents=True)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        meta = CIFAR10.meta | {"md5": _md5(folder / "batches.meta")}
        names = {"train_list": [train], "test_list": [test], "meta": meta, "tgz_md5": _md5(archive)}
        for name, value in names.items():
            monkeypatch.setattr(CIFAR10, name, value)
        monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: setattr(self, "class_to_idx", {}))
        return tmp_path / "mirror"

    def test_any_classes_in_the_order_given(self, mirror, shared_data, tmp_path):
        stored = np.load(shared_data / "images" / "cifar10-lossless-subset.npz")
        data = acquire(Cifar10(classes=("ship", "cat", "bird")), tmp_path / "data", mirror.as_uri())
        official = stored["y_train"][:400]
        rows = np.flatnonzero(np.isin(official, [8, 3, 2]))
        np.testing.assert_array_equal(data.splits["train"].images, stored["X_train"][rows])
        np.testing.assert_array_equal(
            data.splits["train"].labels, [{8: 0, 3: 1, 2: 2}[label] for label in official[rows]]
        )
        assert data.class_names == ("ship", "cat", "bird")

    def test_after_the_first_time_no_pickle_is_read(self, mirror, tmp_path, monkeypatch):
        first = acquire(Cifar10(), tmp_path / "data", mirror.as_uri())
        assert not list((tmp_path / "data").rglob("data_batch*"))
        monkeypatch.setattr(pickle, "load", None)
        assert acquire(Cifar10(), tmp_path / "data").digest == first.digest

    def test_an_unknown_class_is_told_with_the_known_ones(self, tmp_path):
        with pytest.raises(ConfigError, match="no class 'car'; it has: airplane, automobile"):
            acquire(Cifar10(classes=("car", "dog")), tmp_path)


def _md5(path: Path) -> str:
    from lib.files import digest_file

    return digest_file(path, "md5")
