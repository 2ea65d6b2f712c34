"""What one frozen network is, as data: an entry of the registry. Nothing here imports PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lib.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Interpolation = Literal["bilinear", "bicubic", "nearest"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Mean and standard deviation of each channel in [0, 1], with which torchvision trains on ImageNet."""


@dataclass(frozen=True)
class Cut:
    """Where a network can be cut.

    `node`: the node of the network's graph whose output is taken, as torchvision's `get_graph_node_names` lists them.
    `width`: features of one image.
    `pool` ({"flatten", "mean", "first"}): how that output becomes one row an image: as it is, its mean over height and
    width, or its first token.
    """

    node: str
    width: int
    pool: Literal["flatten", "mean", "first"] = "flatten"


@dataclass(frozen=True)
class Preprocessing:
    """What a network wants images to be, as torchvision's weights state it.

    `mean`, `deviation`: of each channel in [0, 1], taken off and divided by.
    `input_size`: side of the square that the network was trained on, in pixels.
    `resize_size`: length of the shorter side before the square is cut out of the middle, in pixels.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_DEVIATION
    input_size: int = 224
    resize_size: int = 256
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.resize_size < self.input_size:
            raise ConfigError(
                f"resize_size {self.resize_size} is below input_size {self.input_size}: no such square can be cut out"
            )

    def shorter_side(self, input_size: int) -> int:
        """Length of the shorter side before cropping to `input_size`: in the same proportion as `resize_size`."""
        return round(self.resize_size * input_size / self.input_size)


@dataclass(frozen=True)
class PretrainedWeights:
    """torchvision's file of ImageNet weights, `<name>-<first letters of its sha256>.pth`, and about how large it is."""

    url: str
    megabytes: int

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]

    @property
    def sha256_prefix(self) -> str:
        return self.name.rsplit("-", 1)[1].removesuffix(".pth")


@dataclass(frozen=True)
class Backbone:
    """A frozen network.

    `title`: how it is written in tables and figures.
    `build`: makes the network with random weights, as its library initialises it; imports what it needs when called.
    `cuts`: by the names that settings use.
    `default`: the cut that is taken when none is given.
    `weights`: None when the network has only files of the user's, or random weights.
    `input_sizes`: smallest and largest side of the input, in pixels.
    `split`: the fast path of networks that want batches of different size in two parts: (network, cut's name) -> its
    trunk, which takes a few images at a time, and its head, which takes the trunk's rows of a whole block.
    """

    name: str
    title: str
    build: Callable[[], nn.Module]
    cuts: Mapping[str, Cut]
    default: str
    preprocessing: Preprocessing = Preprocessing()
    weights: PretrainedWeights | None = None
    input_sizes: tuple[int, int] = (32, 1024)
    split: Callable[[Any, str], tuple[nn.Module, nn.Module]] | None = None

    def cut(self, layer: str) -> Cut:
        """The cut of that name. Raises ConfigError when there is none."""
        if layer not in self.cuts:
            raise ConfigError(f"backbone {self.name!r} has no layer {layer!r}; it has: {', '.join(self.cuts)}")
        return self.cuts[layer]

    def identity(self, layer: str) -> dict[str, Any]:
        """What of the entry decides the features, besides settings and weights."""
        cut = self.cut(layer)
        numbers = [*self.preprocessing.mean, *self.preprocessing.deviation]
        return {"backbone": self.name, "node": cut.node, "pool": cut.pool, "normalised_by": numbers}


def torchvision_model(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models import get_model

        network: nn.Module = get_model(name, weights=None)
        return network

    return build
