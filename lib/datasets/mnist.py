"""MNIST through torchvision: its four files fetched and checked by us (mirror, resume), parsed by torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.download import RemoteFile, fetch
from lib.datasets.sources import Mnist


def load(source: Mnist, raw: Path, mirror: str | None) -> Dataset:
    """60,000 training and 10,000 test images of 28x28."""
    from torchvision.datasets import MNIST

    for name, md5 in MNIST.resources:
        urls = [f"{base}{name}" for base in MNIST.mirrors]
        fetch(RemoteFile(f"mnist/{name}", urls, "md5", md5), raw / "mnist" / "MNIST" / "raw" / name, mirror)
    splits = {}
    for split in ("train", "test"):
        # download=True finds the files we fetched, checks them again and unpacks; it asks no network.
        parsed = MNIST(str(raw / "mnist"), train=split == "train", download=True)
        splits[split] = Split(parsed.data.numpy(), parsed.targets.numpy().astype(np.int64))
    names = [str(digit) for digit in range(10)]
    return build("mnist", names, splits, "MNIST (LeCun, Cortes and Burges), torchvision's files by their md5")
