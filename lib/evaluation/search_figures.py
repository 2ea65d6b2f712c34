"""Figures of a hyperparameter search, in the style of `lib.evaluation.figures`: its course, what mattered, where it looked.

Each function takes the search's rows, one a configuration in the order tried: `number` (from 1), a value for each
dimension, `objective` (None when it diverged) and `ended`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from lib.evaluation.figures import PALETTE, STYLE

OBJECTIVE = "best validation cross-entropy (nats)"
_GREY = PALETTE[8]


class Dimension(Protocol):
    """One thing that varied: one of `choices`, or if there are none, a number from `low` to `high`."""

    @property
    def name(self) -> str: ...
    @property
    def choices(self) -> tuple[str | int | float, ...]: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def log(self) -> bool: ...


def finished(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows whose objectives compare: neither diverged nor halved."""
    return [row for row in rows if row["objective"] is not None and not row["ended"].startswith("halved")]


def search_history(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Objective of each configuration in the order tried, and the best so far; halved and diverged ones are marked."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.6))
        axis = figure.subplots()
        whole = finished(rows)
        halved = [row for row in rows if row["objective"] is not None and row not in whole]
        diverged = [row["number"] for row in rows if row["objective"] is None]
        axis.scatter(*_points(whole), color=PALETTE[0], s=18, alpha=0.75, label="configuration")
        if whole:
            best = np.minimum.accumulate([row["objective"] for row in whole])
            axis.step([row["number"] for row in whole], best, where="post", color=PALETTE[1], label="best so far")
        if halved:
            axis.scatter(*_points(halved), facecolors="none", edgecolors=_GREY, s=18, label="halved (loss till then)")
        if diverged:
            top = axis.get_xaxis_transform()
            axis.scatter(
                diverged, [0.98] * len(diverged), marker="x", color=PALETTE[7], transform=top, label="diverged"
            )
        if whole or halved:
            axis.set_yscale("log")
        axis.set_xlabel("configuration, in the order tried")
        axis.set_ylabel(OBJECTIVE)
        axis.set_title(title)
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def importance_bars(importances: Mapping[str, float], title: str) -> Figure:
    """One bar a dimension, the most important on top."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.4 + 0.35 * len(importances)))
        axis = figure.subplots()
        names = [words(name) for name in importances]
        bars = axis.barh(names[::-1], list(importances.values())[::-1], color=PALETTE[0])
        axis.bar_label(bars, fmt="%.2f", padding=3)
        axis.set_xlim(0, 1.1 * max(importances.values()))
        axis.set_xlabel("importance (share)")
        axis.grid(axis="y", visible=False)
        axis.set_title(title)
    return figure


def parallel_coordinates(rows: Sequence[Mapping[str, Any]], dimensions: Sequence[Dimension], title: str) -> Figure:
    """One line a configuration through its dimensions to its objective; the best, and the best tenth, in colour."""
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(max(6.4, 1.7 * (len(dimensions) + 1)), 4.2))
        axis = figure.subplots()
        ranked = sorted(finished(rows), key=lambda row: float(row["objective"]))
        losses = [math.log(row["objective"]) for row in ranked if row["objective"] > 0]
        low, high = (min(losses), max(losses)) if losses else (0.0, 1.0)
        top = ranked[: max(1, len(ranked) // 10)]
        for row in [*(row for row in rows if row not in top), *reversed(top)]:
            heights = [_height(dimension, row[dimension.name]) for dimension in dimensions]
            whole = row in ranked
            if whole:
                loss = math.log(row["objective"]) if row["objective"] > 0 else low
                heights.append((loss - low) / (high - low) if high > low else 0.5)
            colour = PALETTE[1] if top and row is top[0] else PALETTE[0] if row in top else _GREY
            width, alpha = (1.8, 1.0) if row in top else (0.8, 0.45)
            axis.plot(heights, color=colour, linestyle="-" if whole else ":", linewidth=width, alpha=alpha)
        names = [words(dimension.name) + (" (log)" if dimension.log else "") for dimension in dimensions]
        for place in range(len(names) + 1):
            axis.axvline(place, color=PALETTE[7], linewidth=0.8)
        for place, dimension in enumerate(dimensions):
            for height, text in _ticks(dimension):
                axis.text(place + 0.03, height, text, fontsize=7, va="center")
        if losses:
            for height in (0.0, 1.0) if high > low else (0.5,):
                text = f"{math.exp(low + height * (high - low)):.3g}"
                axis.text(len(dimensions) + 0.03, height, text, fontsize=7, va="center")
        axis.set_xticks(range(len(names) + 1), [*names, "best validation\ncross-entropy (log)"])
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.plot([], [], color=PALETTE[1], label="best")
        if len(top) > 1:
            axis.plot([], [], color=PALETTE[0], label="best tenth")
        if len(ranked) < len(rows):
            axis.plot([], [], color=_GREY, linestyle=":", label="halved or diverged")
        figure.legend(loc="outside lower center", ncols=3)
        axis.set_title(title)
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


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[float]]:
    return [row["number"] for row in rows], [row["objective"] for row in rows]


def _height(dimension: Dimension, value: Any) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    if dimension.choices:
        return dimension.choices.index(value) / max(1, len(dimension.choices) - 1)
    if dimension.low == dimension.high:
        return 0.5
    scale = math.log if dimension.log else float
    return (scale(value) - scale(dimension.low)) / (scale(dimension.high) - scale(dimension.low))


def _ticks(dimension: Dimension) -> list[tuple[float, str]]:
    values = dimension.choices or tuple(dict.fromkeys((dimension.low, dimension.high)))
    shown = [(f"{value:.3g}" if isinstance(value, float) else str(value)) for value in values]
    return [(_height(dimension, value), text) for value, text in zip(values, shown, strict=True)]
