"""Where AlexNet's weights come from, and the digest that names them in every feature set.

Apart from the network, so that a run with nothing to compute need not import PyTorch.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lib.datasets.download import NOWHERE, RemoteFile, fetch
from lib.errors import DataError, WeightsError
from lib.features.config import FeatureSettings
from lib.files import digest_file, write_json


def weights_path(settings: FeatureSettings, cache: Path, mirror: str | None) -> Path:
    """The file of ImageNet weights: the user's, or torchvision's, fetched once and checked by the digest in its name."""
    if settings.weights_file:
        path = Path(settings.weights_file).expanduser()
        if not path.is_file():
            raise WeightsError(f"weights_file {settings.weights_file!r} not found; check the path")
        return path
    from torchvision.models import AlexNet_Weights

    url = str(AlexNet_Weights.IMAGENET1K_V1.url)
    name = url.rsplit("/", 1)[1]
    target = cache / name
    try:
        fetch(RemoteFile(f"weights/{name}", [url]), target, mirror)
    except DataError as problem:
        raise WeightsError(
            f"no ImageNet weights: {problem}; or give features.weights_file=PATH, or features.weights=random"
        ) from None
    prefix = name.rsplit("-", 1)[1].removesuffix(".pth")
    if not digest_file(target).startswith(prefix):
        target.unlink()
        raise WeightsError(f"weights {name} are damaged: their sha256 does not start with {prefix}; fetch them again")
    return target


def weights_digest(settings: FeatureSettings, cache: Path, mirror: str | None) -> str:
    """SHA-256 that names the weights: of the file, or of random weights' values (drawn once, then remembered)."""
    if settings.weights == "imagenet":
        return digest_file(weights_path(settings, cache, mirror))
    remembered = cache / f"random-{settings.seed}-torch-{version('torch')}.json"
    try:
        return str(json.loads(remembered.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError):
        pass
    digest = random_digest(settings.seed)
    if mirror != NOWHERE:  # who only plans leaves nothing behind
        write_json(remembered, {"sha256": digest})
    return digest


@cache
def random_digest(seed: int) -> str:
    """SHA-256 of the random weights that this version of torch draws with a seed."""
    from lib.features.alexnet import random_alexnet

    digest = hashlib.sha256()
    for name, tensor in sorted(random_alexnet(seed).state_dict().items()):
        digest.update(name.encode())
        digest.update(memoryview(tensor.numpy()).cast("B"))
    return digest.hexdigest()
