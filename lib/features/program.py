"""A network as a program over blocks of images: what those who extract need of it, whichever device computes.

A block is a range of rows, always the same ones, so that a set's content does not depend on who makes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lib.features.resize import Pixels

Array = npt.NDArray[np.floating]


class Rows(Protocol):
    """The images that are to go through the network; used from several threads at once."""

    def parts(self, block: range, most: int) -> list[range]:
        """The rows of a block in parts that are read at once, of at most `most` images."""

    def read(self, part: range) -> Pixels:
        """The images of a part, none larger than what `FeatureSettings.shrink` makes of it."""


class Program(Protocol):
    """The network on its device."""

    device_name: str
    batch_size: int

    def features(self, rows: Rows, blocks: Iterable[range]) -> Iterator[Array]:
        """The features (rows of the block, width) of each block, in order; later blocks are under way meanwhile."""
