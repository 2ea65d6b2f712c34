"""A network's weights and the digest that names them in feature sets; apart, so that planning needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from lib.addresses import without_credentials
from lib.backbones.config import NetworkSettings
from lib.backbones.registry import find_backbone
from lib.datasets.copies import is_offline, offline, online
from lib.datasets.download import RemoteFile, fetch, why_not
from lib.errors import DataError, WeightsError
from lib.files import digest_file, digest_json, write_json
from lib.machine import from_home
from lib.storage.copies import shown


def weights_path(settings: NetworkSettings, cache: Path, mirror: str | None) -> Path:
    """ImageNet weights: the user's file, or torchvision's, checked by its digest. Raises WeightsError when not to be had."""
    if settings.weights_file:
        return own_weights(settings.weights_file)
    try:
        return fetch(_file(settings), cache, mirror)
    except DataError as problem:
        raise WeightsError(
            f"no ImageNet weights: {problem}; or set weights_file to a file of your own, or weights to random, in the "
            "profile's features"
        ) from None


def _file(settings: NetworkSettings) -> RemoteFile:
    weights = settings.entry.weights
    assert weights is not None, "settings without known weights name a file"
    return RemoteFile(f"weights/{weights.name}", [weights.url], digest=weights.sha256_prefix)


def have_weights(settings: NetworkSettings, cache: Path, mirror: str | None) -> tuple[bool, str]:
    """Whether ImageNet weights can be had, and where, or what to do; nothing is fetched. Raises WeightsError for own ones."""
    try:
        return True, shown(weights_path(settings, cache, offline(mirror)))
    except WeightsError:
        if settings.weights_file:
            raise
    if (problem := why_not(_file(settings), mirror)) is None:
        return True, f"not here yet: {download_words(settings, mirror)} when a run needs them"
    return False, (
        f"not here, and cannot be had ({problem}): set PROBEFLOW_MIRROR to a place that holds {_file(settings).name}, or name a "
        "file of your own (--weights-file PATH, weights_file in a profile), or take weights: random"
    )


def download_words(settings: NetworkSettings, mirror: str | None) -> str:
    """What a run fetches where the weights are not here, such as "ImageNet weights (233 MB) are downloaded"."""
    weights = settings.entry.weights
    assert weights is not None, "settings without known weights name a file"
    from_where = "" if online(mirror) is None else f" from {without_credentials(str(online(mirror)))}"
    return f"ImageNet weights ({weights.megabytes} MB) are downloaded{from_where}"


def own_weights(given: str) -> Path:
    """The user's own file of weights. Raises WeightsError when it is none."""
    path = from_home(given)
    if not path.is_file():
        what = "is a folder; give a file" if path.is_dir() else "not found; check the path"
        raise WeightsError(f"weights_file {given!r} {what}")
    return path


def weights_digest(settings: NetworkSettings, cache: Path, mirror: str | None) -> str:
    """SHA-256 that names the weights: of the file, or of random weights' values.

    Those of known networks are drawn once, then remembered; a network of the user's own may be another one by then.

    Raises WeightsError when ImageNet weights cannot be had.
    """
    if settings.weights == "imagenet":
        return digest_file(weights_path(settings, cache, mirror))
    drawn_by = f"torch-{version('torch')}-torchvision-{version('torchvision')}"
    remembered = cache / f"random-{settings.backbone}-{settings.seed}-{drawn_by}.json"
    known = settings.entry.weights is not None
    try:
        content = json.loads(remembered.read_text(encoding="utf-8"))
        if known and content == _remembered(remembered, content["sha256"]):
            return str(content["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digest = random_digest(settings.backbone, settings.seed)
    if known and not is_offline(mirror):  # who only plans leaves nothing behind
        write_json(remembered, _remembered(remembered, digest))
    return digest


def _remembered(path: Path, digest: str) -> dict[str, str]:
    """What a file remembers, with what shows that it is whole and this one."""
    return {"sha256": digest, "whole": digest_json([path.name, digest])}


@cache
def random_digest(backbone: str, seed: int) -> str:
    """SHA-256 of the random weights that this version of torch and torchvision draw with a seed."""
    from lib.backbones.random_weights import random_network

    digest = hashlib.sha256()
    for name, tensor in sorted(random_network(find_backbone(backbone), seed).state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
