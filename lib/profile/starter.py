"""A newcomer's profile: images explored, their features extracted, small networks on these against baselines.

One commented YAML file makes both: `new` writes it for its user to edit, `try` fills it in by what the images are and runs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Literal

from lib.errors import ConfigError, StorageError
from lib.files import write_bytes
from lib.machine import from_home
from lib.profile.layering import parse_profile, read_profile_text
from lib.profile.profile import Profile
from lib.text import visible

LAYER = "pool5"

_BUNDLED = {"source": "photo-patches", "stride": 16}
_WIDEST_PIXELS = 64 * 64 * 3
"""Values of one image beyond which raw pixels are no quick comparison."""


@dataclass(frozen=True)
class Budget:
    """How much is tried.

    Attributes
    ----------
    images : int
        It is for so many images at most.
    configurations, networks : int
        Linear probes and networks with a hidden layer.
    mapped : int
        Rows of the map.
    """

    images: float
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]
    configurations: int
    networks: int
    hidden: tuple[tuple[int, ...], ...]
    baselines: tuple[str, ...]
    mapped: int


_ALL = ("majority", "logistic", "knn")
_BUDGETS = (
    Budget(3_000, 40, 32, (0, 1, 2), 40, 8, ((64,), (256,)), _ALL, 1_000),
    Budget(20_000, 25, 128, (0, 1, 2), 40, 8, ((64,), (256,)), _ALL, 2_000),
    Budget(float("inf"), 12, 256, (0, 1), 40, 8, ((64,), (256,)), ("majority", "logistic"), 2_000),
)
_QUICK = Budget(float("inf"), 8, 64, (0,), 8, 4, ((64,),), ("majority", "logistic"), 500)


def budget_for(images: int, quick: bool = False) -> Budget:
    """What is sensible for so many images: fewer passes over more of them."""
    return _QUICK if quick else next(budget for budget in _BUDGETS if images <= budget.images)


def source_of(images: str) -> dict[str, Any]:
    """Settings of the data source that `images` are: Parquet files, or class folders, as such or in an archive."""
    return {"source": "parquet" if images.rstrip("/").endswith(".parquet") else "folder", "path": images}


def write_starter(file: Path, images: str | None) -> Profile:
    """Write a commented profile to edit; it loads as it is. Without `images` it is of bundled photographs.

    Raises
    ------
    ConfigError
        When the file is there already.
    StorageError
        When it cannot be written.
    """
    if file.exists():
        raise ConfigError(f"{file} is there already; give another name, or remove it first")
    if not file.parent.is_dir():
        raise StorageError(f"{file.parent} is no folder; make it first, or give another place")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).lstrip("._-") or "mine"
    if images is None:
        comments = [
            "    # Your own images as <class>/*.jpg, or train/<class>/... and test/<class>/..., also a .tar or .zip of them:",
            "    # source: folder",
            "    # path: /path/to/images",
            *_lines(_BUNDLED),
        ]
        text = _filled(visible(file.name), name[:100], comments, budget_for(0), weights="random")
    else:
        path = images if "://" in images else str(from_home(images).absolute())
        text = _filled(visible(file.name), name[:100], _lines(source_of(path)), budget_for(0))
    profile = parse_profile(read_profile_text(text, "the starter's profile"))
    write_bytes(file, text.encode())
    return profile


def starter_profile(
    images: str,
    count: int,
    pixels: Sequence[int] | None,
    weights: Literal["imagenet", "random"] = "imagenet",
    weights_file: str | None = None,
    layer: str = LAYER,
    quick: bool = False,
) -> Profile:
    """The profile by which images are tried.

    Parameters
    ----------
    count : int
        How many images there are.
    pixels : sequence of int, optional
        Their shape, where all have one: small images are also tried as raw pixels.

    Raises
    ------
    ConfigError
        For settings that a profile cannot have.
    """
    size = 1
    for side in pixels or (_WIDEST_PIXELS + 1,):
        size *= side
    also_on = ["images"] if size <= _WIDEST_PIXELS and not quick else []
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(images.rstrip("/")).name).lstrip("._-") or "images"
    budget = budget_for(count, quick)
    text = _filled(
        "mine.yaml", name[:100], _lines(source_of(images)), budget, weights, weights_file, layer, also_on, count
    )
    return parse_profile(read_profile_text(text, "the starter's profile"))


def _filled(
    file: str,
    name: str,
    data: Sequence[str],
    budget: Budget,
    weights: str = "imagenet",
    weights_file: str | None = None,
    layer: str = LAYER,
    also_on: Sequence[str] = (),
    count: int | None = None,
) -> str:
    template = (resources.files("lib.profile") / "starter.yaml").read_text(encoding="utf-8")
    sample = budget.mapped if count is None else max(10, min(budget.mapped, count // 2))  # of training rows
    given = f"weights_file: {json.dumps(weights_file)}" if weights_file else "# weights_file: a file of your own"
    text = Template(template).substitute(
        file=file,
        name=json.dumps(name),
        data="\n".join(data),
        node=layer if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", layer) else "features",
        layer=json.dumps(layer),
        weights=weights,
        weights_file=given,
        seeds=list(budget.seeds),
        patience=max(3, budget.epochs // 4),
        baselines=f"[{', '.join(budget.baselines)}]",
        also_on=f"[{', '.join(also_on)}]",
        batch_size=budget.batch_size,
        epochs=budget.epochs,
        configurations=budget.configurations,
        networks=budget.networks,
        hidden=[list(each) for each in budget.hidden],
        sample=sample,
        perplexity=max(2, min(30, sample // 10)),
    )
    return re.sub(r"(?m)(\S) +# ", r"\1  # ", text)  # what is filled in has any width


def _lines(settings: Mapping[str, Any]) -> list[str]:
    return [f"    {name}: {json.dumps(value)}" for name, value in settings.items()]
