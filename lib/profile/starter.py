"""A newcomer's profile: images explored, their features extracted, small networks on these against baselines.

One commented YAML file makes both: `new` writes it for its user to edit, `try` fills it in by what the images are and runs it.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Literal

from lib.errors import ConfigError, StorageError, program
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
    """How much is tried."""

    images: float
    """It is for so many images at most."""
    epochs: int
    batch_size: int
    seeds: tuple[int, ...]
    configurations: int
    networks: int
    """Linear probes and networks with a hidden layer."""
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


def write_starter(
    file: Path,
    images: str | None,
    count: int | None = None,
    pixels: Sequence[int] | None = None,
    weights_file: str | None = None,
) -> Profile:
    """Write a commented profile to edit; it loads as it is. Without `images` it is of bundled photographs.

    Raises ConfigError when the file is there already; StorageError when it cannot be written.
    """
    if file.exists():
        raise ConfigError(f"{file} is there already; give another name, or remove it first")
    if not file.parent.is_dir():
        raise StorageError(f"{file.parent} is no folder; make it first, or give another place")
    if images is None:
        text = starter_text(
            file, file.stem, None, count, pixels, "imagenet" if weights_file else "random", weights_file
        )
    else:
        path = images if "://" in images else str(from_home(images).absolute())
        text = starter_text(file, file.stem, path, count, pixels, weights_file=weights_file)
    profile = profile_of(text)
    write_bytes(file, text.encode())
    return profile


def profile_name(name: str) -> str:
    """A file's or folder's name as far as a profile can have it."""
    return (re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "mine")[:100]


def profile_of(text: str) -> Profile:
    """The profile that a starter's text is. Raises ConfigError for settings that a profile cannot have."""
    return parse_profile(read_profile_text(text, "the starter's profile"))


def starter_text(
    file: Path,
    name: str,
    images: str | None,
    count: int | None,
    pixels: Sequence[int] | None,
    weights: Literal["imagenet", "random"] = "imagenet",
    weights_file: str | None = None,
    layer: str = LAYER,
    quick: bool = False,
) -> str:
    """The YAML of the profile by which images are tried, and which a user starts from.

    `file` is where it will lie, as its comments have it. Without `images` these are bundled photographs; `count` of them
    may not be known, and `pixels` is their shape, where all have one: small images are also tried as raw pixels.
    """
    size = math.prod(pixels or (_WIDEST_PIXELS + 1,))
    budget = budget_for(count or 0, quick)
    sample = budget.mapped if count is None else max(10, min(budget.mapped, count // 2))  # of training rows
    if images is None:
        data = [
            "    # Your own images as <class>/*.jpg, or train/<class>/... and test/<class>/..., also a .tar or .zip of them:",
            "    # source: folder",
            "    # path: /path/to/images",
            *_lines(_BUNDLED),
        ]
    else:
        data = _lines(source_of(images))
    text = Template((resources.files("lib.profile") / "starter.yaml").read_text(encoding="utf-8")).substitute(
        program=visible(program()),
        file=visible(shlex.quote(str(file))),
        name=json.dumps(profile_name(name)),
        data="\n".join(data),
        node=layer if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", layer) else "features",
        layer=json.dumps(layer),
        weights=weights,
        weights_file=f"weights_file: {json.dumps(weights_file)}"
        if weights_file
        else "# weights_file: a file of your own",
        seeds=list(budget.seeds),
        patience=max(3, budget.epochs // 4),
        baselines=f"[{', '.join(budget.baselines)}]",
        also_on="[images]" if size <= _WIDEST_PIXELS and not quick else "[]",
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
