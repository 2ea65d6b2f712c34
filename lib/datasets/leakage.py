"""No test image may be a training image: checked by the content of the decoded pixels, not by file name."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from lib.datasets.dataset import Dataset
from lib.errors import LeakageError

_logger = logging.getLogger(__name__)

NATURAL_LIMIT = 0.5
"""Of tiny binary bitmaps, up to this share may coincide by nature; above it the split is no split."""


def shared_images(dataset: Dataset, split: str) -> list[int]:
    digests, train = dataset.digests(split), np.sort(dataset.digests("train"))
    if not len(train):
        return []
    nearest = np.minimum(np.searchsorted(train, digests), len(train) - 1)
    return [int(index) for index in np.flatnonzero(train[nearest] == digests)]


def require_no_leakage(dataset: Dataset) -> None:
    """Refuse a dataset whose test or validation images are training images.

    Binary bitmaps (`dataset.maximum` 1, such as 8x16 letters) coincide by nature: those are only warned of,
    unless more than half are shared.

    Raises LeakageError naming the split, the count, and an example.
    """
    for split, shared in _shared(dataset):
        total = len(dataset.splits[split])
        share = len(shared) / total
        what = f"{len(shared):,} of {total:,} {split} images of {dataset.name!r} ({share:.1%}) are also training images"
        if dataset.maximum == 1 and share <= NATURAL_LIMIT:
            _logger.warning("%s: natural for bitmaps this small, but they flatter the %s figures", what, split)
            continue
        raise LeakageError(
            f"{what}, e.g. number {shared[0]}: {split} figures would mean nothing; remove the copies from one side"
        )


def leakage_warnings(dataset: Dataset) -> tuple[str, ...]:
    """What `require_no_leakage` tolerates, in words for the reader of results."""
    return tuple(
        f"{len(shared):,} of {len(dataset.splits[split]):,} {split} bitmaps also occur in training (by coincidence)"
        for split, shared in _shared(dataset)
    )


def _shared(dataset: Dataset) -> Iterator[tuple[str, list[int]]]:
    for split in ("test", "validation"):
        if split in dataset.splits and (shared := shared_images(dataset, split)):
            yield split, shared
