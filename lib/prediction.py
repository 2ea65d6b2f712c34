"""From encoded images to labels, end to end: decode, AlexNet features, the network with its standardisation folded in.

Each step is the pipeline's own code with the settings that the classifier was trained with, so an image gets the label
that the pipeline gave it, and its probability to rounding. A recipe (JSON) says what these were; networks are safetensors,
so loading runs no code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from lib.backbones.weights import weights_digest
from lib.datasets.decoding import LARGEST_PIXELS, Decoder, UnreadableError
from lib.errors import ConfigError, DataError, WeightsError
from lib.features.config import FeatureSettings
from lib.features.plan import feature_set_digest
from lib.files import digest_file
from lib.mlp.estimator import MLPClassifier
from lib.mlp.store import load_network

if TYPE_CHECKING:
    from lib.datasets.dataset import Dataset
    from lib.features.program import Program

_PART_BYTES = 64 << 20
_NO_IMAGE = np.zeros((1, 1, 3), np.uint8)
"""Goes through the network in the place of an image that cannot be read, so that the others keep theirs."""


class Recipe(BaseModel):
    """All that decides a label besides the networks' numbers.

    Attributes
    ----------
    weights_sha256 : str
        The digest of AlexNet's weights that is part of `features_digest`, the training features' own.
    weights_file_sha256 : str or None
        Of the safetensors file of ImageNet weights beside the recipe; None for random weights, which a seed gives.
    torch : str
        The version whose generator drew them.
    largest_pixels : int
        Images of more pixels are refused, as those of the training were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["probeflow-classifier-1"] = "probeflow-classifier-1"
    dataset: str
    class_names: tuple[str, ...]
    features: FeatureSettings
    features_digest: str
    weights_sha256: str
    weights_file_sha256: str | None = None
    torch: str
    largest_pixels: int = LARGEST_PIXELS


def make_recipe(
    dataset: Dataset, settings: FeatureSettings, features_digest: str, cache: Path, mirror: str | None
) -> Recipe:
    """The recipe of a classifier that was trained on the features with this digest.

    Raises
    ------
    WeightsError
        When AlexNet's weights are not here.
    ConfigError
        When the settings are not those of the features.
    """
    weights = weights_digest(settings, cache, mirror)
    if feature_set_digest(dataset.digest, settings, weights) != features_digest:
        raise ConfigError(
            f"the features {features_digest[:16]} were made with other settings or weights than {settings.describe()}, "
            f"{settings.input_size} px, {settings.precision}; give those of the extraction"
        )
    plain = {"device": "auto", "batch_size": None, "weights_file": None}
    return Recipe(
        dataset=dataset.name,
        class_names=dataset.class_names,
        features=settings.model_copy(update=plain),
        features_digest=features_digest,
        weights_sha256=weights,
        torch=version("torch"),
        largest_pixels=(dataset.source or {}).get("largest_pixels", LARGEST_PIXELS),
    )


@dataclass(frozen=True)
class Answers:
    """What a classifier says of some images.

    Attributes
    ----------
    probabilities : ndarray of float64, shape (n, classes)
        Of each class, in the order of `class_names`; NaN for an image that could not be read.
    problems : mapping of int to str
        Position -> why that image could not be read.
    """

    class_names: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    problems: dict[int, str]

    @property
    def labels(self) -> list[str | None]:
        """The most probable class of each image; None where it could not be read."""
        best = np.where(np.isnan(self.probabilities), -1, self.probabilities).argmax(axis=1)
        return [None if row in self.problems else self.class_names[index] for row, index in enumerate(best)]

    @property
    def confidences(self) -> list[float | None]:
        """The probability of that class."""
        best = self.probabilities.max(axis=1)
        return [None if row in self.problems else float(value) for row, value in enumerate(best)]


class ImageClassifier:
    """A trained classifier that takes encoded images; safe to use from several threads at once."""

    def __init__(self, recipe: Recipe, network: MLPClassifier, program: Program) -> None:
        self.recipe = recipe
        self._network = network
        self._program = program
        self._decoder = Decoder(recipe.largest_pixels)

    @classmethod
    def load(cls, recipe: Path, network: Path, weights: Path | None, device: str = "auto") -> ImageClassifier:
        """Read a classifier from its files.

        Raises
        ------
        DataError
            When a file is missing, damaged, or of another version of probeflow.
        WeightsError
            When AlexNet's weights are not those that the classifier was trained with.
        """
        from lib.features.programs import make_program

        try:
            read = Recipe.model_validate_json(recipe.read_bytes())
        except (OSError, ValidationError) as error:
            problem = " ".join(str(error).split())[:160]
            raise DataError(
                f"classifier {recipe} cannot be read ({problem}); it is damaged or of another version of probeflow: "
                "promote one that this version trained"
            ) from None
        settings = read.features.model_copy(update={"device": device})
        if settings.weights == "imagenet":
            if weights is None or not weights.is_file() or digest_file(weights) != read.weights_file_sha256:
                raise WeightsError(
                    f"classifier {recipe.parent} lacks its ImageNet weights, or they are damaged; train and promote it again"
                )
            settings = settings.model_copy(update={"weights_file": str(weights)})
        else:
            _require_same_draw(read)
        return cls(read, load_network(network), make_program(settings, recipe.parent, None, None))

    def classify(self, images: Sequence[bytes]) -> Answers:
        """Label encoded images: the bytes of PNG, JPEG or other files that Pillow reads."""
        rows = _EncodedRows(images, self._decoder)
        size = self._program.batch_size
        blocks = [range(start, min(start + size, len(images))) for start in range(0, len(images), size)]
        probabilities = np.full((len(images), len(self.recipe.class_names)), np.nan)
        for block, features in zip(blocks, self._program.features(rows, blocks), strict=True):
            usable = np.isfinite(features).all(axis=1)
            for row in np.flatnonzero(~usable):
                rows.problems.setdefault(
                    block[int(row)], f"its features in {self.recipe.features.storage} are not finite"
                )
            whole = np.array([row not in rows.problems for row in block])
            if whole.any():
                scored = np.zeros((int(whole.sum()), probabilities.shape[1]))
                scored[:, self._network.classes_] = self._network.predict_proba(features[whole])
                probabilities[block.start : block.stop][whole] = scored
        return Answers(self.recipe.class_names, probabilities, rows.problems)


def _require_same_draw(recipe: Recipe) -> None:
    """Refuse random weights that are others than those of the training: torch does not promise its generator's numbers."""
    from lib.backbones.weights import random_digest

    features = recipe.features
    if recipe.torch != version("torch") and random_digest(features.backbone, features.seed) != recipe.weights_sha256:
        raise WeightsError(
            f"torch {version('torch')} draws other random weights with seed {features.seed} than torch "
            f"{recipe.torch}, with which this classifier was trained; install that version"
        )


class _EncodedRows:
    """Encoded images as rows of the program; see `lib.features.program.Rows`."""

    def __init__(self, images: Sequence[bytes], decoder: Decoder) -> None:
        self._images = images
        self._decoder = decoder
        self.problems: dict[int, str] = {}

    def parts(self, block: range, most: int) -> list[range]:
        """Parts of few enough images that they fit into `_PART_BYTES` once decoded, or of one image.

        They are of about equal number: the last bits of an image's features are others in a part of one.
        """
        most = math.ceil(len(block) / math.ceil(len(block) / most))
        parts, first, held = [], 0, 0
        for position, row in enumerate(block):
            size = self._decoder.decoded_bytes(self._images[row])
            if position > first and (position - first == most or held + size > _PART_BYTES):
                parts.append(block[first:position])
                first, held = position, 0
            held += size
        return [*parts, block[first:]]

    def read(self, part: range) -> list[npt.NDArray[np.uint8]]:
        """The images of a part, decoded."""
        return [self._decoded(row) for row in part]

    def _decoded(self, row: int) -> npt.NDArray[np.uint8]:
        try:
            return self._decoder(self._images[row])
        except UnreadableError as problem:
            self.problems[row] = str(problem)
            return _NO_IMAGE
