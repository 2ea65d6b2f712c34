"""Where a network's weights come from, and the digest that names them in every feature set.

Apart from the network, so that a run with nothing to compute need not import PyTorch.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lib.backbones.config import NetworkSettings
from lib.backbones.registry import find_backbone
from lib.datasets.download import NOWHERE, RemoteFile, fetch
from lib.errors import DataError, WeightsError
from lib.files import digest_file, write_json


def weights_path(settings: NetworkSettings, cache: Path, mirror: str | None) -> Path:
    """The file of ImageNet weights: the user's, or torchvision's, fetched once and checked by the digest in its name.

    Raises
    ------
    WeightsError
        When there is no such file, it cannot be fetched, or it is damaged.
    """
    if settings.weights_file:
        path = Path(settings.weights_file).expanduser()
        if not path.is_file():
            raise WeightsError(f"weights_file {settings.weights_file!r} not found; check the path")
        return path
    weights = settings.entry.weights
    assert weights is not None, "settings without known weights name a file"
    target = cache / weights.name
    try:
        fetch(RemoteFile(f"weights/{weights.name}", [weights.url]), target, mirror)
    except DataError as problem:
        raise WeightsError(
            f"no ImageNet weights: {problem}; or set weights_file to a file of your own, or weights to random, in the "
            "profile's features"
        ) from None
    if not digest_file(target).startswith(weights.sha256_prefix):
        target.unlink()
        raise WeightsError(
            f"weights {weights.name} are damaged: their sha256 does not start with {weights.sha256_prefix}; "
            "fetch them again"
        )
    return target


def weights_digest(settings: NetworkSettings, cache: Path, mirror: str | None) -> str:
    """SHA-256 that names the weights: of the file, or of random weights' values (drawn once, then remembered).

    Raises
    ------
    WeightsError
        When ImageNet weights cannot be had.
    """
    if settings.weights == "imagenet":
        return digest_file(weights_path(settings, cache, mirror))
    drawn_by = f"torch-{version('torch')}-torchvision-{version('torchvision')}"
    remembered = cache / f"random-{settings.backbone}-{settings.seed}-{drawn_by}.json"
    try:
        return str(json.loads(remembered.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError):
        pass
    digest = random_digest(settings.backbone, settings.seed)
    if mirror != NOWHERE:  # who only plans leaves nothing behind
        write_json(remembered, {"sha256": digest})
    return digest


@cache
def random_digest(backbone: str, seed: int) -> str:
    """SHA-256 of the random weights that this version of torch and torchvision draw with a seed."""
    from lib.backbones.random_weights import random_network

    digest = hashlib.sha256()
    for name, tensor in sorted(random_network(find_backbone(backbone), seed).state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
