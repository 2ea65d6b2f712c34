"""Holding out rows: stratified by class, whole groups together, the same rows for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lib.datasets.dataset import Digests, Images, Split
from lib.errors import DataError

Rows = npt.NDArray[np.int64]


class Subset:
    """Some images of another sequence, decoded on access."""

    def __init__(self, images: Images, rows: Rows) -> None:
        self._images = images
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        return self._images[int(self._rows[index])]


def hold_out_rows(
    labels: npt.NDArray[np.int64], fraction: float, seed: int, groups: Sequence[object] | Rows | Digests | None = None
) -> tuple[Rows, Rows]:
    """Rows kept and rows held out, both sorted, about `fraction` of each class held out.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
    groups : sequence of n hashable values, optional
        Rows of one group stay together.

    Raises
    ------
    DataError
        When a class has too few groups to leave one on each side.
    """
    rng = np.random.default_rng(seed)
    names = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    chosen = np.zeros(names.max(initial=-1) + 1, bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        of_class = rng.permutation(np.unique(names[members]))
        if len(of_class) < 2:
            raise DataError(
                f"class {label} has too few images or groups ({len(of_class)}) to hold some out; add images"
            )
        wanted = fraction * len(members)
        sizes = np.cumsum(np.bincount(names[members], minlength=len(chosen))[of_class])
        count = int(np.clip(1 + np.argmin(np.abs(sizes - wanted)), 1, len(of_class) - 1))
        chosen[of_class[:count]] = True
    held = chosen[names]
    return np.flatnonzero(~held), np.flatnonzero(held)


def take(split: Split, rows: Rows) -> Split:
    """Some rows of a split."""
    if isinstance(split.images, np.ndarray):
        images: Images = split.images[rows]
    elif hasattr(split.images, "take"):
        images = split.images.take(rows)
    else:
        images = Subset(split.images, rows)
    return Split(images, split.labels[rows], None if split.groups is None else split.groups[rows])


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """The split without its held-out rows, and those; groups, if it has them, stay whole."""
    kept, held = hold_out_rows(split.labels, fraction, seed, split.groups)
    return take(split, kept), take(split, held)
