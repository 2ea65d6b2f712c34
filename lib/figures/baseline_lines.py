"""Baselines as lines beside the networks' figures, and in a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lib.figures.axis_window import Scale
from lib.figures.style import PALETTE, plain
from lib.text import number

_Dashes = Literal["--", ":", "-."] | tuple[float, Sequence[float]]
_DASHES: tuple[_Dashes, ...] = ("--", ":", "-.", (0, (1, 4)))


@dataclass(frozen=True)
class BaselineLine:
    """A baseline's figures, drawn as a line beside those of the networks."""

    name: str
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Drawn:
    """A value, and whether its line is on the axis."""

    value: float
    near: bool

    @property
    def words(self) -> str:
        """Such as "0.8123", or "2.3 (off the axis)"."""
        return number(self.value) + ("" if self.near else " (off the axis)")


def draw_lines(axis: Axes, values: Sequence[float], low: float, high: float) -> list[Drawn]:
    """Upright lines at these values, and the axis as wide as they need.

    What lies far from `low` and `high`, the ends of what is shown, is only named: the rest would be crowded by it.
    """
    scale = Scale(axis.get_xscale() == "log")
    low, high = scale.to(low), scale.to(high)
    room = max(high - low, 0.02 * (1.0 if scale.log else abs(high)))
    drawn = [Drawn(value, low - room <= scale.to(value) <= high + room) for value in values]
    near = [each.value for each in drawn if each.near]
    left, right = axis.get_xlim()
    for index, each in enumerate(drawn):
        if each.near:
            axis.axvline(each.value, color=PALETTE[7], linestyle=_dashes(index), linewidth=1, alpha=0.7, zorder=0.5)
    axis.set_xlim(
        min([left, *(scale.back(scale.to(value) - 0.05 * room) for value in near)]),
        max([right, *(scale.back(scale.to(value) + 0.05 * room) for value in near)]),
    )
    return drawn


def legend_keys(lines: Sequence[BaselineLine], drawn: Sequence[Sequence[Drawn]], words: str) -> list[Line2D]:
    """What the legend shows of each: its name and its figures, put into `words`; a line only where one was drawn."""
    keys = []
    for index, (each, figures) in enumerate(zip(lines, drawn, strict=True)):
        dashes = _dashes(index) if any(figure.near for figure in figures) else "none"
        label = plain(each.name) + words.format(*(figure.words for figure in figures))
        keys.append(Line2D([], [], color=PALETTE[7], linestyle=dashes, linewidth=1, label=label))
    return keys


def _dashes(index: int) -> _Dashes:
    return _DASHES[index % len(_DASHES)]
