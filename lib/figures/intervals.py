"""Configurations or models in rows, or along a setting: a dot a seed, the mean, and its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.figures.axis_window import Window
from lib.figures.style import PALETTE, STYLE, colour, hover, plain, plain_lines

_LETTERS = 50
"""Of a row's name, at most."""

_MANY = 8
"""Rows from which on the better half alone decides how wide the axis is: it is they that are to be distinguished."""

_WIDTH = 7.6
"""Inches."""

_DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (1, 4)))


@dataclass(frozen=True)
class Spread:
    """Scores of one configuration or model: a value a seed, which may be not finite, and the mean's interval, if it has one."""

    values: Sequence[float]
    low: float | None
    high: float | None

    @property
    def finite(self) -> list[float]:
        return [value for value in self.values if math.isfinite(value)]

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def words(self) -> str:
        """Such as "0.972 (0.969 to 0.975)"."""
        if len(self.finite) < len(self.values):
            return "not finite"
        ends = f" ({self.low:.3f} to {self.high:.3f})" if self.interval and self.low != self.high else ""
        return f"{np.mean(self.values):.3f}{ends}"


@dataclass(frozen=True)
class Row:
    """One configuration or model in a row; rows of one group have a colour. One that is `aside` does not widen the axis."""

    group: str
    label: str
    scores: Spread
    aside: bool = False


@dataclass(frozen=True)
class Level:
    """A score that does not depend on what varies, such as a baseline's: a line where it is near."""

    name: str
    score: float


@dataclass(frozen=True)
class Series:
    """Scores along an axis: one variant of a sweep, or a baseline at each of its values, which is drawn hollow."""

    name: str
    places: Sequence[float]
    scores: Sequence[Spread]
    hollow: bool = False


def ranked(rows: Sequence[Row], title: str, quantity: str, levels: Sequence[Level] = ()) -> Figure:
    """Scores in rows, the first on top: a dot a seed, the mean, its 95 % interval, and both in words; levels are upright lines.

    The axis is as wide as the rows close together need: an arrow at its edge stands for a row, or the end of an interval,
    beyond it.
    """
    with rc_context(STYLE):
        groups = list(dict.fromkeys(row.group for row in rows))
        keys = [
            Line2D([], [], color=colour(at), marker="o", markersize=4, linewidth=1.2, label=plain(group))
            for at, group in enumerate(groups)
            if len(groups) > 1
        ] + _keys(levels)
        height = 1.0 + 0.29 * len(rows) + 0.22 * -(-len(keys) // 2)
        figure = Figure(figsize=(_WIDTH, max(2.0, height)))
        axis = figure.subplots()
        _rows(axis, rows, [colour(groups.index(row.group)) for row in rows], quantity, levels)
        axis.set_yticks(range(len(rows) - 1, -1, -1), [plain(row.label, _LETTERS) for row in rows])
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.tick_params("y", length=0)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        if keys:
            figure.legend(handles=keys, loc="outside lower center", ncols=2)
        figure.suptitle(plain_lines(title))
    return figure


def along(
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str]] | None,
    title: str,
    axis_label: str,
    quantity: str,
    levels: Sequence[Level] = (),
    *,
    log: bool = False,
) -> Figure:
    """Scores along a setting: a dot a seed, the mean, its 95 % interval as a band, or of values without order as a bar.

    `ticks`: the places of values without order, and their names; without them the axis is of numbers, `log` as it says.
    Scores so far below that the others could not be distinguished stand as arrows at the lower edge.
    """
    with rc_context(STYLE):
        keys = _keys(levels)
        figure = Figure(figsize=(_WIDTH, 3.5 + 0.22 * -(-(len(keys) + len(series)) // 2)))
        axis = figure.subplots()
        spreads = [each for of in series for each in of.scores]
        every = [each.finite for each in spreads]
        shown = Window.around(
            every if ticks else [[value for values in every for value in values]],  # a curve is shown whole
            [*(each.interval for each in spreads if each.interval), *((level.score, level.score) for level in levels)],
        )
        for index, of in enumerate(series):
            side = (index - (len(series) - 1) / 2) * 0.16 if ticks else 0.0
            _line(axis, of, colour(index), shown, ordered=ticks is None, side=side)
            keys.insert(index, Line2D([], [], color=colour(index), marker="o", markersize=5, linewidth=1.4,
                                      markerfacecolor="none" if of.hollow else colour(index), label=plain(of.name)))  # fmt: skip
        for index, level in enumerate(levels):
            if shown.low <= level.score <= shown.high:
                axis.axhline(level.score, color=PALETTE[7], linestyle=_dashes(index), linewidth=1, alpha=0.7, zorder=0.5,
                             gid=hover(f"{level.name}: {level.score:.3f}"))  # fmt: skip
        axis.set_ylim(shown.low, shown.high)
        axis.locator_params(axis="y", nbins=6)
        if ticks is not None:
            axis.set_xticks([place for place, _ in ticks], [plain(name, _LETTERS) for _, name in ticks])
            axis.set_xlim(min(place for place, _ in ticks) - 0.5, max(place for place, _ in ticks) + 0.5)
            axis.grid(axis="x", visible=False)
        else:
            places = sorted({place for of in series for place in of.places})
            axis.set_xscale("log" if log else "linear")
            axis.set_xticks(places, [f"{place:g}" for place in places])
            axis.set_xticks([], minor=True)
        axis.set_xlabel(plain(axis_label))
        axis.set_ylabel(quantity)
        if len(keys) > 1:
            figure.legend(handles=keys, loc="outside lower center", ncols=2)
        figure.suptitle(plain_lines(title))
    return figure


def _keys(levels: Sequence[Level]) -> list[Line2D]:
    return [
        Line2D([], [], color=PALETTE[7], linestyle=_dashes(index), linewidth=1,
               label=f"{plain(level.name)}: {level.score:.3f}")
        for index, level in enumerate(levels)
    ]  # fmt: skip


def _dashes(index: int) -> Any:
    return _DASHES[index % len(_DASHES)]


def _line(axis: Axes, of: Series, own: str, shown: Window, *, ordered: bool, side: float) -> None:
    """One series; where values have no order, `side` is how far it stands from their places."""
    places = [place + side for place in of.places]
    means = [float(np.mean(each.values)) for each in of.scores]
    if ordered:
        axis.plot(places, means, color=own, linewidth=1.6, linestyle="--" if of.hollow else "-")
        low, high = np.transpose([each.interval or (mean, mean) for each, mean in zip(of.scores, means, strict=True)])
        axis.fill_between(places, low, high, color=own, alpha=0.15, linewidth=0)
    for place, mean, each in zip(places, means, of.scores, strict=True):
        words = hover(f"{of.name}: {each.words}")
        if not ordered and each.interval is not None:
            axis.plot([place] * 2, np.clip(each.interval, shown.low, shown.high), color=own, linewidth=1.6, gid=words)
        inside = [value for value in each.finite if shown.low <= value <= shown.high]
        axis.scatter([place] * len(inside), inside, color=own, s=12, alpha=0.5, linewidths=0, zorder=3, gid=words)
        if shown.low <= mean <= shown.high:
            axis.plot([place], [mean], "o", color=own, markersize=6, zorder=4, gid=words,
                      markerfacecolor=axis.get_facecolor() if of.hollow else own)  # fmt: skip
        elif math.isfinite(mean):
            axis.plot([place], [shown.low], "v", color=own, markersize=6, clip_on=False, gid=words)
            axis.annotate(f"{mean:.2f}", (place, shown.low), (7, 2), textcoords="offset points", fontsize=8, color=own)


def _rows(axis: Axes, rows: Sequence[Row], colours: Sequence[str], label: str, levels: Sequence[Level]) -> None:
    """Draw rows, the first on top, and upright lines where they are near."""
    finite = [row.scores.finite for row in rows]
    fitted = [
        (values, row.scores.interval) for values, row in zip(finite, rows, strict=True) if not row.aside and values
    ]
    means = [float(np.mean(values)) for values, _ in fitted]
    middle = float(np.median(means)) if len(means) >= _MANY else -math.inf
    # Of many rows the better half decides, unless it is one value; the others, as intervals, may take as much room again.
    bounds = [interval for _, interval in fitted if interval is not None] + [(min(of), max(of)) for of, _ in fitted]
    better = [each for each in fitted if np.mean(each[0]) >= middle]
    if len({value for values, _ in better for value in values}) > 1:
        fitted = better
    bounds += [(level.score, level.score) for level in levels]
    # A single value has no spread of its own to be shown by.
    near = [
        [*values, *interval] if len(values) == 1 and interval is not None else values for values, interval in fitted
    ]
    shown = Window.around(near, bounds)
    beyond = False
    for place, own, values, row in zip(range(len(rows) - 1, -1, -1), colours, finite, rows, strict=True):
        words = hover(f"{row.label}: {row.scores.words}")
        interval = row.scores.interval
        inside = [value for value in values if shown.low <= value <= shown.high]
        axis.scatter(inside, [place] * len(inside), color=own, s=12, alpha=0.5, linewidths=0, zorder=3, gid=words)
        if values and shown.low <= np.mean(values) <= shown.high:
            axis.plot([np.mean(values)], [place], "o", color=own, markersize=6, zorder=4, gid=words)
        ends = [*values, *(interval or ())]
        if interval is not None and interval[0] <= shown.high and interval[1] >= shown.low:
            axis.plot(np.clip(interval, shown.low, shown.high), [place] * 2, color=own, linewidth=1.6, gid=words)
        for edge, mark, out in (
            (shown.low, "<", any(end < shown.low for end in ends)),
            (shown.high, ">", any(end > shown.high for end in ends)),
        ):
            if out:
                axis.plot([edge], [place], marker=mark, color=own, markersize=5, clip_on=False)
                beyond = True
        axis.text(1.03, place, row.scores.words, transform=axis.get_yaxis_transform(), va="center", fontsize=8)
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlim(shown.low, shown.high)
    axis.set_xlabel(f"{label}\narrow: goes on beyond the axis" if beyond else label)
    for index, level in enumerate(levels):
        if shown.low <= level.score <= shown.high:
            axis.axvline(level.score, color=PALETTE[7], linestyle=_dashes(index), linewidth=1, alpha=0.7, zorder=0.5,
                         gid=hover(f"{level.name}: {level.score:.3f}"))  # fmt: skip
