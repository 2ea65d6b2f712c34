"""Cut the missing shards of a feature set into units: runs of shards, balanced by rows, each for one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Unit:
    """Unit `number` (from 1) of `of`: indexes of its shards in order, and the images they hold."""

    number: int
    of: int
    shards: tuple[int, ...]
    images: int


def cut_units(shards: Sequence[range], missing: Sequence[int], count: int, least: int) -> list[Unit]:
    """Deal the `missing` ones of `shards` in order into at most `count` units of at least `least` images each.

    What holds fewer images in all is one unit. The rows of two units differ by at most two of the largest shard.

    Parameters
    ----------
    shards : sequence of range
        The rows of each shard.
    missing : sequence of int
        Indexes of shards, ascending.
    """
    if not missing:
        return []
    sizes = [len(shards[index]) for index in missing]
    for parts in range(min(count, len(missing), max(1, sum(sizes) // least)), 0, -1):
        bounds = _bounds(sizes, parts)
        images = [sum(sizes[first:last]) for first, last in pairwise(bounds)]
        if parts == 1 or min(images) >= least:
            break
    return [
        Unit(number, parts, tuple(missing[first:last]), rows)
        for number, ((first, last), rows) in enumerate(zip(pairwise(bounds), images, strict=True), 1)
    ]


def _bounds(sizes: Sequence[int], parts: int) -> list[int]:
    """Positions between which `sizes` fall into `parts` runs, none empty, each border as near its ideal as can be."""
    sums = [0, *accumulate(sizes)]
    bounds = [0]
    for part in range(1, parts):
        ideal = sums[-1] * part / parts
        possible = range(bounds[-1] + 1, len(sizes) - (parts - part) + 1)
        bounds.append(min(possible, key=lambda position: abs(sums[position] - ideal)))
    return [*bounds, len(sizes)]
