"""Cut the shards of a feature set into units: runs of shards, balanced by rows, each for one machine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise


def cut_units(sizes: Sequence[int], count: int, least: int) -> list[range]:
    """Deal shards of these sizes, in order, into at most `count` units of `least` images, that differ by two shards."""
    for parts in range(min(count, len(sizes), max(1, sum(sizes) // least)), 0, -1):
        units = [range(first, last) for first, last in pairwise(_bounds(sizes, parts))]
        if parts == 1 or min(sum(sizes[unit.start : unit.stop]) for unit in units) >= least:
            return units
    return []


def _bounds(sizes: Sequence[int], parts: int) -> list[int]:
    """Positions between which `sizes` fall into `parts` runs, none empty, each border as near its ideal as can be."""
    sums = [0, *accumulate(sizes)]
    bounds = [0]
    for part in range(1, parts):
        ideal = sums[-1] * part / parts
        possible = range(bounds[-1] + 1, len(sizes) - (parts - part) + 1)
        bounds.append(min(possible, key=lambda position: abs(sums[position] - ideal)))
    return [*bounds, len(sizes)]
