"""A score over the runs of a profile, with marks where data or code changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from lib.evaluation.intervals import Interval
from lib.figures.style import PALETTE, STYLE, plain

_NAMED = 12
"""Runs that the axis names, about."""


@dataclass(frozen=True)
class Point:
    """One run."""

    name: str
    """What the axis calls it: its day."""
    score: Interval
    line: int
    """Points of one number are joined: runs that were scored on the same rows."""
    data: bool = False
    code: bool = False
    """Whether data or code was other than in the run before."""


def score_history(points: Sequence[Point], quantity: str) -> Figure:
    """Scores in the order of the runs, each with its 95 % interval; at least one point."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.2))
        axis = figure.subplots()
        for line in dict.fromkeys(point.line for point in points):
            own = [(place, point.score) for place, point in enumerate(points) if point.line == line]
            places, scores = [place for place, _ in own], [score.estimate for _, score in own]
            ends = [(score.estimate - score.low, score.high - score.estimate) for _, score in own]
            axis.errorbar(
                places, scores, list(zip(*ends, strict=True)), fmt="o-", color=PALETTE[0], capsize=3, markersize=5,
                linewidth=1, elinewidth=1.2, label="_score",
            )  # fmt: skip
        for marked, colour, style, label in (
            ([point.data for point in points], PALETTE[1], "-", "data changed"),
            ([point.code for point in points], PALETTE[2], ":", "code changed"),
        ):
            for number, place in enumerate(place for place, mark in enumerate(marked) if mark):
                axis.axvline(place - 0.5, color=colour, linestyle=style, linewidth=1.2, label="_" if number else label)
        every = -(-len(points) // _NAMED)
        named = range(0, len(points), every)
        axis.xaxis.set_major_locator(FixedLocator(list(named)))
        axis.xaxis.set_major_formatter(FixedFormatter([plain(points[place].name) for place in named]))
        axis.set_xlim(-0.75, len(points) - 0.25)
        axis.set_xlabel("run, by when its result was made")
        axis.set_ylabel(quantity)
        if any(point.data or point.code for point in points):
            figure.legend(loc="outside upper right", ncols=2)
    return figure
