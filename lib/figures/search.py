"""What a sweep's variant tried, and where in the settings that vary the best configurations lie."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure

from lib.figures.style import PALETTE, STYLE, plain, plain_lines
from lib.search.space import Dimension

_T = TypeVar("_T")

_GREY = PALETTE[8]
_NAMED, _LETTERS = 14, 20
"""About how many choices are named at an axis, and letters of a choice, at most."""

_LINES = 500
"""Lines of configurations of one rank (the lowest tenth, others, halved ones) that are drawn, at most."""


@dataclass(frozen=True)
class Attempt:
    """One configuration: a value for each dimension, and what came of it."""

    label: str
    values: Mapping[str, str | int | float]
    objective: float
    """Mean over seeds of the best validation loss; not finite when it diverged."""
    halved: bool = False
    """Whether it was dropped at a rung, so that its objective is of an earlier epoch than the others'."""

    @property
    def finished(self) -> bool:
        """Whether its objective compares with others: neither diverged nor halved."""
        return math.isfinite(self.objective) and not self.halved


def parallel_coordinates(attempts: Sequence[Attempt], dimensions: Sequence[Dimension], title: str) -> Figure:
    """One line a configuration through its dimensions to its objective; the lowest, and the lowest tenth, in colour.

    At a choice lines are fanned out by their objectives, the lowest below: the many that took it would be one line else. Of
    more than 500 that would look alike some are drawn, evenly by their objectives.
    """
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(max(6.4, 1.7 * (len(dimensions) + 1)), 4.2))
        axis = figure.subplots()
        ranked = sorted((each for each in attempts if each.finished), key=lambda each: each.objective)
        losses = [math.log(each.objective) for each in ranked if each.objective > 0]
        low, high = (min(losses), max(losses)) if losses else (0.0, 1.0)
        top = max(1, len(ranked) // 10)
        crowd = min(1.0, 0.1 + 0.018 * math.sqrt(len(attempts)))
        unranked = [(None, each) for each in attempts if not each.finished]
        places = [*enumerate(ranked)]
        drawn = [*_some(unranked), *reversed([*_some(places[:top]), *_some(places[top:])])]  # the lowest on top
        faint = min(0.8, 5 / math.sqrt(max(1, len(drawn))))
        strong = min(0.8, 8 / math.sqrt(min(top, _LINES)))
        for place, each in drawn:
            fan = crowd * ((len(ranked) if place is None else place) / max(1, len(attempts)) - 0.5)
            heights = [_height(dimension, each.values[dimension.name], fan) for dimension in dimensions]
            if place is not None:
                loss = math.log(each.objective) if each.objective > 0 else low
                heights.append((loss - low) / (high - low) if high > low else 0.5)
            colour, width, alpha = _GREY, 0.7, faint
            if place is not None and place < top:
                colour, width, alpha = (PALETTE[1], 2.0, 1.0) if place == 0 else (PALETTE[0], 0.9, strong)
            axis.plot(heights, color=colour, linestyle=":" if place is None else "-", linewidth=width, alpha=alpha)
        names = [words(dimension.name) + (" (log)" if dimension.log else "") for dimension in dimensions]
        for place in range(len(names) + 1):
            axis.axvline(place, color=PALETTE[7], linewidth=0.8)
        # Lines would cross the labels out.
        box = {"facecolor": rcParams["axes.facecolor"], "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
        for place, dimension in enumerate(dimensions):
            for height, text in _ticks(dimension):
                axis.text(place - 0.05, height, text, fontsize=8, va="center", ha="right", bbox=box, zorder=4)
        if losses:
            for height in (0.0, 1.0) if high > low else (0.5,):
                text = f"{math.exp(low + height * (high - low)):.3g}"
                axis.text(len(dimensions) + 0.05, height, text, fontsize=8, va="center", bbox=box, zorder=4)
        axis.set_xticks(range(len(names) + 1), [*names, "best validation\ncross-entropy\n(nats, log)"])
        axis.set_yticks([])
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.tick_params(bottom=False)
        axis.set_xlim(-0.45, len(names) + 0.35)
        if ranked:
            axis.plot([], [], color=PALETTE[1], label="lowest validation loss")
        if top > 1:
            axis.plot([], [], color=PALETTE[0], label=f"lowest tenth{_drawn(top) or f' ({top})'}")
        if len(ranked) > top:
            axis.plot([], [], color=_GREY, label=f"others{_drawn(len(ranked) - top)}")
        if unranked:
            axis.plot([], [], color=_GREY, linestyle=":", label=f"halved or diverged{_drawn(len(unranked))}")
        figure.legend(loc="outside lower center", ncols=4)
        lowest = f"\nlowest validation loss {ranked[0].objective:.3g}: {plain(ranked[0].label)}" if ranked else ""
        figure.suptitle(f"{plain_lines(title)}{lowest}")
    return figure


def words(name: str) -> str:
    """A dimension in words."""
    plain = {
        "l2": "L2",
        "hidden": "hidden layers",
        "depth": "depth",
        "units": "units a layer",
        "init": "initialisation",
    }
    return plain.get(name, name.replace("_", " "))


def short(value: str | int | float) -> str:
    """A dimension's value in words, as an axis names it."""
    return f"{value:.3g}" if isinstance(value, float) else plain(str(value), _LETTERS)


def _some(lines: Sequence[_T]) -> Sequence[_T]:
    """At most `_LINES` of them, evenly, the first among them."""
    return lines if len(lines) <= _LINES else [lines[place * len(lines) // _LINES] for place in range(_LINES)]


def _drawn(lines: int) -> str:
    return "" if lines <= _LINES else f" ({_LINES} of {lines:,})"


def _height(dimension: Dimension, value: Any, fan: float = 0.0) -> float:
    """Where a value lies on its axis, from 0 to 1; a choice is moved by the share `fan` of the room that it has."""
    if dimension.choices:
        count = len(dimension.choices)
        return (dimension.choices.index(value) + 0.5 + 0.8 * fan) / count
    if dimension.low == dimension.high:
        return 0.5
    scale = math.log if dimension.log else float
    return (scale(value) - scale(dimension.low)) / (scale(dimension.high) - scale(dimension.low))


def _ticks(dimension: Dimension) -> list[tuple[float, str]]:
    """What is written at an axis and where: both ends of a range, or its choices, every n-th where they are many."""
    values = dimension.choices or tuple(dict.fromkeys((dimension.low, dimension.high)))
    step = math.ceil(len(values) / _NAMED)
    return [(_height(dimension, value), short(value)) for value in values[::step]]
