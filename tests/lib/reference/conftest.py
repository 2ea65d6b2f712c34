"""Records of real runs on small drawn images, whose outcomes follow from how the data and the settings are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from lib.backbones import Backbone, Cut, Preprocessing, registry
from lib.datasets import sources
from lib.datasets.dataset import Dataset, Split, build
from lib.graph import ready_node
from lib.places import Places
from lib.profile import parse_profile
from lib.studies.exploration import Exploration
from lib.studies.features import Features
from lib.studies.study import Record
from lib.studies.sweep import Sweep
from tests.records import places_under

Run = Callable[..., Record[Any]]


class Halves(sources.SourceSettings):
    """Grey images of two halves, each dark or bright, in noise.

    `same`: whether both are alike, which no linear network tells; `bright`: whether the left one is bright, which any does;
    `chance`: nothing that shows; `three`: three classes.
    """

    known_splits: ClassVar = ("train", "test")

    source: Literal["halves"] = "halves"
    task: Literal["same", "bright", "chance", "three"] = "same"
    images: int = 160
    noise: float = 40.0


def draw_halves(source: Halves, raw: Path, mirror: str | None) -> Dataset:
    splits = {}
    for seed, (name, count) in enumerate((("train", source.images), ("test", 100))):
        rng = np.random.default_rng(seed)
        left, right = np.arange(count) % 2, np.arange(count) // 2 % 2
        labels = {
            "same": left ^ right,
            "bright": left,
            "chance": rng.permutation(left),
            "three": np.arange(count) % 3,
        }[source.task]
        levels = np.repeat(np.stack([left, right], axis=1)[:, np.newaxis] * 110.0 + 70, 4, axis=1)  # (n, 4, 2)
        images = np.repeat(levels, 2, axis=2) + rng.normal(0, source.noise, (count, 4, 4))
        splits[name] = Split(np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64))
    names = tuple("abc"[: 3 if source.task == "three" else 2])
    return build(f"halves-{source.task}", names, splits, "halves drawn by a test")


def _network() -> Any:
    from torch import Tensor, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blur, self.convolution, self.activation = nn.AvgPool2d(8), nn.Conv2d(3, 8, 3), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.activation(self.convolution(images)).sum() + self.blur(images).sum()

    return Network()


_BACKBONE = Backbone(
    "one-layer", "One Layer", _network, {"edges": Cut("activation", 8, "mean"), "brightness": Cut("blur", 3)}, "edges",
    Preprocessing(input_size=8, resize_size=8), input_sizes=(8, 8),
)  # fmt: skip


@pytest.fixture(scope="session")
def where(tmp_path_factory) -> Places:
    """Where records lie: each is made once, whichever file asks for it."""
    return places_under(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="module")  # what it registers and leaves out must not reach other files of the process
def run(where) -> Iterator[Run]:
    """Runs one study on images of a task, under the name that the claims know it by; no figures are drawn."""

    def run_one(
        name: str, task: str, *, node: str = "halves", layer: str = "edges", data: Any = None, **settings: Any
    ) -> Record[Any]:
        features = {"of": "halves", "backbone": "one-layer", "layer": layer, "weights": "random", "device": "cpu"}
        content: dict[str, Any] = {
            "name": "judged",
            "data": {"halves": {"source": "halves", "task": task, **(data or {})}},
            "features": {"fc8": features},
        }
        if name != "fc8":
            content["studies"] = {name: {"kind": "sweep", "on": node, **settings}}
        profile = parse_profile(content)
        if node == "fc8":
            ready_node(profile, "fc8", where).run()
        return ready_node(profile, name, where).run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_kinds", dict(sources._kinds))
        patch.setitem(registry._BACKBONES, _BACKBONE.name, _BACKBONE)
        for kind in (Exploration, Features, Sweep):
            patch.setattr(kind, "draw", lambda *_: iter(()))
        sources.register(Halves, draw_halves)
        yield run_one
