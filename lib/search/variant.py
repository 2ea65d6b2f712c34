"""A variant: trials around a base, of a grid of values or of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lib.mlp.trial import Trial
from lib.search.grid import Grid, combinations, require_different_networks
from lib.search.settings import SearchSettings


class Variant(BaseModel):
    """Trials around a base: of a grid of values to try, or of a search in its place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
