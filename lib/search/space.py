"""What a search may try: for each trial setting a list of choices or a range, flattened to named dimensions.

A sampler sees dimensions (numbers and words); `Space.settings` turns a point of them back into trial settings. The
settings that a space has are those of `Trial`: a new field of it is a new one here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from lib.mlp.labels import width
from lib.mlp.trial import Trial, hyperparameter, require_distinct, searched_fields
from lib.validation import Frozen

Value = str | int | float
Point = dict[str, Value]
"""Dimension -> value, as a sampler proposes it."""


class FloatRange(Frozen):
    """Any number from low to high."""

    low: float = Field(allow_inf_nan=False, description="Smallest value.")
    high: float = Field(allow_inf_nan=False, description="Largest value.")
    log: bool = Field(False, description="Draw evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError(f"high {self.high:g} lies below low {self.low:g}; exchange them")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above 0, got low {self.low:g}; raise it or set log: false")
        return self


class IntRange(FloatRange):
    """Any whole number from low to high, both included."""

    low: int = Field(description="Smallest value.")
    high: int = Field(description="Largest value.")


class Layers(Frozen):
    """Hidden layers of one width: how many, and how many units each. Other shapes are given as a list of choices."""

    depth: IntRange = Field(IntRange(low=1, high=1), description="Number of hidden layers.")
    units: IntRange = Field(description="Units of every hidden layer.")

    @model_validator(mode="after")
    def _layers_exist(self) -> Layers:
        if self.depth.low < 1 or self.units.low < 1:
            raise ValueError("depth and units start at 1 or more; a linear probe is a choice of shape: hidden: [[]]")
        return self


def _kind(value: Any) -> str:
    return "range" if isinstance(value, Mapping | BaseModel) else "choices"


def _values(name: str, annotation: Any) -> Any:
    """What a space takes for a setting of this type: choices, and where there are any, ranges."""
    choices = Annotated[tuple[annotation, ...], Field(min_length=1), Tag("choices")]
    ranged = Layers if name == "hidden" else {float: FloatRange, int: IntRange}.get(annotation)
    if ranged is None:
        return Annotated[tuple[annotation, ...], Field(min_length=1)] | None
    return Annotated[Annotated[ranged, Tag("range")] | choices, Discriminator(_kind)] | None


def space_fields(model: type[Trial]) -> type[BaseModel]:
    """The settings of a space: the searched fields of `model`, all optional.

    Limits of a field are not asked of each value here; `Space.corners` makes trials of the extreme ones.
    """
    fields: dict[str, Any] = {
        name: (_values(name, field.annotation), Field(None, description=hyperparameter(name, field).values))
        for name, field in searched_fields(model).items()
    }
    return create_model("SpaceFields", __base__=Frozen, **fields)


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
        if self.choices:
            return len(self.choices)
        if self.low == self.high:
            return 1
        return self.high - self.low + 1 if self.whole else math.inf

    def short(self, value: Value) -> Value:
        """A drawn value to the four digits that matter, as it is then trained: a label states it in full."""
        if isinstance(value, str) or self.choices or self.whole or self.low == self.high:
            return value
        same = math.floor(math.log10(max(abs(self.low), abs(self.high)) / (self.high - self.low)))
        return min(max(float(f"{value:.{4 + max(0, same)}g}"), self.low), self.high)


class Space(space_fields(Trial)):  # type: ignore[misc]  # its fields are made from those of `Trial`
    """Trial setting -> values to try: a list of choices, or a range {low, high, log}. What is not given stays the base's.

    Trials of one depth, batch size and kind of optimiser train as one program, so few of these make a fast search.
    """

    @field_validator("*")
    @classmethod
    def _choices_differ(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, tuple):
            require_distinct(str(info.field_name), value)
        return value

    @property
    def varied(self) -> tuple[str, ...]:
        """The trial settings that the space gives values for, in the order of `Trial`."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def ranges(self) -> tuple[str, ...]:
        """Those of them that are given as ranges."""
        return tuple(name for name in self.varied if not isinstance(getattr(self, name), tuple))

    @property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """Those of them that are given as choices, with these."""
        return {name: value for name in self.varied if isinstance(value := getattr(self, name), tuple)}

    def dimensions(self) -> tuple[Dimension, ...]:
        """What a sampler draws; `hidden` as a range is two dimensions, depth and units."""
        found: list[Dimension] = []
        for name in self.varied:
            value = getattr(self, name)
            if isinstance(value, Layers):
                found += [_range("depth", value.depth), _range("units", value.units)]
            elif isinstance(value, FloatRange):
                found.append(_range(name, value))
            else:
                found.append(Dimension(name, tuple(map(shown, value))))
        return tuple(found)

    def settings(self, point: Mapping[str, Value]) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for name in self.varied:
            value = getattr(self, name)
            if isinstance(value, Layers):
                settings[name] = (int(point["units"]),) * int(point["depth"])
            elif isinstance(value, tuple):
                settings[name] = next(each for each in value if shown(each) == point[name])
            else:
                settings[name] = point[name]
        return settings

    def corners(self) -> list[dict[str, Any]]:
        """Settings that between them hold every choice and both ends of every range: valid ones make all others valid."""
        ends = {dimension.name: dimension.choices or _ends(dimension) for dimension in self.dimensions()}
        longest = max(map(len, ends.values()), default=0)
        return [
            self.settings({name: values[min(index, len(values) - 1)] for name, values in ends.items()})
            for index in range(longest)
        ]


def shown(value: Any) -> Value:
    """A trial's setting as a dimension has it: a shape in words such as "64-32"."""
    of_dimension: Value = width(value) if isinstance(value, tuple) else value
    return of_dimension


def _range(name: str, value: FloatRange) -> Dimension:
    return Dimension(name, (), value.low, value.high, value.log, isinstance(value, IntRange))


def _ends(dimension: Dimension) -> tuple[Value, ...]:
    kind = int if dimension.whole else float
    return (kind(dimension.low), kind(dimension.high))
