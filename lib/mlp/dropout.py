"""Dropout of hidden units (Srivastava et al. 2014), inverted: what is kept is scaled, so that nothing is when predicting.

Whether a unit is kept for a row is a hash of the trial's seed, step, unit and row, and not drawn from a stream: whoever
computes a step, wherever it goes on, in NumPy or torch, keeps the same ones. The hash is a number of SplitMix64
(Steele, Lea and Flood 2014), but for its last shift, which changes only bits that do not count here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
States = npt.NDArray[np.uint64]

_WORD = 1 << 64
_GOLDEN = 0x9E3779B97F4A7C15
MIXES = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Shifts and factors of the hash."""
STEP = (_GOLDEN << 32) % _WORD
"""By what states differ from step to step: no step has more than 2**32 units times rows."""

_PIECE = 1 << 15
"""Units times rows that are hashed at once, in a core's cache."""


@dataclass(frozen=True)
class Dropout:
    """One network's: the share of units that are dropped in each of the `hidden` layers, by its trial's seed."""

    seed: int
    rate: float
    hidden: tuple[int, ...]

    def unit_states(self, layer: int, count: int) -> States:
        """Each unit's state for the first of `count` rows in step 0, shape (units,)."""
        (key,) = np.random.SeedSequence(self.seed, spawn_key=(2,)).generate_state(1, np.uint64)  # 0, 1: `streams`
        numbers = sum(self.hidden[:layer]) + np.arange(self.hidden[layer], dtype=np.uint64)
        states: States = key + numbers * np.uint64(_GOLDEN * count % _WORD)
        return states


@dataclass(frozen=True)
class Units:
    """What decides which units of one layer of several networks are kept."""

    states: States
    """Uint64, shape (units, 1). Of the first row in step 0."""
    along: States
    """Uint64, shape (1, count). What later rows add."""
    least: npt.NDArray[np.int64]
    """Int64, shape (units, 1). Hashes from which on a unit is kept, read as int64."""
    keep: npt.NDArray[np.float64]
    """Float64, shape (units, 1). The share that is kept."""


def units_of(networks: Sequence[Dropout], layer: int, count: int) -> Units:
    """The units of `layer` (from 0) of all `networks`, one network after the other, for mini-batches of `count` rows."""
    widths = [network.hidden[layer] for network in networks]
    least = [int(network.rate * _WORD) - _WORD // 2 for network in networks]
    return Units(
        np.concatenate([network.unit_states(layer, count) for network in networks])[:, None],
        (np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN))[None],
        np.repeat(np.array(least, np.int64), widths)[:, None],
        np.repeat([1 - network.rate for network in networks], widths)[:, None],
    )


class Masks:
    """Masks of one layer in NumPy: `mask`, (units, count), is 0 where a unit is dropped for a row, else 1 / `keep`."""

    def __init__(self, units: Units, dtype: np.dtype[np.floating]) -> None:
        self._units = units
        self.keep: Array = units.keep.astype(dtype)
        self._scale = (1 / units.keep).astype(dtype)
        rows, count = len(units.states), units.along.shape[1]
        self.mask: Array = np.empty((rows, count), dtype)
        self._many = max(1, _PIECE // count)
        self._state, self._shifted = (np.empty((min(rows, self._many), count), np.uint64) for _ in range(2))

    def draw(self, step: int) -> Array:
        """The mask of a step (the first is 0)."""
        starts = self._units.states + np.uint64(STEP * step % _WORD)
        for start in range(0, len(starts), self._many):
            part = slice(start, start + self._many)
            mask = self.mask[part]
            state, shifted = self._state[: len(mask)], self._shifted[: len(mask)]
            np.add(starts[part], self._units.along, out=state)
            for shift, factor in MIXES:
                np.right_shift(state, np.uint64(shift), out=shifted)
                np.bitwise_xor(state, shifted, out=state)
                np.multiply(state, np.uint64(factor), out=state)
            np.multiply(state.view(np.int64) >= self._units.least[part], self._scale[part], out=mask)
        return self.mask
