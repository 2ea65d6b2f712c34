"""Scores and differences drawn as intervals in the cells of a table, each column on one axis: SVG of a few hundred bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lib.evaluation.intervals import Interval
from lib.figures.axis_window import Window

_WIDTH, _HEIGHT, _EDGE = 260, 22, 7
_TICKS = 5
"""Of an axis, about."""


@dataclass(frozen=True)
class Axis:
    """What is drawn of a range of values, from left to right, and where its ticks are."""

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]], intervals: Sequence[Interval]) -> Axis:
        """The axis of rows of values, and of the intervals around them, that one poor row does not squash."""
        window = Window.around(rows, [(each.low, each.high) for each in intervals])
        return cls.between(window.low, window.high)

    @classmethod
    def between(cls, low: float, high: float) -> Axis:
        """An axis with round ticks.

        >>> Axis.between(0.81, 0.978).ticks, Axis.between(-0.4, 0.2).ticks
        ((0.85, 0.9, 0.95), (-0.4, -0.2, 0.0, 0.2))
        """
        if not high > low:
            low, high = low - 0.5, high + 0.5
        rough = (high - low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * each for each in (1, 2, 5, 10) if power * each >= rough)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return cls(low, high, tuple(round(place * step, digits) for place in range(first, last + 1)), digits)

    def at(self, value: float) -> float:
        """Where a value lies, in units of the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(_EDGE + min(max(share, 0.0), 1.0) * (_WIDTH - 2 * _EDGE), 1)

    def shows(self, value: float) -> bool:
        return self.low <= value <= self.high

    def head(self, quantity: str) -> Markup:
        """The axis itself, for a column's head."""
        texts = Markup("").join(
            Markup('<text x="{}" y="14">{}</text>').format(self.at(tick), f"{tick:.{self.digits}f}")
            for tick in self.ticks
        )
        return _svg(f"{quantity}, an axis from {self.low:.3g} to {self.high:.3g}", texts, "axis")


def drawn(
    axis: Axis,
    interval: Interval,
    words: str,
    *,
    dots: Sequence[float] = (),
    line: float | None = None,
    hollow: bool = False,
) -> Markup:
    """An interval on its axis in `words`: the bar, a mark at the estimate, a dot for each value, an upright line."""
    parts = [_upright("grid", axis.at(tick)) for tick in axis.ticks]
    if line is not None and axis.shows(line):
        parts.append(_upright("line", axis.at(line)))
    middle = _HEIGHT / 2
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        parts.append(
            Markup('<path class="bar" d="M{} {}H{}"/>').format(
                axis.at(interval.low), f"{middle:g}", axis.at(interval.high)
            )
        )
    parts += [
        Markup('<circle class="dot" cx="{}" cy="{}" r="1.8"/>').format(axis.at(dot), f"{middle:g}")
        for dot in dots
        if len(dots) > 1 and axis.shows(dot)
    ]
    if axis.shows(interval.estimate):
        kind = "mark hollow" if hollow else "mark"
        parts.append(
            Markup('<circle class="{}" cx="{}" cy="{}" r="4.5"/>').format(
                kind, axis.at(interval.estimate), f"{middle:g}"
            )
        )
    elif math.isfinite(interval.estimate):
        left = interval.estimate < axis.low
        tip, back = (1, 8) if left else (_WIDTH - 1, _WIDTH - 8)
        parts.append(Markup('<path class="beyond" d="M{} 6L{} 11L{} 16Z"/>').format(back, tip, back))
    return _svg(words, Markup("").join(parts))


def stacked(axis: Axis, intervals: Sequence[Interval], words: str, line: float) -> Markup:
    """Several intervals on one axis, one below the other, and an upright line."""
    parts = [_upright("line", axis.at(line))]
    for place, each in enumerate(intervals):
        height = f"{_HEIGHT * (place + 0.5) / len(intervals):.1f}"
        parts.append(Markup('<path class="bar" d="M{} {}H{}"/>').format(axis.at(each.low), height, axis.at(each.high)))
        parts.append(Markup('<circle class="mark" cx="{}" cy="{}" r="2.2"/>').format(axis.at(each.estimate), height))
    return _svg(words, Markup("").join(parts))


def _upright(kind: str, place: float) -> Markup:
    return Markup('<path class="{}" d="M{} 0V{}"/>').format(kind, place, _HEIGHT)


def _svg(words: str, content: Markup, kind: str = "forest") -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        kind, _WIDTH, _HEIGHT, words, words, content
    )
