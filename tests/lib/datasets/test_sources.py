"""Every source: what it holds, that it is verified, and what it says of bad input."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.datasets import CIFAR10, MNIST

from lib.datasets import Split, acquire, cifar10, on_disk, photo_patches, sources, splits_ahead
from lib.datasets.dataset import build
from lib.datasets.letters import read_csv
from lib.datasets.sources import (
    AnySource,
    Cifar10,
    Digits,
    ImageFolder,
    Letters,
    Mnist,
    ParquetImages,
    PhotoPatches,
    SourceSettings,
    WebDataset,
    kinds,
    parse_source,
    register,
)
from lib.errors import ConfigError, DataError
from lib.files import digest_file
from tests.image_files import encoded_noise, write_images
from tests.lib.datasets.test_parquet_images import write_parquet
from tests.lib.datasets.test_web_dataset import samples, write_tar


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
        source = PhotoPatches(seed=97)  # no other test has these: what is cut is remembered
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

    def test_is_read_as_torchvision_reads_it(self, shared_data, tmp_path):
        ours = acquire(Mnist(), tmp_path, shared_data.as_uri()).splits["test"]
        theirs = MNIST(str(tmp_path / "raw" / "mnist"), train=False, download=True)  # unpacks what is there
        np.testing.assert_array_equal(ours.images, theirs.data.numpy())
        np.testing.assert_array_equal(ours.labels, theirs.targets.numpy())

    def test_a_damaged_file_is_fetched_again_or_refused(self, shared_data, tmp_path):
        first = acquire(Mnist(), tmp_path, shared_data.as_uri())
        held = tmp_path / "raw" / "mnist" / "MNIST" / "raw"
        for name, size in (("train-images-idx3-ubyte.gz", 1000), ("t10k-labels-idx1-ubyte.gz", None)):
            content = bytearray((held / name).read_bytes())
            content[500] ^= 0xFF
            (held / name).write_bytes(content[:size])
        assert on_disk(Mnist(), tmp_path) is None
        with pytest.raises(DataError, match=r"cannot fetch mnist/train-images-idx3-ubyte.gz .*no such file"):
            acquire(Mnist(), tmp_path, "file:///nowhere")
        assert acquire(Mnist(), tmp_path, shared_data.as_uri()).digest == first.digest

    def test_an_altered_file_is_refused_and_nothing_is_kept(self, shared_data, tmp_path):
        mirror = tmp_path / "mirror"
        (mirror / "mnist").mkdir(parents=True)
        for file in (shared_data / "mnist").iterdir():
            (mirror / "mnist" / file.name).write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(DataError, match="is damaged or altered: its md5 is not"):
            acquire(Mnist(), tmp_path / "data", mirror.as_uri())
        assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


SPREADSHEETS = {
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "no last end": lambda text: text.rstrip("\n").encode(),
    "blank ends": lambda text: f"\n{text}\n\n  \n,,,\n".encode(),
    "blank lines": lambda text: text.replace("\n", "\n\n").encode(),
    "trailing delimiters": lambda text: text.replace("\n", ",\n").encode(),
    "spaces around": lambda text: text.replace(",", " , ").replace("\n", "  \n").encode(),
    "quotes": lambda text: "".join(f'"{line}"\n' for line in text.replace(",", '","').splitlines()).encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "spaces": lambda text: text.replace(",", " ").encode(),
}


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

    @pytest.mark.parametrize("way", SPREADSHEETS)
    def test_a_spreadsheet_s_way_of_writing_changes_nothing(self, tmp_path, way):
        text = "".join(f"{letter_row(label=label, _3=str(label % 2))}\n" for label in range(10))
        plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
        plain.write_text(text)
        other.write_bytes(SPREADSHEETS[way](text))
        np.testing.assert_array_equal(read_csv(other).images, read_csv(plain).images)
        np.testing.assert_array_equal(read_csv(other).labels, range(10))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                "\ufefflabel," + ",".join(f"p{number}" for number in range(128)),
                r"row 1 looks like a header \('label', …\)",
            ),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"Git LFS pointer .* `git lfs pull`"),
            ('"0,' + "0," * 200_000, r"row 1 is no CSV \(field larger"),
            (letter_row(_4="²"), r"column 5 holds '²'"),
            (letter_row(_4="9" * 5_000), r"column 5 holds '9{40}'"),
        ],
        ids=["header", "pointer", "open quote", "a digit that is none", "a long number"],
    )
    def test_what_is_no_row_is_told_in_one_line(self, tmp_path, content, message):
        (tmp_path / "l.csv").write_text(f"{content}\n{letter_row()}\n")
        with pytest.raises(DataError, match=message) as caught:
            read_csv(tmp_path / "l.csv")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (gzip.compress(b"0,1\n"), r"packed by gzip: unpack it"),
            (b"PK\x03\x04" + bytes(99), "an Excel workbook or a zip: save it as CSV"),
            (b"\xd0\xcf\x11\xe0" + bytes(99), "an Excel workbook: save it as CSV"),
        ],
        ids=["gzip", "xlsx", "xls"],
    )
    def test_a_file_of_another_kind_is_named(self, tmp_path, content, told):
        (tmp_path / "l.csv").write_bytes(content)
        with pytest.raises(DataError, match=f"l.csv is {told}"):
            read_csv(tmp_path / "l.csv")

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

    def test_files_of_one_name_are_not_taken_for_each_other(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for folder, pixel in (("mirror/a", "0"), ("mirror/b", "1"), ("here", "0")):
            (tmp_path / folder).mkdir(parents=True)
            for name in ("train.csv", "valid.csv"):
                (tmp_path / folder / name).write_text(f"{letter_row(_1=pixel)}\n" * (3 if folder == "here" else 2))

        def digest(folder: str, mirror: str | None) -> str:
            names = {"train_csv": f"{folder}/train.csv", "validation_csv": f"{folder}/valid.csv"}
            return acquire(Letters(**names), tmp_path / "data", mirror).digest

        mirror = (tmp_path / "mirror").as_uri()
        assert len({digest("here", None), digest("a", mirror), digest("b", mirror)}) == 3
        held = Letters(train_csv="a/train.csv", validation_csv="a/valid.csv")
        assert on_disk(held, tmp_path / "data", mirror) is not None
        assert on_disk(held, tmp_path / "data", (tmp_path / "other").as_uri()) is None

    def test_files_here_are_found_from_another_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "l.csv").write_text(f"{letter_row()}\n")
        first = acquire(Letters(train_csv="l.csv", validation_csv="l.csv"), tmp_path / "data")
        monkeypatch.chdir("/")
        assert acquire(parse_source(first.source), tmp_path / "data").digest == first.digest


@pytest.mark.parametrize("kind", [ImageFolder, WebDataset, ParquetImages, Cifar10])
def test_a_class_is_listed_once(kind):
    with pytest.raises(ValidationError, match="'cat' is listed twice"):
        kind.model_validate({"classes": ["cat", "dog", "cat"]} | ({} if kind is Cifar10 else {"path": "x"}))


class TestCifar10:
    @pytest.fixture
    def mirror(self, shared_data, tmp_path, monkeypatch) -> Path:
        """A small archive in CIFAR-10's own layout, from real images, known by its own md5."""
        stored = np.load(shared_data / "images" / "cifar10-lossless-subset.npz")
        folder = tmp_path / "cifar-10-batches-py"
        folder.mkdir()

        for number in range(5):
            rows = slice(80 * number, 80 * (number + 1))
            member(folder / f"data_batch_{number + 1}", stored["X_train"][rows], stored["y_train"][rows])
        member(folder / "test_batch", stored["X_test"][:200], stored["y_test"][:200])
        archive = tmp_path / "mirror" / "cifar10" / CIFAR10.filename
        archive.parent.mkdir(parents=True)
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, folder.name)
        known_by(archive, monkeypatch)
        return tmp_path / "mirror"

    def test_is_known_by_what_torchvision_publishes(self):
        assert cifar10._ARCHIVE.digest == CIFAR10.tgz_md5
        assert list(cifar10._ARCHIVE.urls) == [CIFAR10.url]
        assert {
            "train": [name for name, _ in CIFAR10.train_list], "test": [name for name, _ in CIFAR10.test_list]
        } == cifar10._BATCHES  # fmt: skip

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
        monkeypatch.setattr(cifar10, "_Batch", None)
        assert acquire(Cifar10(), tmp_path / "data").digest == first.digest

    @pytest.mark.parametrize("size", [1000, None])
    @pytest.mark.parametrize("ending", [".npz", ".gz"])
    def test_what_is_damaged_is_made_again(self, mirror, tmp_path, size, ending):
        first = acquire(Cifar10(), tmp_path / "data", mirror.as_uri())
        for path in (tmp_path / "data").rglob(f"*{ending}"):
            content = bytearray(path.read_bytes())
            content[500] ^= 0xFF
            path.write_bytes(content[:size])
        assert acquire(Cifar10(), tmp_path / "data", mirror.as_uri()).digest == first.digest

    def test_code_in_its_archive_is_not_run(self, mirror, tmp_path, monkeypatch):
        (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(os.getcwd))
        archive = mirror / "cifar10" / CIFAR10.filename
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
        known_by(archive, monkeypatch)
        with pytest.raises(DataError, match=r"CIFAR-10's archive holds posix\.getcwd, which is not taken"):
            acquire(Cifar10(), tmp_path / "data", mirror.as_uri())

    def test_an_unknown_class_is_told_with_the_known_ones(self, tmp_path):
        with pytest.raises(ConfigError, match="no class 'car'; it has: airplane, automobile"):
            acquire(Cifar10(classes=("car", "dog")), tmp_path)


def member(path: Path, X, y) -> None:
    """A batch of CIFAR-10's archive."""
    rows = X.transpose(0, 3, 1, 2).reshape(len(X), -1)
    path.write_bytes(pickle.dumps({"data": rows, "labels": [int(label) for label in y]}))


def known_by(archive: Path, monkeypatch) -> None:
    """Make an archive the one whose md5 is published."""
    monkeypatch.setattr(cifar10, "_ARCHIVE", replace(cifar10._ARCHIVE, digest=digest_file(archive, "md5")))


class Stripes(SourceSettings):
    """A source of a test: as many striped images as one asks for."""

    known_splits: ClassVar = ("train",)

    source: Literal["stripes"] = "stripes"
    count: int = 4


def load_stripes(source: Stripes, raw: Path, mirror: str | None):
    images = np.zeros((source.count, 4, 4), np.uint8)
    images[::2, ::2], images[1::2, :, ::2] = 255, 255
    return build("stripes", ["across", "down"], {"train": Split(images, np.arange(source.count) % 2)}, "made up")


class Profile(BaseModel):
    data: dict[str, AnySource]


class TestTheRegistry:
    @pytest.fixture(autouse=True)
    def own(self, monkeypatch):
        monkeypatch.setattr(sources, "_kinds", dict(sources._kinds))

    def test_takes_a_source_by_one_line(self, tmp_path):
        register(Stripes, load_stripes)
        data = acquire(parse_source({"source": "stripes", "count": 6}), tmp_path)
        assert (data.class_names, len(data.splits["train"])) == (("across", "down"), 6)
        assert data.source == {"source": "stripes", "count": 6}
        assert acquire(parse_source(data.source), tmp_path).digest == data.digest
        assert splits_ahead(Stripes(), tmp_path) == ("train",)
        profile = Profile.model_validate({"data": {"made": {"source": "stripes"}}})
        assert profile.data["made"] == Stripes()
        assert any(each["title"] == "Stripes" for each in _forms(Profile))

    def test_imports_a_module_at_the_first_use(self, tmp_path, monkeypatch):
        (tmp_path / "striped_source.py").write_text(
            f"from {__name__} import load_stripes as load\ndef splits_ahead(source, raw, mirror): return ('train', str(raw))\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(Stripes, "known_splits", None)
        register(Stripes, "striped_source")
        assert "striped_source" not in sys.modules
        assert splits_ahead(Stripes(), tmp_path) == ("train", str(tmp_path / "raw"))
        assert len(acquire(Stripes(), tmp_path).splits["train"]) == 4

    def test_refuses_a_second_source_of_one_name_and_one_without(self):
        class Other(SourceSettings):
            source: Literal["digits"] = "digits"

        with pytest.raises(ConfigError, match="source 'digits' is Digits already; give Other another name"):
            register(Other, load_stripes)
        with pytest.raises(ConfigError, match="SourceSettings has no name"):
            register(SourceSettings, load_stripes)
        register(Digits, "lib.datasets.digits")

    def test_of_another_source_nothing_is_acquired(self, tmp_path):
        with pytest.raises(ConfigError, match="there is no source 'stripes'; known: digits, photo-patches"):
            acquire(Stripes(), tmp_path)

    KNOWN = "known: digits, photo-patches, mnist, letters, cifar10, folder, webdataset, parquet"

    @pytest.mark.parametrize(
        ("content", "where", "message"),
        [
            ({"source": "imagenet"}, ("source",), f"there is no such source; {KNOWN} (got 'imagenet')"),
            ({"source": ["folder"]}, ("source",), f"there is no such source; {KNOWN} (got ['folder'])"),
            ({"path": "pets"}, ("source",), f"give the kind of source; {KNOWN}"),
            ("pets", (), "give a mapping such as {source: folder, path: pets} (got 'pets')"),
            (None, (), "give a mapping such as {source: folder, path: pets} (got None)"),
            ({"source": "folder"}, ("path",), "Field required"),
            ({"source": "digits", "test_fraction": 2}, ("test_fraction",), "Input should be less than 1 (got 2)"),
            ({"source": "digits", "colour": 1}, ("colour",), "Extra inputs are not permitted (got 1)"),
        ],
    )
    def test_a_wrong_setting_is_named_with_its_place_and_value(self, content, where, message):
        with pytest.raises(ConfigError) as caught:
            parse_source(content)
        assert str(caught.value) == ": ".join(["data source", *where, message])
        with pytest.raises(ValidationError) as refused:
            Profile.model_validate({"data": {"pets": content}})
        (error,) = refused.value.errors()
        assert error["loc"] == ("data", "pets", *where)
        assert message.startswith(error["msg"])

    def test_a_source_is_written_whole_and_read_again(self):
        profile = Profile(data={"pets": ImageFolder(path="pets", classes=("a", "b")), "few": Digits(test_fraction=0.5)})
        assert profile.model_dump()["data"]["few"] == {"source": "digits", "test_fraction": 0.5}
        assert Profile.model_validate_json(profile.model_dump_json()) == profile
        assert Profile.model_validate(profile.model_dump(mode="json")) == profile

    def test_a_form_offers_every_source(self):
        assert [each["properties"]["source"]["const"] for each in _forms(Profile)] == list(kinds())

    def test_settings_need_no_heavy_library(self):
        script = (
            "import sys; from lib.datasets.sources import parse_source; "
            "parse_source({'source': 'mnist'}); parse_source({'source': 'folder', 'path': 'x'}); "
            "print([name for name in ('sklearn', 'scipy', 'torch', 'torchvision', 'PIL', 'fsspec') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


class TestPathsHere:
    @pytest.fixture
    def home(self, tmp_path, monkeypatch) -> Path:
        write_images(tmp_path / "home" / "pets" / "data", ("cat", "dog"), 5)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path / "home" / "pets" / "data" / "cat")
        return tmp_path / "home"

    @pytest.mark.parametrize("path", ["..", "../../data", "../.", "~/pets/data", "../cat/.."])
    def test_are_recorded_as_they_are_from_anywhere_and_named_by_where_they_lead(self, home, tmp_path, path):
        data = acquire(ImageFolder(path=path), tmp_path / "data")
        assert (data.name, data.source["path"]) == ("data", str(home / "pets" / "data"))

    def test_that_are_patterns_are_recorded_so_too(self, home, tmp_path):
        write_tar(home / "train-000.tar", samples(0))
        pattern = "../../../train-{000..000}.tar"
        source = acquire(WebDataset(path=pattern), tmp_path / "data").source
        assert source["path"] == str(home / "train-{000..000}.tar")

    def test_of_a_mirror_stay_names(self, home, tmp_path):
        shutil.make_archive(str(home / "pets"), "zip", home / "pets" / "data")
        data = acquire(ImageFolder(path="pets.zip"), tmp_path / "data", home.as_uri())
        assert (data.source["path"], data.mirror) == ("pets.zip", home.as_uri())
        assert acquire(ImageFolder(path="~/pets.zip"), tmp_path / "data", home.as_uri()).mirror is None


def _forms(model: type[BaseModel]) -> list[dict]:
    return model.model_json_schema()["properties"]["data"]["additionalProperties"]["anyOf"]


class TestSplitsAhead:
    @pytest.mark.parametrize("source", [Digits(), PhotoPatches()])
    def test_of_bundled_data_are_those_it_has(self, source, tmp_path):
        assert splits_ahead(source, tmp_path) == tuple(acquire(source, tmp_path).splits)

    @pytest.mark.parametrize("source", [Mnist(), Letters()])
    def test_of_fetched_data_are_those_it_has(self, source, shared_data, tmp_path):
        assert splits_ahead(source, tmp_path) == tuple(acquire(source, tmp_path, shared_data.as_uri()).splits)

    @pytest.mark.parametrize("parts", [(), ("train",), ("train", "test"), ("train", "val"), ("train", "valid", "test")])
    def test_of_local_files_are_those_they_have(self, parts, tmp_path, monkeypatch):
        for number, part in enumerate(parts or (".",)):
            write_images(tmp_path / "folder" / part, ("cat", "dog"), 5)
            write_tar(tmp_path / "tars" / part / "x.tar", samples(number))
            write_parquet(tmp_path / "tables" / part / "x.parquet", encoded_noise(number, 12), ["a", "b"] * 6)
        for source in (
            ImageFolder(path=str(tmp_path / "folder")),
            WebDataset(path=str(tmp_path / "tars")),
            ParquetImages(path=str(tmp_path / "tables")),
        ):
            ahead = splits_ahead(source, tmp_path / "data")
            assert not (tmp_path / "data").exists()
            assert ahead == tuple(acquire(source, tmp_path / "data").splits)
            (tmp_path / "data").rename(tmp_path / f"used-{source.source}")

    @pytest.mark.parametrize("kind", [ImageFolder, WebDataset, ParquetImages])
    @pytest.mark.parametrize("path", ["s3://bucket/pets", "absent", "pets.tar", "a\0b", "x" * 5000])
    def test_of_what_is_not_here_are_not_known(self, kind, path, tmp_path):
        if kind is ImageFolder and path not in ("s3://bucket/pets", "pets.tar"):
            with pytest.raises(DataError, match=r"not found; give an existing folder or archive$"):
                splits_ahead(kind(path=path), tmp_path, "s3://mirror")
        else:
            assert splits_ahead(kind(path=path), tmp_path, "s3://mirror") is None

    def test_of_an_archive_that_only_a_mirror_could_have_are_refused_without_one(self, tmp_path):
        with pytest.raises(DataError, match=r"image folder 'pets.tar' not found; .* or set PROBEFLOW_MIRROR$"):
            splits_ahead(ImageFolder(path="pets.tar"), tmp_path)

    def test_of_a_folder_that_is_no_dataset_are_refused(self, tmp_path):
        write_images(tmp_path / "p" / "test", ("cat", "dog"), 2)
        with pytest.raises(DataError, match="/p has test but no folder of train"):
            splits_ahead(ImageFolder(path=str(tmp_path / "p")), tmp_path)
