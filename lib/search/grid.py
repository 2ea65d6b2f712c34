"""A grid: values to try of some trial settings, every combination of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, create_model

from lib.mlp.trial import Trial, require_distinct, searched_fields

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
