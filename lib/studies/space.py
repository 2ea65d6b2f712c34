"""What a search may try: for each trial setting a list of choices or a range, flattened to named dimensions.

A sampler sees dimensions (numbers and words); `Space.settings` turns a point of them back into trial settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from lib.mlp.trial import Activation, Initialisation, Optimizer
from lib.studies.labels import width

Value = str | int | float
Point = dict[str, Value]
"""Dimension -> value, as a sampler proposes it."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _require_order(low: float, high: float, log: bool) -> None:
    if high < low:
        raise ValueError(f"high {high:g} lies below low {low:g}; exchange them")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range starts above 0, got low {low:g}; raise it or set log: false")


class FloatRange(_Settings):
    """Any number from low to high."""

    low: float = Field(allow_inf_nan=False, description="Smallest value.")
    high: float = Field(allow_inf_nan=False, description="Largest value.")
    log: bool = Field(False, description="Draw evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def _ordered(self) -> FloatRange:
        _require_order(self.low, self.high, self.log)
        return self


class IntRange(_Settings):
    """Any whole number from low to high, both included."""

    low: int = Field(description="Smallest value.")
    high: int = Field(description="Largest value.")
    log: bool = Field(False, description="Draw evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def _ordered(self) -> IntRange:
        _require_order(self.low, self.high, self.log)
        return self


class Layers(_Settings):
    """Hidden layers of one width: how many, and how many units each. Other shapes are given as a list of choices."""

    depth: IntRange = Field(IntRange(low=1, high=1), description="Number of hidden layers.")
    units: IntRange = Field(description="Units of every hidden layer.")

    @model_validator(mode="after")
    def _layers_exist(self) -> Layers:
        if self.depth.low < 1 or self.units.low < 1:
            raise ValueError("depth and units start at 1 or more; softmax regression is a choice of its own: [[]]")
        return self


def _kind(value: Any) -> str:
    return "range" if isinstance(value, Mapping | BaseModel) else "choices"


_kinds = Discriminator(_kind)
_Chosen = Annotated[tuple[float, ...], Field(min_length=1), Tag("choices")]
_ChosenInt = Annotated[tuple[int, ...], Field(min_length=1), Tag("choices")]
_ChosenLayers = Annotated[tuple[tuple[int, ...], ...], Field(min_length=1), Tag("choices")]
FloatSpace = Annotated[Annotated[FloatRange, Tag("range")] | _Chosen, _kinds]
IntSpace = Annotated[Annotated[IntRange, Tag("range")] | _ChosenInt, _kinds]
LayerSpace = Annotated[Annotated[Layers, Tag("range")] | _ChosenLayers, _kinds]


@dataclass(frozen=True)
class Dimension:
    """One thing that varies: a range (`low`, `high`, whole numbers or not, `log` or not) or `choices`."""

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    whole: bool = False

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.choices:
            return len(self.choices)
        if self.low == self.high:
            return 1
        return self.high - self.low + 1 if self.whole else math.inf


class Space(_Settings):
    """Trial setting -> values to try: a list of choices, or a range {low, high, log}. What is not given stays the base's.

    Trials of one depth, batch size and kind of optimiser train as one program, so few of these make a fast search.
    """

    hidden: LayerSpace | None = Field(None, description="Shapes, e.g. [[64], [64, 32]], or ranges of depth and units.")
    activation: tuple[Activation, ...] | None = Field(None, min_length=1, description="Activations.")
    init: tuple[Initialisation, ...] | None = Field(None, min_length=1, description="Initialisations.")
    optimizer: tuple[Optimizer, ...] | None = Field(None, min_length=1, description="Optimisers.")
    learning_rate: FloatSpace | None = Field(None, description="Step sizes; a range is best logarithmic.")
    momentum: FloatSpace | None = Field(None, description="Momenta of SGD.")
    l2: FloatSpace | None = Field(None, description="L2 penalties.")
    batch_size: IntSpace | None = Field(None, description="Rows in a mini-batch; a few choices are fastest.")
    epochs: IntSpace | None = Field(None, description="Passes over the training rows.")

    @field_validator("*")
    @classmethod
    def _choices_differ(cls, value: Any) -> Any:
        if isinstance(value, tuple) and len(set(value)) != len(value):
            raise ValueError(f"choices {list(value)} name one value twice")
        return value

    @property
    def varied(self) -> tuple[str, ...]:
        """The trial settings that the space gives values for, in the order of `Trial`."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def ranges(self) -> tuple[str, ...]:
        """Those of them that are given as ranges."""
        return tuple(name for name in self.varied if not isinstance(getattr(self, name), tuple))

    def dimensions(self) -> tuple[Dimension, ...]:
        """What a sampler draws; `hidden` as a range is two dimensions, depth and units."""
        found: list[Dimension] = []
        for name in self.varied:
            value = getattr(self, name)
            if isinstance(value, Layers):
                found += [_range("depth", value.depth), _range("units", value.units)]
            elif isinstance(value, FloatRange | IntRange):
                found.append(_range(name, value))
            else:
                found.append(Dimension(name, tuple(width(each) if name == "hidden" else each for each in value)))
        return tuple(found)

    def settings(self, point: Mapping[str, Value]) -> dict[str, Any]:
        """The trial settings of a point."""
        settings: dict[str, Any] = {name: value for name, value in point.items() if name not in ("depth", "units")}
        if isinstance(self.hidden, Layers):
            settings["hidden"] = (int(point["units"]),) * int(point["depth"])
        elif self.hidden is not None:
            settings["hidden"] = next(each for each in self.hidden if width(each) == point["hidden"])
        return settings

    def corners(self) -> list[dict[str, Any]]:
        """Settings that between them hold every choice and both ends of every range: valid ones make all others valid."""
        ends = {dimension.name: dimension.choices or _ends(dimension) for dimension in self.dimensions()}
        longest = max(map(len, ends.values()), default=0)
        return [
            self.settings({name: values[min(index, len(values) - 1)] for name, values in ends.items()})
            for index in range(longest)
        ]


def _range(name: str, value: FloatRange | IntRange) -> Dimension:
    return Dimension(name, (), value.low, value.high, value.log, isinstance(value, IntRange))


def _ends(dimension: Dimension) -> tuple[Value, ...]:
    kind = int if dimension.whole else float
    return (kind(dimension.low), kind(dimension.high))


class SearchSettings(_Settings):
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
