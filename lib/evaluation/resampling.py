"""What a bootstrap over test rows draws, within each class: rows, or whole groups of rows that are not independent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """What is drawn as one.

    Attributes
    ----------
    of_row : ndarray of int64, shape (n,)
        The unit that a row belongs to.
    classes : ndarray of int64, shape (units,)
        The class of a unit's rows; of a group that holds several classes, each class's rows are a unit.
    """

    of_row: Labels
    classes: Labels

    @classmethod
    def of(cls, labels: Labels, groups: Labels | None) -> Units:
        """Rows of one group and class are a unit; without `groups`, shape (n,), every row is."""
        if groups is None:
            return cls(np.arange(len(labels)), labels)
        pairs, of_row = np.unique(np.stack([labels, groups]), axis=1, return_inverse=True)
        return cls(of_row.ravel(), pairs[0])

    def members(self) -> list[Labels]:
        """The units of each class that has rows."""
        return [np.flatnonzero(self.classes == label) for label in np.unique(self.classes)]


def resamples(units: Units, count: int, seed: int, at_once: int) -> Iterator[npt.NDArray[np.float64]]:
    """How often each row is drawn, (k, n), k at most `at_once`, `count` in all; each class's units among themselves."""
    rng = np.random.default_rng(seed)
    total, members = len(units.classes), units.members()
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        drawn = (
            np.concatenate([own[rng.integers(len(own), size=(size, len(own)))] for own in members], axis=1)
            + np.arange(size)[:, None] * total
        )
        times = np.bincount(drawn.ravel(), minlength=size * total).reshape(size, total)
        yield times[:, units.of_row].astype(np.float64)
