"""CIFAR-10 through torchvision, any two or more of its classes.

The original archive holds pickles; it is unpacked only after its md5 has matched, and parsed once into our own .npz.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.download import RemoteFile, fetch
from lib.datasets.sources import CIFAR10_CLASSES, Cifar10
from lib.errors import ConfigError
from lib.files import atomic_path


def load(source: Cifar10, raw: Path, mirror: str | None) -> Dataset:
    """5,000 training and 1,000 test images of 32x32x3 for each class, labelled in the order the classes were given.

    Raises
    ------
    ConfigError
        For an unknown class or one given twice.
    """
    unknown = [name for name in source.classes if name not in CIFAR10_CLASSES]
    if unknown:
        raise ConfigError(f"CIFAR-10 has no class {unknown[0]!r}; it has: {', '.join(CIFAR10_CLASSES)}")
    if len(set(source.classes)) != len(source.classes):
        raise ConfigError(f"classes {', '.join(source.classes)} name one class twice")
    arrays = _arrays(raw / "cifar10", mirror)
    wanted = [CIFAR10_CLASSES.index(name) for name in source.classes]
    splits = {}
    for split in ("train", "test"):
        labels = arrays[f"{split}_labels"]
        rows = np.flatnonzero(np.isin(labels, wanted))
        renumbered = np.array([wanted.index(label) for label in labels[rows]], np.int64)
        splits[split] = Split(arrays[f"{split}_images"][rows], renumbered)
    return build("cifar10", source.classes, splits, "CIFAR-10 (Krizhevsky 2009), torchvision's archive by its md5")


def _arrays(folder: Path, mirror: str | None) -> dict[str, np.ndarray]:
    from torchvision.datasets import CIFAR10

    parsed = folder / f"cifar10-{CIFAR10.tgz_md5[:8]}.npz"
    if not parsed.exists():
        archive = RemoteFile(f"cifar10/{CIFAR10.filename}", [CIFAR10.url], "md5", CIFAR10.tgz_md5)
        fetch(archive, folder / CIFAR10.filename, mirror)
        content = {}
        for split in ("train", "test"):
            data = CIFAR10(str(folder), train=split == "train", download=True)  # finds and checks the fetched archive
            content[f"{split}_images"] = data.data
            content[f"{split}_labels"] = np.array(data.targets, np.int64)
        with atomic_path(parsed) as temporary, temporary.open("wb") as handle:
            np.savez(handle, **content)
        shutil.rmtree(folder / CIFAR10.base_folder)  # the pickles are not needed again
    with np.load(parsed, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
