"""MNIST: its four files, each compared with its published md5 at every use and read as they are, still packed."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.download import RemoteFile, fetch
from lib.datasets.sources import Mnist

_ADDRESSES = (Mnist.published, "http://yann.lecun.com/exdb/mnist/")
_FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
}
"""Names and md5s of the images and the labels of each split, as torchvision publishes them."""


def load(source: Mnist, raw: Path, mirror: str | None) -> Dataset:
    """60,000 training and 10,000 test images of 28x28."""
    folder = raw / "mnist" / "MNIST" / "raw"
    paths = {
        split: [
            fetch(RemoteFile(f"mnist/{name}", [f"{base}{name}" for base in _ADDRESSES], "md5", md5), folder, mirror)
            for name, md5 in files.items()
        ]
        for split, files in _FILES.items()
    }
    splits = {split: Split(_read(images), _read(labels).astype(np.int64)) for split, (images, labels) in paths.items()}
    names = [str(digit) for digit in range(10)]
    return build("mnist", names, splits, "MNIST (LeCun, Cortes and Burges), its four files by their md5")


def _read(path: Path) -> npt.NDArray[np.uint8]:
    """The array of an IDX file of bytes: two zeros, a code of the type, the rank, each dimension, then the values."""
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()
