"""The configurations of an arm as points of the settings that vary in it: what its figures and importances are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lib.config import Arm
from lib.evaluation.search_figures import finished
from lib.mlp.training import TrialResult
from lib.mlp.trial import Trial
from lib.studies.labels import width
from lib.studies.search import Search, objective
from lib.studies.space import Dimension, Point, Value


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


def tried(arm: Arm, search: Search, configurations: Sequence[Configured]) -> Tried:
    """What one arm tried, from its search and its `configurations` in the order asked for."""
    if arm.search is None:
        trials = [each.results[0].trial for each in configurations]
        points: list[Point] = [{name: _shown(name, trial) for name in arm.varied} for trial in trials]
        dimensions = tuple(Dimension(name, _choices(name, trials)) for name in arm.varied)
        way = "grid"
    else:
        from lib.studies.optuna_search import OptunaSearch

        assert isinstance(search, OptunaSearch)
        points, dimensions, way = search.points(), search.dimensions, arm.search.sampler
    rows = []
    for number, (point, each) in enumerate(zip(points, configurations, strict=True), start=1):
        value = objective(each.results)
        shown = value if math.isfinite(value) else None
        rows.append({"number": number, "label": each.label, **point, "objective": shown, "ended": each.ended})
    return Tried(way, tuple(each for each in dimensions if each.size > 1), rows)


def _shown(name: str, trial: Trial) -> Value:
    """A trial's setting as a dimension has it: hidden layers in words."""
    value: Value = width(trial.hidden) if name == "hidden" else getattr(trial, name)
    return value


def _choices(name: str, trials: Sequence[Trial]) -> tuple[Value, ...]:
    """A setting's different values, numbers and hidden layers rising, words as they came."""
    different = {getattr(trial, name): _shown(name, trial) for trial in trials}
    if any(isinstance(value, str) for value in different):
        return tuple(different.values())
    return tuple(different[value] for value in sorted(different))
