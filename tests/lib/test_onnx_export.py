"""A classifier as an ONNX file: onnxruntime gives the pipeline's own probabilities, or there is no file."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lib.backbones import Backbone, Cut, find_backbone, known_backbones, registry
from lib.backbones.random_weights import random_network
from lib.datasets.decoding import encode_png
from lib.errors import ConfigError, DataError
from lib.features.config import FeatureSettings
from lib.files import digest_file
from lib.mlp.estimator import MLPClassifier
from lib.mlp.store import save_network
from lib.onnx_export import BOUNDS, OPSET, export_onnx, pixels_of, require_packages
from lib.prediction import FeatureInput, ImageClassifier, PixelInput, Recipe
from tests.processes import REPOSITORY

CLASSES = ("cat", "<dog>", "猫")


def loaded(folder: Path, width: int, classes=(0, 1, 2), weights=None, **of) -> ImageClassifier:
    """A classifier whose network has been trained for a moment on noise, read from its files."""
    rng = np.random.default_rng(0)
    network = MLPClassifier(hidden=(6,), activation="tanh", epochs=2, random_state=0)
    X, y = rng.normal(0.5, 1, (40, width)).astype(np.float32), rng.choice(classes, 40)
    save_network(folder / "network.safetensors", network.fit(X, y))
    recipe = Recipe(dataset="x", class_names=CLASSES, **of)
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    return ImageClassifier.load(folder / "recipe.json", folder / "network.safetensors", weights, "cpu")


def on_features(folder: Path, backbone: str, classes=(0, 1, 2), weights=None, **settings) -> ImageClassifier:
    """One on the features of a backbone at the smallest size that it takes, with random weights or those of a file."""
    least = {"backbone": backbone, "weights": "random", "input_size": find_backbone(backbone).input_sizes[0]}
    own = {} if weights is None else {"weights": "imagenet", "weights_file": str(weights)}
    settings = FeatureSettings.model_validate(least | own | settings)
    sha256 = None if weights is None else digest_file(weights)
    features = FeatureInput(
        settings=settings, digest="f00d", weights_sha256="", weights_file_sha256=sha256, torch=version("torch")
    )
    return loaded(folder, settings.width, classes, weights, features=features)


def outputs(file: Path, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities by onnxruntime."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(["logits", "probabilities"], {"pixels": pixels})


@pytest.fixture(scope="module")
def photos(small_run) -> list[bytes]:
    return [encode_png(image) for image in small_run.input("classifier").dataset.splits["test"].images[:6]]


@pytest.fixture(scope="module")
def exported(photos, tmp_path_factory):
    """A classifier on features whose training rows lacked a class, and its file."""
    folder = tmp_path_factory.mktemp("exported")
    classifier = on_features(folder, "resnet18", (0, 2), storage="float16", preprocessing="crop")
    about = {"run_id": "1a2b", "dataset_digest": "feed"}
    return classifier, export_onnx(classifier, photos, about, folder / "x.onnx"), folder / "x.onnx"


def test_onnxruntime_gives_our_probabilities_in_batches_of_any_size(exported, photos):
    classifier, result, file = exported
    ours, pixels = classifier.classify(photos).probabilities, pixels_of(classifier, photos)
    assert (pixels.min() >= -0.01, pixels.max() <= 255.01, pixels.shape[1:]) == (True, True, result.shape)
    for count in (1, 2, 6):
        logits, probabilities = outputs(file, pixels[:count])
        np.testing.assert_allclose(probabilities, ours[:count], atol=BOUNDS["float32"])
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(exponents / exponents.sum(axis=1, keepdims=True), probabilities, rtol=1e-5)
    assert (ours[:, 1] == 0).all()
    assert (probabilities[:, 1] == 0).all()
    assert np.ptp(ours[:, 0]) > 10 * BOUNDS["float32"]  # images differ by more than the bound
    assert (result.images, result.bound) == (6, BOUNDS["float32"])
    assert result.difference <= result.bound


def test_the_file_says_what_it_is_and_nothing_of_this_machine(exported):
    classifier, _, file = exported
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {each.domain: each.version for each in model.opset_import}[""] == OPSET
    about = {each.key: each.value for each in model.metadata_props}
    assert tuple(json.loads(about["class_names"])) == CLASSES
    assert json.loads(about["preprocessing"]) == {
        "channels": "RGB", "height": 32, "width": 32, "largest_value": 255, "resize": "crop",
        "interpolation": "bilinear", "shorter_side": 37,
    }  # fmt: skip
    known = {name: about[name] for name in ("run_id", "dataset_digest", "features_digest", "input", "torch")}
    assert known == {
        "run_id": "1a2b", "dataset_digest": "feed", "features_digest": "f00d", "torch": version("torch"),
        "input": classifier.recipe.input_words,
    }  # fmt: skip
    content = file.read_bytes()
    assert str(REPOSITORY).encode() not in content
    assert b"site-packages" not in content


QUICK = {"alexnet"}
"""Backbones that export in some seconds; ResNet-18 is exported above."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=pytest.mark.slow if each in QUICK else pytest.mark.long)
        for each in known_backbones()
        if each != "resnet18"
    ],
)
def test_every_backbone_exports(name, photos, tmp_path):
    """The two differ far less than images do. The smallest input makes AlexNet's pooling enlarge."""
    weights = weights_used_to_noise(name, tmp_path / f"{name}.safetensors")
    classifier = on_features(tmp_path, name, weights=weights)
    result = export_onnx(classifier, photos[:2], {}, tmp_path / "x.onnx")
    between_images = np.ptp(classifier.classify(photos[:2]).probabilities[:, 0])
    assert result.difference <= min(BOUNDS["float32"], 0.02 * between_images)


def weights_used_to_noise(name: str, path: Path) -> Path:
    """Random weights whose batch norms know a batch of noise: else EfficientNet's features of all images are the same."""
    network = random_network(find_backbone(name), 0).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    size = max(64, find_backbone(name).input_sizes[0])
    with torch.no_grad():
        network(torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0)))
    save_file(network.state_dict(), path)
    return path


@pytest.mark.parametrize("shape", [(8, 8), (8, 6, 3)])
def test_raw_pixels_in_grey_and_colour(shape, tmp_path):
    classifier = loaded(tmp_path, int(np.prod(shape)), pixels=PixelInput(shape=shape, maximum=16))
    pictures = np.random.default_rng(0).integers(0, 17, (5, *shape), np.uint8)
    result = export_onnx(classifier, [encode_png(each) for each in pictures], {}, tmp_path / "x.onnx")
    rows = pictures.reshape(5, -1).astype(np.float32) / np.float32(16)
    pixels = (pictures[:, None] if len(shape) == 2 else pictures.transpose(0, 3, 1, 2)).astype(np.float32)
    assert result.shape == pixels.shape[1:]
    np.testing.assert_allclose(
        outputs(tmp_path / "x.onnx", pixels)[1], classifier.network.predict_proba(rows), atol=1e-6
    )


def test_a_file_that_computes_something_else_is_refused_and_not_left(tmp_path):
    """It divides pixels by another number."""
    (tmp_path / "own").mkdir()
    classifier = loaded(tmp_path / "own", 64, pixels=PixelInput(shape=(8, 8), maximum=16))
    recipe = classifier.recipe.model_copy(update={"pixels": PixelInput(shape=(8, 8), maximum=8)})
    wrong = ImageClassifier(recipe, classifier.network, classifier._inputs)
    pictures = np.random.default_rng(0).integers(0, 17, (6, 8, 8), np.uint8)
    with pytest.raises(DataError, match=r"of 6 images differ from ours by \S+, more than 0.0001, so .*x.onnx was not"):
        export_onnx(wrong, [encode_png(each) for each in pictures], {}, tmp_path / "x.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["own"]


def test_a_backbone_that_cannot_be_exported_is_refused_by_name(photos, tmp_path, monkeypatch):
    class Singular(nn.Module):
        def forward(self, images):
            return torch.linalg.svdvals(images.mean(dim=1))

    toy = Backbone("toy", "Toy", Singular, {"end": Cut("linalg_svdvals", 32)}, "end")
    monkeypatch.setitem(registry._BACKBONES, "toy", toy)
    classifier = on_features(tmp_path, "toy")
    with pytest.raises(ConfigError, match=r"backbone 'toy' cannot be exported to ONNX \(.*svd.*\); label with"):
        export_onnx(classifier, photos, {}, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_missing_packages_are_named_with_the_fix(monkeypatch):
    require_packages()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as where it is not installed
    with pytest.raises(
        ConfigError, match=r"ONNX needs onnxruntime, not installed here: pip install 'probeflow\[onnx\]'"
    ):
        require_packages()
