"""The settings of a random or adaptive search."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from lib.search.space import Space


class SearchSettings(BaseModel):
    """A search in place of a grid: which configurations are trained is drawn at random or proposed by Optuna."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
