"""Damage to any file that is read: told in one line, or other content with another digest; no traceback, no hang.

`make fuzz` tries many thousands (Hypothesis' profile "long").
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from lib.backbones.network import _read
from lib.backbones.registry import find_backbone
from lib.datasets import acquire
from lib.datasets.dataset import Dataset
from lib.datasets.download import RemoteFile, fetch
from lib.datasets.sources import ImageFolder, Letters, ParquetImages, SourceSettings, WebDataset
from lib.errors import ProbeflowError
from lib.features import open_feature_set
from lib.features.verify import verify
from lib.files import sealed, write_json
from lib.graph import ready_node
from lib.mlp.store import load_network, load_result, save_network, save_result
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial
from lib.prediction import ImageClassifier, PixelInput, Recipe
from lib.profile import load_profile, parse_profile
from lib.profile.layering import profile_text
from lib.studies.record import RECORD, open_record
from lib.studies.sweep.predictions import FILE, Predictions, read_predictions, save_predictions
from tests.feature_sets import write_feature_set
from tests.image_files import encoded_noise
from tests.lib.datasets.test_archives import tar_of, zip_of, zstd
from tests.lib.datasets.test_parquet_images import write_parquet
from tests.records import places_under

_SECONDS = 20
"""Of a processor, that a damaged small file may take."""

_LETTERS = 1500
"""Of what is told of it, in which names may be long."""

pytestmark = pytest.mark.fuzz
EXAMPLES = settings.default.max_examples // 7


@dataclass(frozen=True)
class Victim:
    """A file to be damaged, and what reads it.

    Attributes
    ----------
    read : callable
        Gives a digest, or what else tells content, and the content.
    sealed : bool
        Whether any other content than the original's has to be refused.
    """

    path: Path
    read: Callable[[], tuple[Any, Any]]
    sealed: bool = False


def _content(data: Dataset) -> tuple[str, Any]:
    images = {
        name: [split.images[row].tobytes() for row in range(len(split))] for name, split in sorted(data.splits.items())
    }
    labels = {name: split.labels.tolist() for name, split in data.splits.items()}
    return data.digest, (data.class_names, labels, images)


def _source(root: Path, source: SourceSettings, path: Path) -> Victim:
    """Each reading is a first one: nothing is known of the file."""
    places = iter(range(1_000_000))
    return Victim(path, lambda: _content(acquire(source, root / f"data-{next(places)}")))


NOISE = encoded_noise(0, 6)
PICTURES = [Image.open(io.BytesIO(image)) for image in NOISE]
MEMBERS = [(f"{'ab'[number % 2]}/{number}.png", image) for number, image in enumerate(NOISE)]
SAMPLES = [*MEMBERS, *((f"{'ab'[number % 2]}/{number}.cls", b"ab"[number % 2 :][:1]) for number in range(6))]


def image_in_a_folder(form: str) -> Callable[[Path], Victim]:
    """One of six images of a form, the others of which are whole."""

    def made(root: Path) -> Victim:
        for number, picture in enumerate(PICTURES):
            path = root / "images" / "ab"[number % 2] / f"{number}.{form.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, form)
        return _source(root, ImageFolder(path=str(root / "images"), unreadable="quarantine"), path)

    return made


def archive(name: str, content: bytes) -> Callable[[Path], Victim]:
    """An archive of a folder of images."""

    def made(root: Path) -> Victim:
        (root / name).write_bytes(content)
        return _source(root, ImageFolder(path=str(root / name)), root / name)

    return made


def shard(root: Path) -> Victim:
    """A tar in WebDataset's layout."""
    path = root / "x.tar"
    path.write_bytes(tar_of(sorted(SAMPLES)))
    return _source(root, WebDataset(path=str(path), unreadable="quarantine"), path)


def table(**options: Any) -> Callable[[Path], Victim]:
    """A Parquet file as Hugging Face writes it."""

    def made(root: Path) -> Victim:
        path = write_parquet(root / "x.parquet", NOISE, [0, 1] * 3, ["a", "b"], row_group_size=4, **options)
        return _source(root, ParquetImages(path=str(path), unreadable="quarantine"), path)

    return made


def letters(root: Path) -> Victim:
    """A CSV of letters."""
    pixels = np.random.default_rng(0).integers(0, 2, (20, 128))
    path = root / "l.csv"
    path.write_text("".join(f"{row % 10},{','.join(map(str, line))}\n" for row, line in enumerate(pixels)))
    return _source(root, Letters(train_csv=str(path), validation_csv=str(path)), path)


def downloaded(root: Path) -> Victim:
    """A file of known digest, as MNIST's are, in a mirror."""
    path = root / "mirror" / "t10k-labels-idx1-ubyte.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(bytes(range(200))))
    file = RemoteFile(path.name, (), "sha256", sha256(path.read_bytes()).hexdigest())
    places = iter(range(1_000_000))

    def read() -> tuple[Any, Any]:
        copy = fetch(file, root / str(next(places)) / path.name, path.parent.as_uri())
        return copy.read_bytes(), None

    return Victim(path, read, sealed=True)


def catalogue(root: Path) -> Victim:
    """What is remembered of a verified folder."""
    victim = image_in_a_folder("PNG")(root)
    source = ImageFolder(path=str(victim.path.parent.parent))
    acquire(source, root / "data")
    (path,) = (root / "data" / "raw" / "folder").glob("catalogue-*.parquet")
    return Victim(path, lambda: _content(acquire(source, root / "data")), sealed=True)


def feature_file(name: str, check: bool = True) -> Callable[[Path], Victim]:
    """A file of a sealed feature set."""

    def made(root: Path) -> Victim:
        folder = write_feature_set(root / "noise" / "d1d1", {"train": 40, "test": 20}, shard_rows=32)

        def read() -> tuple[Any, Any]:
            opened = open_feature_set(folder, verify=check)
            loaded = {split: opened.load(split) for split in opened.manifest.splits}
            assert verify(folder).whole or not check
            return opened.manifest, {split: (each.X.tobytes(), each.y.tolist()) for split, each in loaded.items()}

        return Victim(folder / name, read, sealed=True)

    return made


def record(root: Path) -> Victim:
    """The record of a study."""
    look = {"kind": "exploration", "on": "digits", "scatter": 5, "grid": 2}
    profile = parse_profile({"name": "x", "data": {"digits": {"source": "digits"}}, "studies": {"look": look}})
    folder = ready_node(profile, "look", places_under(root)).run().folder

    def read() -> tuple[Any, Any]:
        found = open_record(folder)
        return found, found.present()

    return Victim(folder / RECORD, read, sealed=True)


def _trained() -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.random((60, 48), np.float32)
    y = (X[:, 0] > 0.5).astype(np.int64)
    return train(Trial(hidden=(3,), epochs=2), TrialData(X[:40], y[:40], X[40:], y[40:], 2)), X


def trial(suffix: str) -> Callable[[Path], Victim]:
    """A file of a trial's result, which is trained again when it is damaged."""

    def made(root: Path) -> Victim:
        result, X = _trained()
        save_result(root, result, "k")

        def read() -> tuple[Any, Any]:
            found = load_result(root, "k")
            if found is None:
                raise ProbeflowError("it is trained again")
            return found.trial, (found.history, found.network.predict_proba(X).tobytes())

        return Victim(root / f"k{suffix}", read, sealed=True)

    return made


def network(root: Path) -> Victim:
    """A trained network."""
    result, X = _trained()
    save_network(root / "n.safetensors", result.network)
    return Victim(
        root / "n.safetensors",
        lambda: (load_network(root / "n.safetensors").predict_proba(X).tobytes(), None),
        sealed=True,
    )


def recipe(root: Path) -> Victim:
    """What decides a promoted classifier's labels beside its network."""
    network(root)
    content = Recipe(dataset="x", class_names=("a", "b"), pixels=PixelInput(shape=(4, 4, 3), maximum=255))
    write_json(root / "recipe.json", sealed(content.model_dump(mode="json")))

    def read() -> tuple[Any, Any]:
        found = ImageClassifier.load(root / "recipe.json", root / "n.safetensors", None)
        return found.recipe, found.classify(NOISE).problems

    return Victim(root / "recipe.json", read, sealed=True)


def predictions(root: Path) -> Victim:
    """Every answer of a sweep's models."""
    of = {"best": np.random.default_rng(0).random((9, 2)), "knn": np.zeros((9, 2))}
    save_predictions(root, Predictions("d" * 64, np.arange(9) % 2, of, None, "best"))

    def read() -> tuple[Any, Any]:
        found = read_predictions(root)
        told = {name: found.of(name).tobytes() for name in found.probabilities}
        return found.dataset_digest, (told, found.labels.tolist(), found.chosen)

    return Victim(root / FILE, read, sealed=True)


def weights(name: str) -> Callable[[Path], Victim]:
    """ImageNet weights of one's own, which features know by the digest of the file."""

    def made(root: Path) -> Victim:
        path, tensors = root / name, {"features.0.bias": torch.arange(9.0), "features.0.weight": torch.ones(3, 3)}
        save_file(tensors, path) if name.endswith(".safetensors") else torch.save(tensors, path)

        def read() -> tuple[Any, Any]:
            held = _read(path, find_backbone("alexnet"))
            return sha256(path.read_bytes()).hexdigest(), {name: value.tolist() for name, value in held.items()}

        return Victim(path, read)

    return made


def profile(root: Path) -> Victim:
    """A profile of one's own."""
    path = root / "mine.yaml"
    path.write_text(profile_text("embedded"))

    def read() -> tuple[Any, Any]:
        found = load_profile(file=path, environment={})
        return found.model_dump_json(), found

    return Victim(path, read)


VICTIMS: dict[str, Callable[[Path], Victim]] = {
    **{form: image_in_a_folder(form) for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")},
    "tar": archive("x.tar", tar_of(MEMBERS)),
    "tar.gz": archive("x.tar.gz", gzip.compress(tar_of(MEMBERS))),
    "tar.bz2": archive("x.tar.bz2", bz2.compress(tar_of(MEMBERS))),
    "tar.xz": archive("x.tar.xz", lzma.compress(tar_of(MEMBERS))),
    "tar.zst": archive("x.tar.zst", zstd(tar_of(MEMBERS))),
    "zip": archive("x.zip", zip_of(MEMBERS)),
    "deflated zip": archive("x.zip", zip_of(MEMBERS, 8)),
    "webdataset": shard,
    "parquet": table(compression="none"),
    "parquet by zstd": table(compression="zstd"),
    "letters": letters,
    "downloaded": downloaded,
    "catalogue": catalogue,
    "manifest": feature_file("manifest.json"),
    "shard": feature_file("part-00000.parquet"),
    "shard, unverified": feature_file("part-00000.parquet", check=False),
    "record": record,
    "trial's JSON": trial(".json"),
    "trial's network": trial(".safetensors"),
    "network": network,
    "recipe": recipe,
    "predictions": predictions,
    "weights": weights("w.safetensors"),
    "PyTorch's weights": weights("w.pth"),
    "profile": profile,
}


@st.composite
def damage(draw: st.DrawFn, content: bytes, same_size: bool = False) -> bytes:
    """The content cut, with bytes flipped, put in or left out; its ends, where headers lie, as often as the rest."""
    last = len(content) - 1
    at = st.one_of(st.integers(0, last), st.integers(0, min(last, 600)), st.integers(max(0, last - 600), last))
    way = "flip" if same_size else draw(st.sampled_from(["flip", "flip", "cut", "more", "less"]))
    if way == "cut":
        return content[: draw(at)]
    place = draw(at)
    if way == "more":
        return content[:place] + draw(st.binary(min_size=1, max_size=40)) + content[place:]
    if way == "less":
        return content[:place] + content[place + draw(st.integers(1, 600)) :]
    changed = bytearray(content)
    for place, bits in draw(st.lists(st.tuples(at, st.integers(1, 255)), min_size=1, max_size=4)):
        changed[place] ^= bits
    return bytes(changed)


@pytest.fixture(scope="module", params=VICTIMS)
def victim(request, tmp_path_factory) -> tuple[Victim, bytes, tuple[Any, Any]]:
    """A file, its content and what is read of it."""
    made = VICTIMS[request.param](tmp_path_factory.mktemp("damage"))
    return made, made.path.read_bytes(), made.read()


@given(st.data())
@settings(max_examples=EXAMPLES)
def test_damage_is_told_in_one_line_or_is_other_content_with_another_digest(victim, data):
    file, content, (digest, whole) = victim
    file.path.write_bytes(data.draw(damage(content)))
    began = time.process_time()
    told = ""
    try:
        found, read = file.read()
    except ProbeflowError as problem:
        told = str(problem)
    else:
        assert not file.sealed or found == digest
        assert found != digest or read == whole
    assert "\n" not in told
    assert len(told) < _LETTERS
    assert time.process_time() - began < _SECONDS


@pytest.mark.parametrize("name", ["JPEG", "BMP", "webdataset", "parquet"])
def test_damage_behind_the_back_of_the_catalogue_is_noticed_when_an_image_is_read(name, tmp_path_factory):
    root = tmp_path_factory.mktemp("behind")
    path = VICTIMS[name](root).path
    content, stamp = path.read_bytes(), path.stat()
    source = {
        "webdataset": WebDataset(path=str(path), unreadable="quarantine"),
        "parquet": ParquetImages(path=str(path), unreadable="quarantine"),
    }.get(name) or ImageFolder(path=str(path.parent.parent), unreadable="quarantine")
    digest, whole = _content(acquire(source, root / "data"))

    @given(st.data())
    @settings(max_examples=EXAMPLES)
    def noticed(data):
        path.write_bytes(content)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert _content(acquire(source, root / "data")) == (digest, whole)
        path.write_bytes(data.draw(damage(content, same_size=True)))
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        with suppress(ProbeflowError):
            assert _content(acquire(source, root / "data")) == (digest, whole)

    noticed()
