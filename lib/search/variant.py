"""A variant: trials around a base, of a grid (every combination of values to try) or of a search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, create_model, model_validator

from lib.mlp.trial import Trial, require_distinct, searched_fields
from lib.search.space import Space
from lib.validation import Frozen

_values: dict[str, Any] = {
    name: (tuple[Annotated[field.annotation, *field.metadata], ...], ())  # type: ignore[name-defined]
    for name, field in searched_fields().items()
}
_GridValues = create_model("GridValues", **_values)


def _checked(grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """The grid with each value as a trial has it, so that equal values are found whatever they are written as.

    Settings come in the order of `Trial`: a grid that went through a server's JSON has lost its own, and equal grids must
    make equal trials in one order.
    """
    for name, values in grid.items():
        if name == "seed":
            raise ValueError("may not vary 'seed'; use the study's `seeds`")
        if name not in _values:
            raise ValueError(f"unknown trial setting {name!r}; known: {', '.join(_values)}")
        if not values:
            raise ValueError(f"gives no value for {name!r}; give at least one or remove it")
    checked = _GridValues.model_validate(grid)
    for name in grid:
        require_distinct(name, getattr(checked, name))
    return {name: getattr(checked, name) for name in _values if name in grid}


Grid = Annotated[dict[str, tuple[Any, ...]], AfterValidator(_checked)]
"""Trial setting -> values to try, each as `Trial` has it and none twice."""


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of a grid's values; the last setting varies fastest.

    >>> combinations({"l2": (0.0, 1.0), "init": ("he",)})
    [{'l2': 0.0, 'init': 'he'}, {'l2': 1.0, 'init': 'he'}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def require_different_networks(base: Trial, choices: Mapping[str, Sequence[Any]]) -> None:
    """Refuse choices, of a grid or a space, that make one network twice: a linear probe has no activation.

    Raises ValueError: it names the fix.
    """
    activations = choices.get("activation", ())
    if len(activations) > 1 and () in choices.get("hidden", (base.hidden,)):
        raise ValueError(
            f"hidden [] has no activation, so {', '.join(activations)} would train one network {len(activations)} times; "
            "give hidden [] a variant of its own that does not vary activation"
        )


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
