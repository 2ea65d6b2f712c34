"""A trained classifier as one ONNX file: from an image's pixels to the probabilities of its classes, in float32.

The graph holds the normalisation, the frozen network up to its layer, and the trained network with its standardisation.
Decoding and resizing are not in it: its metadata says how. A file is kept only if onnxruntime computes with it what we do.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lib.backbones.network import load_network
from lib.errors import ConfigError, DataError
from lib.features.resize import Resizer
from lib.files import atomic_path
from lib.mlp.torch_program import ACTIVATE
from lib.prediction import ImageClassifier, Recipe

OPSET = 18
"""The one that PyTorch's exporter is written for, so nothing is converted."""

PIXELS, LOGITS, PROBABILITIES = "pixels", "logits", "probabilities"
"""Names of the graph's input and outputs."""

BOUNDS = {"float32": 1e-4, "float16": 0.01, "bfloat16": 0.05}
"""How far a probability may lie from ours, by the arithmetic of the frozen network; the file's is float32."""

_NEEDS = ("onnx", "onnxruntime", "onnxscript")
_PACKAGES = ("probeflow", "torch", *_NEEDS)


def require_packages() -> None:
    """Refuse to begin without the packages that ONNX needs.

    Raises
    ------
    ConfigError
        Naming those that are not installed, and the fix.
    """
    if lacking := [name for name in _NEEDS if find_spec(name) is None]:
        raise ConfigError(f"ONNX needs {' and '.join(lacking)}, not installed here: pip install 'probeflow[onnx]'")


@dataclass(frozen=True)
class Exported:
    """What came of an export: the input's shape without the batch, and how the file was compared with our own outputs.

    Attributes
    ----------
    difference, bound : float
        The largest difference of a probability on real images, and the one above which the export is refused.
    """

    shape: tuple[int, int, int]
    images: int
    difference: float
    bound: float


def export_onnx(
    classifier: ImageClassifier, images: Sequence[bytes], about: Mapping[str, str], target: Path
) -> Exported:
    """Write the classifier to `target`, atomically, once it agrees with our own probabilities of some encoded images.

    Parameters
    ----------
    about : mapping of str to str
        More of the file's metadata, beside classes, preprocessing, digests and versions.

    Raises
    ------
    ConfigError
        When a package is missing, or the backbone cannot be exported.
    DataError
        When onnxruntime computes something else than we do; no file is left.
    """
    require_packages()
    pixels = pixels_of(classifier, images)
    precision = "float32" if classifier.extraction is None else classifier.extraction.precision
    with atomic_path(target) as temporary:
        temporary.touch()  # a place that cannot be written is refused at once
        _write(classifier, pixels.shape[1:], {**metadata(classifier.recipe), **about}, temporary)
        difference = _difference(classifier, images, pixels, temporary)
        if not difference <= BOUNDS[precision]:
            raise DataError(
                f"onnxruntime's probabilities of {len(images)} images differ from ours by {difference:.2g}, more than "
                f"{BOUNDS[precision]:g}, so {target} was not written; label with `predict`, or export one trained on float32"
            )
    return Exported(pixels.shape[1:], len(images), difference, BOUNDS[precision])


def metadata(recipe: Recipe) -> dict[str, str]:
    """What the file says of itself: classes and preprocessing as JSON, digests, versions."""
    known: dict[str, str] = {
        "class_names": json.dumps(recipe.class_names, ensure_ascii=False),
        "preprocessing": json.dumps(preprocessing(recipe)),
        "input": recipe.input_words,
        "dataset": recipe.dataset,
        **{name: version(name) for name in _PACKAGES},
    }
    if recipe.features is not None:
        known |= {"features_digest": recipe.features.digest, "weights_sha256": recipe.features.weights_sha256}
    return known


def preprocessing(recipe: Recipe) -> dict[str, Any]:
    """What `pixels` are, (n, channels, height, width): decoded as RGB or grey (L), resized, not normalised.

    `resize` is "squash" (to height x width, whatever the shape), "crop" (the shorter side to `shorter_side`, then the middle),
    or "none": images must have that size.
    """
    if recipe.pixels is not None:
        height, width, *colours = recipe.pixels.shape
        return {
            "channels": "RGB" if colours else "L",
            "height": height,
            "width": width,
            "largest_value": recipe.pixels.maximum,
            "resize": "none",
        }
    assert recipe.features is not None  # a recipe has one of the two
    settings = recipe.features.settings
    how = {
        "channels": "RGB",
        "height": settings.input_size,
        "width": settings.input_size,
        "largest_value": 255,
        "resize": settings.preprocessing,
        "interpolation": settings.interpolation,
    }
    return how | ({"shorter_side": settings.shorter_side} if settings.preprocessing == "crop" else {})


def pixels_of(classifier: ImageClassifier, images: Sequence[bytes]) -> npt.NDArray[np.float32]:
    """What the graph takes of encoded images: decoded and resized as in training, (n, channels, height, width).

    Raises
    ------
    UnreadableError
        For an image that cannot be decoded.
    """
    recipe, extraction = classifier.recipe, classifier.extraction
    decoded = [recipe.decoder(image) for image in images]
    if extraction is None:
        assert recipe.pixels is not None  # there is no other input
        channels = 1 if len(recipe.pixels.shape) == 2 else 3
        return np.stack([image[:, :, :channels] for image in decoded]).transpose(0, 3, 1, 2).astype(np.float32)
    resizer = Resizer(extraction.model_copy(update={"precision": "float32"}), torch.device("cpu"), torch.float32)
    mean, deviation = _scale(classifier)
    with torch.inference_mode():
        normalised = resizer([torch.from_numpy(extraction.shrink(image).copy()) for image in decoded])
        pixels: npt.NDArray[np.float32] = (normalised * deviation + mean).numpy()
    return pixels


class _Graph(nn.Module):
    """From pixels (n, channels, height, width) to logits and probabilities, (n, classes)."""

    def __init__(self, classifier: ImageClassifier) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        mean, deviation = _scale(classifier)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.frozen: nn.Module | None = None
        if (extraction := classifier.extraction) is not None:
            self.frozen = load_network(extraction, Path(), None)
            self.stored: torch.dtype = getattr(torch, extraction.storage)
        network = classifier.network.network_
        self.activate = ACTIVATE[network.activation]
        *hidden, last = zip(network.weights, network.biases, strict=True)
        self.hidden = nn.ModuleList(_linear(weights, biases) for weights, biases in hidden)
        # Classes that no training row had are never answered.
        weights = np.zeros((len(last[0]), len(classifier.recipe.class_names)), np.float32)
        biases = np.full(weights.shape[1], -np.inf, np.float32)
        weights[:, classifier.network.classes_], biases[classifier.network.classes_] = last
        self.last = _linear(weights, biases)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (pixels - self.mean) / self.deviation
        if self.frozen is None:
            rows = scaled.permute(0, 2, 3, 1).flatten(1)
        else:
            rows = self.frozen(scaled).to(self.stored).to(torch.float32)
        for layer in self.hidden:
            rows = self.activate(layer(rows))
        logits = self.last(rows)
        return logits, torch.softmax(logits, 1)


def _scale(classifier: ImageClassifier) -> tuple[torch.Tensor, torch.Tensor]:
    """What is taken off pixels and what they are divided by, each of shape (channels, 1, 1)."""
    if classifier.extraction is not None:
        own = classifier.extraction.entry.preprocessing
        return tuple(255 * torch.tensor(each)[:, None, None] for each in (own.mean, own.deviation))  # type: ignore[return-value]
    assert classifier.recipe.pixels is not None  # there is no other input
    return torch.zeros(1, 1, 1), torch.full((1, 1, 1), float(classifier.recipe.pixels.maximum))


def _linear(weights: npt.NDArray[np.floating], biases: npt.NDArray[np.floating]) -> nn.Linear:
    inputs, units = weights.shape
    layer = nn.Linear(inputs, units, device="meta")
    layer.weight = nn.Parameter(torch.tensor(weights.T, dtype=torch.float32))
    layer.bias = nn.Parameter(torch.tensor(biases, dtype=torch.float32))
    return layer


def _write(classifier: ImageClassifier, shape: Sequence[int], about: Mapping[str, str], path: Path) -> None:
    level = logging.getLogger("torch.onnx").level
    try:
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own code
            program = torch.onnx.export(
                _Graph(classifier).eval(),
                (torch.zeros(2, *shape),),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[PIXELS],
                output_names=[LOGITS, PROBABILITIES],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except torch.onnx.OnnxExporterError as error:
        name = "network" if classifier.extraction is None else f"backbone {classifier.extraction.backbone!r}"
        cause = " ".join(str(error.__cause__ or error).split()).partition(". ")[0][:160]
        raise ConfigError(f"{name} cannot be exported to ONNX ({cause}); label with `predict` instead") from None
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None  # None is the other exporter's
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces with paths of this machine
    program.model.metadata_props.update(about)
    program.save(path, external_data=False)


def _difference(
    classifier: ImageClassifier, images: Sequence[bytes], pixels: npt.NDArray[np.float32], path: Path
) -> float:
    """The largest difference between onnxruntime's probabilities, in batches of one and of several, and ours."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ours = classifier.classify(images).probabilities
    batches = [(pixels[:1], ours[:1]), (np.concatenate([pixels, pixels]), np.concatenate([ours, ours]))]
    return max(
        float(np.abs(session.run([PROBABILITIES], {PIXELS: batch})[0] - expected).max()) for batch, expected in batches
    )
