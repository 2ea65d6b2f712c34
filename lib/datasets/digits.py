"""scikit-learn's bundled handwritten digits: 1,797 images of 8x8, values 0 to 16."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from lib.datasets.dataset import Dataset, Split, build, hold_out
from lib.datasets.sources import Digits

_SEED = 0


def load(source: Digits, raw: Path, mirror: str | None) -> Dataset:
    return _loaded(source)


@lru_cache(maxsize=2)  # each node of a run asks for it
def _loaded(source: Digits) -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    train, test = hold_out(Split(images, bunch.target.astype(np.int64)), source.test_fraction, _SEED)
    names = [str(digit) for digit in range(10)]
    origin = "scikit-learn's bundled digits (8x8, UCI optical recognition of handwritten digits)"
    return build("digits", names, {"train": train, "test": test}, origin, maximum=16)
