"""Which part of an axis shows rows of values so that one poor row does not squash all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

_SMALLEST = 1e-12
_LOG_FROM = 3.0
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""

_FAR = 3.0
"""A row whose mean lies so many spreads beyond the middle half of the means is far off."""

_LEAST_SPREAD = {False: 0.02, True: math.log(3)}
"""Of shares; of logarithms of losses."""


@dataclass(frozen=True)
class Window:
    """The ends of what is shown of an axis, which is linear or logarithmic."""

    low: float
    high: float
    log: bool

    @classmethod
    def around(
        cls, rows: Sequence[Sequence[float]], intervals: Sequence[tuple[float, float]], *, may_be_log: bool
    ) -> Window:
        """The window of the rows that lie close together, and of intervals, which may take as much room again on each side.

        On a logarithmic axis they may take a factor of 3 at most: an interval that reaches down to 0 has no end there.

        `rows`: each row's finite values; a row may have none. `intervals`: what is drawn beside the values, in any
        order. `may_be_log`: values are positive, and on a logarithmic axis where they differ much.
        """
        values = np.array([value for row in rows for value in row])
        if not values.size:
            return cls(0.0, 1.0, False)
        log = bool(may_be_log and values.max() >= _LOG_FROM * max(values.min(), _SMALLEST))
        back = math.exp if log else float

        def to(value: float) -> float:
            return math.log(max(value, _SMALLEST)) if log else value

        means = np.array([to(float(np.mean(row))) for row in rows if len(row)])
        first, third = np.quantile(means, [0.25, 0.75])
        far = _FAR * max(third - first, _LEAST_SPREAD[may_be_log])
        near = [row for row, mean in zip((row for row in rows if len(row)), means, strict=True)
                if first - far <= mean <= third + far]  # fmt: skip
        places = [to(value) for row in near for value in row]
        low, high = min(places), max(places)
        room = max(min(high - low, _LEAST_SPREAD[True]) if log else high - low, 0.01)
        ends = [to(end) for interval in intervals for end in interval if math.isfinite(end)]
        low, high = (
            min([low, *(max(end, low - room) for end in ends)]),
            max([high, *(min(end, high + room) for end in ends)]),
        )
        margin = 0.04 * max(high - low, 0.01)
        return cls(back(low - margin), back(high + margin), log)

    def put(self, axis: Axes) -> None:
        """Make it the range of an axis across."""
        if self.log:
            axis.set_xscale("log")
            few = self.high / self.low < 1000
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
        else:
            axis.locator_params(axis="x", nbins=5)
        axis.set_xlim(self.low, self.high)
