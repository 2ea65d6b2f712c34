"""Small image folders for tests: noise, one folder a class."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_images(root: Path, classes: Iterable[str], count: int) -> Path:
    """Write `count` PNG files a class as `root/<class>/<number>.png`; returns `root`."""
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def encoded_noise(seed: int, count: int) -> list[bytes]:
    """`count` PNG files of noise, 8x8 pixels."""
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(count):
        content = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(content, "PNG")
        files.append(content.getvalue())
    return files
