"""The models that settings and records are, and Pydantic's errors in one line that names the setting, the value and the fix."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError


class Frozen(BaseModel):
    """A model that does not change and has no other fields than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Stored(Frozen):
    """One whose JSON keeps floats that are not finite, as text."""

    model_config = ConfigDict(ser_json_inf_nan="strings")


Path = tuple[str, ...]

_LONGEST = 200
"""Letters of a value in a message."""

_ALIKE, _VERY_ALIKE = 0.6, 0.8
"""Of two names, by difflib: one may be meant by the other; and is meant though another has the very name elsewhere."""

_OFFERED = 3
"""Settings that are offered in place of one that does not exist."""

_BARE = ("missing", "value_error")
"""Errors whose message names the value itself, or that have none."""


def describe(
    error: ValidationError, known: Callable[[], Iterable[Path]] = tuple, keep: Callable[[str], bool] = lambda _: True
) -> str:
    """A Pydantic error in one line: where, what is wrong, the value given.

    `known`: gives the paths of all settings, by which a misspelt one is recognised; asked only when one is unknown.
    `keep`: whether a step of an error's location is part of a setting's name (a union's tag is not).
    """
    parts: dict[str, None] = {}  # a place that two models share is told once
    for item in error.errors(include_url=False):
        steps = [str(step) for step in item["loc"] if keep(str(step))]
        where = _place(item["loc"], keep)
        start = f"{where}: " if where else ""
        if item["type"] == "extra_forbidden":
            parts[f"{start}there is no such setting{_meant(steps, known())}"] = None
            continue
        message = item["msg"].removeprefix("Value error, ")
        given = "" if item["type"] in _BARE else f" (got {shortened(item['input'])})"
        parts[f"{start}{message[0].lower()}{message[1:]}{given}" if start else f"{message}{given}"] = None
    return "; ".join(parts)


def _place(location: Sequence[str | int], keep: Callable[[str], bool]) -> str:
    """Where an error is; of a list which entry, counted as people do."""
    where = ""
    for step in location:
        if isinstance(step, int):
            where += f" (entry {step + 1})"
        elif keep(step):
            where += f".{step}" if where else step
    return where


def shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _meant(steps: Sequence[str], known: Iterable[Path]) -> str:
    """Where the setting is that the last of `steps` names, or nearly: at its own place if one is, else nearest to `steps`.

    One of the very name elsewhere comes before one that is only somewhat alike here.
    """
    places = list(dict.fromkeys(known))
    here = {place[-1] for place in places if place[:-1] == tuple(steps[:-1])}
    elsewhere = any(place[-1] == steps[-1] for place in places)
    close = difflib.get_close_matches(steps[-1], sorted(here), n=1, cutoff=_VERY_ALIKE if elsewhere else _ALIKE)
    if close:
        return f"; did you mean {'.'.join([*steps[:-1], *close])!r}?"
    close = difflib.get_close_matches(steps[-1], sorted({place[-1] for place in places}), n=1, cutoff=_ALIKE)
    alike = [place for place in places if close and place[-1] == close[0]]
    found = {place: len(os.path.commonprefix([place, tuple(steps)])) for place in alike}  # noqa: RUF071 - steps, not letters
    names = [".".join(place) for place, shared in found.items() if shared == max(found.values())]
    more = f" ({len(names) - _OFFERED} more have that name)" if len(names) > _OFFERED else ""
    return f"; did you mean {' or '.join(map(repr, names[:_OFFERED]))}?{more}" if names else ""
