"""What a search is to the loop that asks it for configurations, trains them, and tells it what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from lib.mlp.course import Course
from lib.search.space import Dimension, Point, shown
from lib.search.variant import Variant
from lib.storage.copies import fetch_file


class Search(Protocol):
    """Proposes configurations, round by round; its `dimensions` are what varies."""

    @property
    def dimensions(self) -> tuple[Dimension, ...]: ...

    def ask(self) -> list[dict[str, Any]]:
        """Trial settings of the next round's configurations; none when the search is over."""

    def tell(self, results: Sequence[Sequence[Course]]) -> None:
        """What came of the round asked for last: each configuration's results, one a seed."""

    def points(self) -> list[Point]:
        """Where in the dimensions each configuration lies, in the order asked for."""


def open_search(variant: Variant, folder: Path, name: str) -> Search:
    """The search of the variant `name`; its journal, if it needs one, lies in `folder` as `search-<name>.log`."""
    if variant.search is None:
        return GridSearch(variant)
    from lib.search.optuna_search import OptunaSearch  # Optuna takes a second to import, and a grid needs none

    journal = folder / f"search-{name}.log"
    fetch_file(journal)
    return OptunaSearch(variant.search, journal, name)


class GridSearch:
    """Every combination of a variant's grid, in one round; `dimensions` have numbers and shapes rising, words as given."""

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
