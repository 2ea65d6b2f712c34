"""From encoded images to labels, end to end: decode, features of a frozen network or raw pixels, the trained network.

Each step is the pipeline's own code with the settings that the classifier was trained with, so an image gets the label
that the pipeline gave it, and its probability to rounding. A recipe (JSON) says what these were; networks are safetensors,
so loading runs no code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from lib.backbones.weights import weights_digest
from lib.datasets.decoding import CHANNELS, LARGEST_PIXELS, Decoder, UnreadableError, encode_png
from lib.datasets.images import Images, read_images
from lib.datasets.shrinking import Shrink
from lib.datasets.sources import EncodedSource, parse_source
from lib.errors import ConfigError, DataError, WeightsError
from lib.features.config import FeatureSettings
from lib.features.plan import feature_set_digest
from lib.files import digest_file, unsealed
from lib.mlp.store import load_network
from lib.progress import Advance, silent
from lib.text import size_words

if TYPE_CHECKING:
    from lib.datasets import Dataset
    from lib.features.program import Program
    from lib.mlp.estimator import MLPClassifier

_PIXEL_ROWS = 256
"""Images whose pixels are scored at once."""

_NO_IMAGE = np.zeros((1, 1, CHANNELS), np.uint8)
"""Goes through the network in the place of an image that cannot be read, so that the others keep theirs."""

Problems = dict[int, str]
"""Position of an image -> why it has no label."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureInput(_Part):
    """Features of a frozen network go into the trained one.

    Attributes
    ----------
    weights_sha256 : str
        The digest of the frozen network's weights that is part of the features' own, `digest`.
    weights_file_sha256 : str or None
        Of the safetensors file beside the recipe; None for random weights, which a seed gives.
    torch : str
        The version whose generator drew them.
    """

    settings: FeatureSettings
    digest: str
    weights_sha256: str
    weights_file_sha256: str | None = None
    torch: str


class PixelInput(_Part):
    """Raw pixels go into the trained network: of images of one `shape`, divided by `maximum`."""

    shape: tuple[int, ...]
    maximum: int

    @property
    def words(self) -> str:
        """Which images it takes: "32x32 in colour"."""
        return _shape_words(self.shape)

    def row(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """A decoded image, (height, width, 3), as the network takes it, shape (height * width * channels,).

        Raises
        ------
        UnreadableError
            When it is unlike the images of the training: of another size, in colour among grey ones, or of larger values.
        """
        if image.shape[:2] != self.shape[:2]:
            raise UnreadableError(
                f"the image is {size_words(image.shape)} and this classifier takes {self.words} alone; resize it"
            )
        if len(self.shape) == 2:
            if (image != image[:, :, :1]).any():
                raise UnreadableError(
                    f"the image is in colour and this classifier takes {self.words} alone; convert it"
                )
            image = image[:, :, 0]
        if (largest := int(image.max())) > self.maximum:
            raise UnreadableError(
                f"the image has the value {largest} and the largest of the training is {self.maximum}; scale it to that"
            )
        return image.reshape(-1).astype(np.float32) / np.float32(self.maximum)


class Recipe(_Part):
    """All that decides a label besides the networks' numbers.

    Attributes
    ----------
    features, pixels : FeatureInput or None, PixelInput or None
        What goes into the trained network: one of the two.
    largest_pixels : int
        Images of more pixels are refused, as those of the training were.
    scaled_side : int or None
        JPEGs are decoded at the scale that those of the training were, see `Decoder`.
    """

    format: Literal["probeflow-classifier-2"] = "probeflow-classifier-2"
    dataset: str
    class_names: tuple[str, ...]
    features: FeatureInput | None = None
    pixels: PixelInput | None = None
    largest_pixels: int = LARGEST_PIXELS
    scaled_side: int | None = None

    @model_validator(mode="after")
    def _one_input(self) -> Recipe:
        if (self.features is None) == (self.pixels is None):
            raise ValueError("a recipe has either features or pixels")
        return self

    def examples(self, images: Images, count: int) -> list[bytes]:
        """So many of some images, evenly spread, as PNG files: not larger than is needed of them."""
        rows = np.unique(np.linspace(0, len(images) - 1, count).astype(np.int64))
        few = read_images(images, rows)
        if self.features is not None:
            few = [self.features.settings.shrink(image) for image in few]
        return [encode_png(image) for image in few]

    @property
    def decoder(self) -> Decoder:
        """Decodes images as those of the training were."""
        return Decoder(self.largest_pixels, self.scaled_side)

    @property
    def input_words(self) -> str:
        """What goes into the trained network."""
        if self.pixels is not None:
            return f"raw pixels, {self.pixels.words}"
        return "" if self.features is None else self.features.settings.describe()


def feature_recipe(
    dataset: Dataset, settings: FeatureSettings, features_digest: str, cache: Path, mirror: str | None
) -> Recipe:
    """The recipe of a classifier that was trained on the features with this digest.

    Raises
    ------
    WeightsError
        When the frozen network's weights are not here.
    ConfigError
        When the settings are not those of the features.
    """
    weights = weights_digest(settings, cache, mirror)
    if feature_set_digest(dataset.digest, settings, weights) != features_digest:
        raise ConfigError(
            f"the features {features_digest[:16]} were made with other settings or weights than {settings.describe()}, "
            f"{settings.input_size} px, {settings.precision}; give those of the extraction"
        )
    # Without what is of the machine that it ran on; the weights go with the recipe.
    plain = {"device": "auto", "batch_size": None, "weights_file": weights_name(settings)}
    features = FeatureInput(
        settings=settings.model_copy(update=plain),
        digest=features_digest,
        weights_sha256=weights,
        torch=version("torch"),
    )
    return _recipe(dataset, features=features)


def weights_name(settings: FeatureSettings) -> str | None:
    """What the file of ImageNet weights beside a recipe is called; None for random ones, which a seed gives."""
    return f"{settings.backbone}.safetensors" if settings.weights == "imagenet" else None


def pixel_recipe(dataset: Dataset) -> Recipe:
    """The recipe of a classifier that was trained on the raw pixels of these images.

    Raises
    ------
    DataError
        When they are of several sizes.
    """
    return _recipe(dataset, pixels=PixelInput(shape=dataset.require_pixel_shape(), maximum=dataset.maximum))


def _recipe(dataset: Dataset, **given: Any) -> Recipe:
    return Recipe(
        dataset=dataset.name,
        class_names=dataset.class_names,
        **_decoding(dataset),
        **given,
    )


def _decoding(dataset: Dataset) -> dict[str, int | None]:
    source = parse_source(dataset.source) if dataset.source is not None else None
    if not isinstance(source, EncodedSource):
        return {}
    return {"largest_pixels": source.largest_pixels, "scaled_side": source.scaled_side}


@dataclass(frozen=True)
class Answers:
    """What a classifier says of some images.

    Attributes
    ----------
    probabilities : ndarray of float64, shape (n, classes)
        Of each class, in the order of `class_names`; NaN for an image without a label.
    problems : mapping of int to str
        Position -> why that image has none.
    """

    class_names: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    problems: Problems

    @property
    def labels(self) -> list[str | None]:
        """The most probable class of each image; None where there is none."""
        return [best[0][0] if best else None for best in self.top(1)]

    @property
    def confidences(self) -> list[float | None]:
        """The probability of that class."""
        return [best[0][1] if best else None for best in self.top(1)]

    def top(self, count: int) -> list[tuple[tuple[str, float], ...]]:
        """So many of the most probable classes of each image with their probabilities, best first; none with a problem."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count].tolist()
        return [
            ()
            if row in self.problems
            else tuple((self.class_names[place], float(self.probabilities[row, place])) for place in best)
            for row, best in enumerate(order)
        ]


class _Inputs(Protocol):
    """How encoded images become rows of the trained network."""

    def blocks(self, images: Sequence[bytes], problems: Problems) -> Iterator[tuple[range, npt.NDArray[np.floating]]]:
        """Positions and their rows, block by block, in order; an image with a problem has any row."""


class ImageClassifier:
    """A trained classifier that takes encoded images; safe to use from several threads at once.

    Attributes
    ----------
    network : MLPClassifier
        The trained network.
    extraction : FeatureSettings or None
        Of the frozen network before it, with where its weights lie; None for raw pixels.
    """

    def __init__(
        self, recipe: Recipe, network: MLPClassifier, inputs: _Inputs, extraction: FeatureSettings | None = None
    ) -> None:
        self.recipe = recipe
        self.network = network
        self.extraction = extraction
        self._inputs = inputs

    @classmethod
    def load(cls, recipe: Path, network: Path, weights: Path | None, device: str = "auto") -> ImageClassifier:
        """Read a classifier from its files.

        Raises
        ------
        DataError
            When a file is missing, damaged, or of another version of probeflow.
        WeightsError
            When the frozen network's weights are not those that the classifier was trained with.
        """
        try:
            read = Recipe.model_validate_json(json.dumps(unsealed(json.loads(recipe.read_bytes()))))
        except (OSError, ValueError, RecursionError) as error:
            problem = " ".join(str(error).split())[:160]
            raise DataError(
                f"classifier {recipe} cannot be read ({problem}); it is damaged or of another version of probeflow: "
                "promote one that this version trained"
            ) from None
        decoder = read.decoder
        if read.pixels is not None:
            trained = load_network(network)
            if trained.n_features_in_ != math.prod(read.pixels.shape):
                raise DataError(
                    f"classifier {recipe} takes images of {read.pixels.words}, and its network {trained.n_features_in_} "
                    "numbers: they are of two classifiers; promote one anew"
                )
            return cls(read, trained, _Pixels(read.pixels, decoder))
        assert read.features is not None  # a recipe has one of the two
        from lib.features.programs import make_program

        extraction = _extraction(read.features, recipe.parent, weights, device)
        program = make_program(extraction, recipe.parent, None, None)
        return cls(read, load_network(network), _Features(extraction, program, decoder), extraction)

    def classify(self, images: Sequence[bytes], advance: Advance = silent) -> Answers:
        """Label encoded images: the bytes of PNG, JPEG or other files that Pillow reads."""
        problems: Problems = {}
        probabilities = np.full((len(images), len(self.recipe.class_names)), np.nan)
        for block, inputs in self._inputs.blocks(images, problems):
            whole = np.array([row not in problems for row in block])
            if whole.any():
                scored = np.zeros((int(whole.sum()), probabilities.shape[1]))
                scored[:, self.network.classes_] = self.network.predict_proba(inputs[whole])
                probabilities[block.start : block.stop][whole] = scored
            advance(len(block))
        return Answers(self.recipe.class_names, probabilities, problems)


def _extraction(features: FeatureInput, folder: Path, weights: Path | None, device: str) -> FeatureSettings:
    """The settings of the extraction here, once the weights are known to be those of the training."""
    settings = features.settings.model_copy(update={"device": device})
    if weights_name(settings) is not None:
        if weights is None or not weights.is_file() or digest_file(weights) != features.weights_file_sha256:
            raise WeightsError(
                f"classifier {folder} lacks its ImageNet weights, or they are damaged; train and promote it again"
            )
        return settings.model_copy(update={"weights_file": str(weights)})
    _require_same_draw(features)
    return settings


def _require_same_draw(features: FeatureInput) -> None:
    """Refuse random weights that are others than those of the training: torch does not promise its generator's numbers."""
    from lib.backbones.weights import random_digest

    settings = features.settings
    if (
        features.torch != version("torch")
        and random_digest(settings.backbone, settings.seed) != features.weights_sha256
    ):
        raise WeightsError(
            f"torch {version('torch')} draws other random weights with seed {settings.seed} than torch "
            f"{features.torch}, with which this classifier was trained; install that version"
        )


class _Pixels:
    """Encoded images as rows of pixels; see `_Inputs`."""

    def __init__(self, pixels: PixelInput, decoder: Decoder) -> None:
        self._pixels = pixels
        self._decoder = decoder

    def blocks(self, images: Sequence[bytes], problems: Problems) -> Iterator[tuple[range, npt.NDArray[np.floating]]]:
        """Pixels as the network was trained on them."""
        for start in range(0, len(images), _PIXEL_ROWS):
            block = range(start, min(start + _PIXEL_ROWS, len(images)))
            rows = np.zeros((len(block), math.prod(self._pixels.shape)), np.float32)
            for place, row in enumerate(block):
                try:
                    rows[place] = self._pixels.row(self._decoder(images[row]))
                except UnreadableError as problem:
                    problems[row] = str(problem)
            yield block, rows


class _Features:
    """Encoded images as features of a frozen network; see `_Inputs`."""

    def __init__(self, settings: FeatureSettings, program: Program, decoder: Decoder) -> None:
        self._settings = settings
        self._program = program
        self._decoder = decoder

    def blocks(self, images: Sequence[bytes], problems: Problems) -> Iterator[tuple[range, npt.NDArray[np.floating]]]:
        """Features as they are in the shards; one that its number format cannot hold is a problem."""
        size = self._program.batch_size
        blocks = [range(start, min(start + size, len(images))) for start in range(0, len(images), size)]
        rows = _EncodedRows(images, self._decoder, self._settings.shrink, problems)
        for block, features in zip(blocks, self._program.features(rows, blocks), strict=True):
            for row in np.flatnonzero(~np.isfinite(features).all(axis=1)):
                problems.setdefault(block[int(row)], f"its features in {self._settings.storage} are not finite")
            yield block, features


class _EncodedRows:
    """Encoded images as rows of the program; see `lib.features.program.Rows`."""

    def __init__(self, images: Sequence[bytes], decoder: Decoder, shrink: Shrink, problems: Problems) -> None:
        self._images = images
        self._decoder = decoder
        self._shrink = shrink
        self._problems = problems

    def parts(self, block: range, most: int) -> list[range]:
        """Parts of about equal number: the last bits of an image's features are others in a part of one."""
        most = math.ceil(len(block) / math.ceil(len(block) / most))
        return [block[start : start + most] for start in range(0, len(block), most)]

    def read(self, part: range) -> list[npt.NDArray[np.uint8]]:
        """The images of a part, decoded and none larger than the network's input."""
        return [self._shrink(self._decoded(row)) for row in part]

    def _decoded(self, row: int) -> npt.NDArray[np.uint8]:
        try:
            return self._decoder(self._images[row])
        except UnreadableError as problem:
            self._problems[row] = str(problem)
            return _NO_IMAGE


def _shape_words(shape: Sequence[int]) -> str:
    return f"{size_words(shape)} {'in colour' if len(shape) == 3 else 'in grey'}"
