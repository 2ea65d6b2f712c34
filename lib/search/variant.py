"""A variant: trials around a base, of a grid of values or of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from lib.mlp.trial import Trial
from lib.search.grid import Grid, combinations, require_different_networks
from lib.search.space import Space
from lib.validation import Frozen


class SearchSettings(Frozen):
    """A search in place of a grid: which configurations are trained is drawn at random or proposed by Optuna."""

    sampler: Literal["random", "tpe"] = Field(
        "tpe", description="random: all drawn ahead. tpe: Optuna's TPESampler, which learns from the rounds before."
    )
    configurations: PositiveInt = Field(description="How many configurations are trained, each with every seed.")
    round_size: PositiveInt = Field(
        8, description="tpe: configurations proposed and trained together; fewer learn more often, more train faster."
    )
    startup: PositiveInt = Field(10, description="tpe: configurations drawn at random before it begins to learn.")
    seed: NonNegativeInt = Field(0, lt=2**31, description="Seed of the sampler.")
    space: Space = Field(description="What may vary.")

    @model_validator(mode="after")
    def _space_holds_them(self) -> SearchSettings:
        size = math.prod(dimension.size for dimension in self.space.dimensions())
        if not self.space.varied:
            raise ValueError("the space varies nothing; give it at least one setting, e.g. learning_rate")
        if size < self.configurations:
            raise ValueError(
                f"the space holds only {size:.0f} configurations, fewer than the {self.configurations} asked for; "
                "lower `configurations`, widen the space, or use a grid"
            )
        return self


class Variant(Frozen):
    """Trials around a base: of a grid of values to try, or of a search in its place."""

    base: Trial = Field(description="Settings shared by the variant's trials.")
    grid: Grid = Field({}, description="Trial setting -> values to try, every combination of them.")
    search: SearchSettings | None = Field(None, description="Instead of a grid: a random or adaptive search.")

    @model_validator(mode="after")
    def _makes_trials(self) -> Variant:
        if self.search is not None and self.grid:
            raise ValueError("has both a grid and a search; keep one (grid: {} empties an extended profile's)")
        require_different_networks(self.base, self.grid if self.search is None else self.search.space.choices)
        for setting in self.combinations() if self.search is None else self.search.space.corners():
            self.trial(setting, 0)
        return self

    @property
    def varied(self) -> tuple[str, ...]:
        return tuple(self.grid) if self.search is None else self.search.space.varied

    def combinations(self) -> list[dict[str, Any]]:
        return combinations(self.grid)

    def trial(self, setting: Mapping[str, Any], seed: int) -> Trial:
        return Trial.model_validate(self.base.model_dump() | dict(setting) | {"seed": seed})

    def trials(self, seeds: Sequence[int]) -> list[Trial]:
        """Every combination of the grid, each with every seed; seeds vary fastest. A search's are not known ahead."""
        return [self.trial(setting, seed) for setting in self.combinations() for seed in seeds]
