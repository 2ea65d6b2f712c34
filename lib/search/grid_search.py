"""Every combination of a grid, in one round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.mlp.course import Course
from lib.search.space import Dimension, Point, shown
from lib.search.variant import Variant


class GridSearch:
    """The configurations of a variant with a grid.

    Attributes
    ----------
    dimensions : tuple of Dimension
        The grid's settings; numbers and shapes rising, words as they were given.
    """

    def __init__(self, variant: Variant) -> None:
        self._all = self._left = variant.combinations()
        self.dimensions = tuple(Dimension(name, _choices(values)) for name, values in variant.grid.items())

    def ask(self) -> list[dict[str, Any]]:
        asked, self._left = self._left, []
        return asked

    def tell(self, results: Sequence[Sequence[Course]]) -> None:
        """Nothing depends on it."""

    def points(self) -> list[Point]:
        return [{name: shown(value) for name, value in setting.items()} for setting in self._all]


def _choices(values: Sequence[Any]) -> tuple[Any, ...]:
    rising = values if any(isinstance(value, str) for value in values) else sorted(values)
    return tuple(map(shown, rising))
