"""The configurations of an arm as points of the settings that vary in it: what its figures and importances are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lib.evaluation.search_figures import finished
from lib.mlp.training import TrialResult
from lib.search.search import Search, objective
from lib.search.space import Dimension
from lib.search.variant import Variant


class Configured(Protocol):
    """A trained configuration of an arm."""

    @property
    def arm(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def results(self) -> Sequence[TrialResult]: ...
    @property
    def flags(self) -> Sequence[str | None]: ...
    @property
    def ended(self) -> str: ...


@dataclass(frozen=True)
class Tried:
    """What an arm tried.

    Attributes
    ----------
    way : str
        "grid", or the sampler of the search.
    dimensions : tuple of Dimension
        Settings that vary.
    rows : list of mapping
        One a configuration in the order tried: `number` (from 1), `label`, a value for each dimension, `objective` (mean
        over seeds of the best validation loss, None when it diverged) and `ended`.
    """

    way: str
    dimensions: tuple[Dimension, ...]
    rows: list[dict[str, Any]]

    @property
    def finished(self) -> list[Mapping[str, Any]]:
        """The rows whose objectives compare: neither diverged nor halved."""
        return finished(self.rows)

    @property
    def lowest(self) -> Mapping[str, Any] | None:
        """The row of lowest objective; None when none finished."""
        return min(self.finished, key=lambda row: float(row["objective"]), default=None)


def tried(arm: Variant, search: Search, configurations: Sequence[Configured]) -> Tried:
    """What one arm tried, from its search and its `configurations` in the order asked for."""
    points, dimensions = search.points(), search.dimensions
    way = "grid" if arm.search is None else arm.search.sampler
    rows = []
    for number, (point, each) in enumerate(zip(points, configurations, strict=True), start=1):
        value = objective(each.results)
        shown = value if math.isfinite(value) else None
        rows.append({"number": number, "label": each.label, **point, "objective": shown, "ended": each.ended})
    return Tried(way, tuple(each for each in dimensions if each.size > 1), rows)
