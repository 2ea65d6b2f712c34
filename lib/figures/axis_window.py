"""Which part of an axis shows rows of scores so that one poor row does not squash all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_FAR = 3.0
"""A row whose mean lies so many spreads below the middle half of the means is far off; the best is always shown."""

_LEAST_SPREAD = 0.02
_LEAST_ROOM = 0.01


@dataclass(frozen=True)
class Window:
    """The ends of what is shown of an axis."""

    low: float
    high: float

    @classmethod
    def around(cls, rows: Sequence[Sequence[float]], intervals: Sequence[tuple[float, float]]) -> Window:
        """The window of the rows that lie close together and of those above, and of intervals, which may take as much room
        again on each side.

        `rows`: each row's finite values; a row may have none. `intervals`: what is drawn beside the values, in any order.
        """
        given = [row for row in rows if len(row)]
        if not given:
            return cls(0.0, 1.0)
        means = np.array([float(np.mean(row)) for row in given])
        first, third = np.quantile(means, [0.25, 0.75])
        far = _FAR * max(third - first, _LEAST_SPREAD)
        near = [value for row, mean in zip(given, means, strict=True) if mean >= first - far for value in row]
        low, high = min(near), max(near)
        room = max(high - low, _LEAST_ROOM)
        ends = [end for interval in intervals for end in interval if math.isfinite(end)]
        low, high = (
            min([low, *(max(end, low - room) for end in ends)]),
            max([high, *(min(end, high + room) for end in ends)]),
        )
        margin = 0.04 * max(high - low, _LEAST_ROOM)
        return cls(low - margin, high + margin)
