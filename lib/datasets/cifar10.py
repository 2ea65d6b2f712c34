"""CIFAR-10, any of its classes. Its archive holds pickles, read only once its md5 has matched, into our own .npz."""

from __future__ import annotations

import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lib.datasets.copies import Stamp, is_offline, keep
from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.download import RemoteFile, fetch
from lib.datasets.sources import CIFAR10_CLASSES, Cifar10
from lib.errors import ConfigError, DataError

_ARCHIVE = RemoteFile(
    "cifar10/cifar-10-python.tar.gz",
    [Cifar10.published],
    "md5",
    "c58f30108f718f92721af3b95e74349a",
)
_FOLDER = "cifar-10-batches-py"
_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_TAKEN = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def load(source: Cifar10, raw: Path, mirror: str | None) -> Dataset:
    """5,000 training, 1,000 test images (32, 32, 3) a class, in the order given. Raises ConfigError for unknown ones."""
    unknown = [name for name in source.classes if name not in CIFAR10_CLASSES]
    if unknown:
        raise ConfigError(f"CIFAR-10 has no class {unknown[0]!r}; it has: {', '.join(CIFAR10_CLASSES)}")
    folder = raw / "cifar10"
    kept = keep(folder / f"cifar10-{str(_ARCHIVE.digest)[:8]}.npz", _Unpickled(folder, mirror), is_offline(mirror))
    with np.load(kept, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    wanted = [CIFAR10_CLASSES.index(name) for name in source.classes]
    splits = {}
    for split in ("train", "test"):
        labels = arrays[f"{split}_labels"]
        rows = np.flatnonzero(np.isin(labels, wanted))
        renumbered = np.array([wanted.index(label) for label in labels[rows]], np.int64)
        splits[split] = Split(arrays[f"{split}_images"][rows], renumbered)
    return build("cifar10", source.classes, splits, "CIFAR-10 (Krizhevsky 2009), its archive by its md5")


@dataclass(frozen=True)
class _Unpickled:
    """The arrays of the archive as an .npz file, which is kept as a copy of it."""

    folder: Path
    mirror: str | None
    shown = "the arrays of CIFAR-10's archive"
    is_near = True

    def stamp(self) -> Stamp:
        return {"md5": str(_ARCHIVE.digest)}

    def copy(self, target: Path) -> None:
        archive = fetch(_ARCHIVE, self.folder, self.mirror)
        content: dict[str, Any] = {}
        with tarfile.open(archive) as tar:
            for split, names in _BATCHES.items():
                # They are there, for the archive's md5 has matched.
                members = [tar.extractfile(f"{_FOLDER}/{name}") for name in names]
                batches = [_Batch(member, encoding="latin1").load() for member in members if member is not None]
                pixels = np.concatenate([batch["data"] for batch in batches])
                content[f"{split}_images"] = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                content[f"{split}_labels"] = np.concatenate([np.array(batch["labels"], np.int64) for batch in batches])
        with target.open("wb") as handle:
            np.savez(handle, **content)


class _Batch(pickle.Unpickler):
    """Takes arrays and plain values, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.replace("numpy._core", "numpy.core"), name) not in _TAKEN:
            raise DataError(f"CIFAR-10's archive holds {module}.{name}, which is not taken; fetch the original")
        return super().find_class(module, name)
