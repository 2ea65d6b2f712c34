"""A real two-class texture task from scikit-learn's two bundled photographs, with mean colour made uninformative.

Each photograph is cut into blocks; whole blocks go to train or test, and patches never cross a block, so no test
patch shares a pixel with a training patch. Every patch gets a random mean colour, drawn alike for both classes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.sources import PhotoPatches
from lib.errors import ConfigError

CLASSES = {"temple": "china.jpg", "flower": "flower.jpg"}
_LIGHTEST_TINT, _DARKEST_TINT = 160, 96


def load(source: PhotoPatches, raw: Path, mirror: str | None) -> Dataset:
    """Cut, deal and tint the patches. Raises ConfigError when a patch does not fit the block, or too few blocks fit."""
    return _cut(source)


@lru_cache(maxsize=2)  # each node of a run asks for it
def _cut(source: PhotoPatches) -> Dataset:
    from sklearn.datasets import load_sample_image

    if source.patch > source.block:
        raise ConfigError(
            f"photo-patches: patch {source.patch} is larger than block {source.block}; make the block larger"
        )
    rng = np.random.default_rng(source.seed)
    parts: dict[str, list[tuple[npt.NDArray[np.uint8], int, int]]] = {"train": [], "test": []}
    for label, photograph in enumerate(CLASSES.values()):
        image = load_sample_image(photograph).astype(np.float64)
        corners = block_corners(image.shape[0], image.shape[1], source.block)
        held = round(len(corners) * source.test_fraction)
        if not 0 < held < len(corners):
            raise ConfigError(
                f"photo-patches: test_fraction {source.test_fraction} of {len(corners)} blocks leaves a side empty; "
                "use smaller blocks or another fraction"
            )
        test_blocks = set(rng.choice(len(corners), held, replace=False).tolist())
        for number, (top, left) in enumerate(corners):
            side = "test" if number in test_blocks else "train"
            for y, x in patch_offsets(source):
                patch = image[top + y : top + y + source.patch, left + x : left + x + source.patch]
                parts[side].append((_tinted(patch, rng), label, label * len(corners) + number))
    splits = {name: _split(rows) for name, rows in parts.items()}
    origin = "patches of scikit-learn's bundled photographs china.jpg and flower.jpg, mean colour randomised"
    return build("photo-patches", list(CLASSES), splits, origin)


def block_corners(height: int, width: int, block: int) -> list[tuple[int, int]]:
    return [(y, x) for y in range(0, height - block + 1, block) for x in range(0, width - block + 1, block)]


def patch_offsets(source: PhotoPatches) -> list[tuple[int, int]]:
    steps = range(0, source.block - source.patch + 1, source.stride)
    return [(y, x) for y in steps for x in steps]


def _tinted(patch: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The patch's deviations from its mean colour, around a random colour; scaled to fit, so that nothing is clipped."""
    deviation = patch - patch.mean(axis=(0, 1))
    tint = rng.uniform(_DARKEST_TINT, _LIGHTEST_TINT, 3)
    room = np.minimum(tint, 255 - tint).min()
    tinted: npt.NDArray[np.uint8] = np.rint(tint + deviation * (room / max(np.abs(deviation).max(), 1.0))).astype(
        np.uint8
    )
    return tinted


def _split(rows: list[tuple[npt.NDArray[np.uint8], int, int]]) -> Split:
    images, labels, groups = zip(*rows, strict=True)
    return Split(np.stack(images), np.array(labels, np.int64), np.array(groups, np.int64))
