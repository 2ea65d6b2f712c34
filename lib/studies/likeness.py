"""The rows by which images are compared with one another: thumbnails of their pixels, or features, wide ones projected.

They are read a block at a time: of wide features there is never a copy in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lib.datasets.thumbnails import thumbnails
from lib.evaluation.projections import random_directions
from lib.studies.study import Input
from lib.studies.sweep.rows import Part, Source

NARROW = 1024
"""Of wider features distances are those of their random projections to so many."""
_VALUES_AT_ONCE = 1 << 24


def rows_to_compare(given: Input, parts: Sequence[Part]) -> npt.NDArray[np.float32]:
    """Some rows of an input in order, shape (n, width): thumbnails' pixels in [0, 1], or at most `NARROW` features.

    Raises
    ------
    DataError
        When an image cannot be read, or features are of other images.
    """
    if given.feature_set is None:
        return np.concatenate([thumbnails(given.dataset, split, rows) for split, rows in parts])
    source = Source(given, standardise=False)
    width, total = source.width, sum(len(rows) for _, rows in parts)
    directions = random_directions(width, NARROW) if width > NARROW else None
    found, place = np.empty((total, min(width, NARROW)), np.float32), 0
    for split, rows in parts:
        source.whole(split)
        for block in np.array_split(rows, -(-len(rows) * width // _VALUES_AT_ONCE)):
            X = np.empty((len(block), width), np.float32)
            source.fill(X, split, block)
            found[place : place + len(block)] = X if directions is None else X @ directions
            place += len(block)
    return found
