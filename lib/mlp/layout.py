"""How the networks of many trials lie side by side in one parameter vector.

Activations are kept feature-major, shape (units of all trials, rows of the mini-batch): a trial's units are then a
contiguous band of rows, whatever its width, so nothing is padded. Trials of one seed see the same mini-batches and are
neighbours, so their first layers are one matrix product; in deeper layers, neighbours of equal shape are one batched
product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.mlp.trial import Trial

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Band:
    """Neighbouring trials `first`..`first + count - 1` that share something, and their rows in a layer's output."""

    first: int
    count: int
    start: int
    stop: int
    key: Any

    @property
    def members(self) -> slice:
        """The band's trials."""
        return slice(self.first, self.first + self.count)

    @property
    def rows(self) -> slice:
        """The band's rows."""
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Block:
    """Neighbouring trials whose layer has one shape: their weights are one tensor (count, outputs, inputs)."""

    below: Band
    above: Band
    outputs: int
    inputs: int
    offset: int

    @property
    def size(self) -> int:
        """Weights in the block."""
        return self.above.count * self.outputs * self.inputs


class Layout:
    """Where each trial's parameters and units are.

    Parameters
    ----------
    trials : sequence of Trial
        All of one depth; kept in the order given, which `arrange` makes good.
    inputs, classes : int

    Attributes
    ----------
    units : list of list of int
        Units of each layer (output layer last) for each trial.
    seeds : list of Band
        Runs of trials of one seed, with their rows in the first layer's output.
    activations : list of list of Band
        For each hidden layer, runs of trials of one activation.
    blocks : list of list of Block
        For each layer after the first.
    n_weights, size : int
        All weights lie before all biases in the parameter vector of `size`.
    """

    def __init__(self, trials: Sequence[Trial], inputs: int, classes: int) -> None:
        self.trials = list(trials)
        self.inputs = inputs
        self.classes = classes
        depth = len(self.trials[0].hidden)
        self.units = [[trial.hidden[layer] for trial in self.trials] for layer in range(depth)]
        self.units.append([classes] * len(self.trials))
        self.offsets = [[0, *accumulate(units)] for units in self.units]
        self.rows = [offsets[-1] for offsets in self.offsets]
        self.seeds = self._bands(0, lambda index: self.trials[index].seed)
        self.activations = [self._bands(layer, lambda index: self.trials[index].activation) for layer in range(depth)]
        offset = self.rows[0] * inputs
        self.blocks: list[list[Block]] = []
        for layer in range(1, depth + 1):
            of_layer = []
            for above in self._bands(layer, lambda index, layer=layer: self._shape(layer, index)):  # type: ignore[misc]
                last = above.first + above.count
                offsets = self.offsets[layer - 1]
                below = Band(above.first, above.count, offsets[above.first], offsets[last], above.key)
                outputs, fan_in = above.key
                block = Block(below, above, outputs, fan_in, offset)
                offset += block.size
                of_layer.append(block)
            self.blocks.append(of_layer)
        self.n_weights = offset
        self.bias_offsets = [offset, *(offset + total for total in accumulate(self.rows))]
        self.size = self.bias_offsets[-1]

    def _shape(self, layer: int, index: int) -> tuple[int, int]:
        return self.units[layer][index], self.units[layer - 1][index]

    def _bands(self, layer: int, key: Callable[[int], Any]) -> list[Band]:
        bands = []
        offsets = self.offsets[layer]
        for value, group in groupby(range(len(self.trials)), key):
            members = list(group)
            first, last = members[0], members[-1] + 1
            bands.append(Band(first, len(members), offsets[first], offsets[last], value))
        return bands

    def parameters(self, index: int) -> Iterator[tuple[slice, tuple[int, int] | None]]:
        """Where trial `index` keeps its layers: (slice of the vector, shape (outputs, inputs)), then bias slices."""
        start = self.offsets[0][index] * self.inputs
        yield slice(start, start + self.units[0][index] * self.inputs), (self.units[0][index], self.inputs)
        for blocks in self.blocks:
            block = next(b for b in blocks if b.above.first <= index < b.above.first + b.above.count)
            start = block.offset + (index - block.above.first) * block.outputs * block.inputs
            yield slice(start, start + block.outputs * block.inputs), (block.outputs, block.inputs)
        for offsets, start in zip(self.offsets, self.bias_offsets, strict=False):
            yield slice(start + offsets[index], start + offsets[index + 1]), None

    def gathered(self, cut: Callable[[slice], Array], index: int) -> Array:
        """Trial `index`'s part of a vector of this layout, laid out as `Network.parameters`; `cut` slices the vector."""
        return np.concatenate(
            [(cut(part).reshape(shape).T if shape else cut(part)).ravel() for part, shape in self.parameters(index)]
        )

    def scattered(self, values: Array, index: int) -> Iterator[tuple[slice, Array]]:
        """The inverse of `gathered`: slices of the vector and what belongs there."""
        start = 0
        for part, shape in self.parameters(index):
            size = part.stop - part.start
            piece = values[start : start + size]
            yield part, piece.reshape(shape[1], shape[0]).T.ravel() if shape else piece
            start += size

    def per_parameter(self, of_trial: Array) -> Array:
        """A vector of this layout that holds, for every parameter, the value of its trial in `of_trial`."""
        rows = [np.repeat(of_trial, units) for units in self.units]
        parts = [np.repeat(rows[0], self.inputs)]
        parts += [
            np.repeat(of_trial[block.above.members], block.outputs * block.inputs)
            for blocks in self.blocks
            for block in blocks
        ]
        return np.concatenate(parts + rows)


def arrange(trials: Sequence[Trial]) -> list[int]:
    """The order in which trials share programs best, as positions in `trials`.

    Trials of one seed are neighbours. Within a seed, going by shape makes few blocks and going by activation makes few
    bands; that which needs fewer calls in all is taken.
    """

    def by_shape(index: int) -> tuple[Any, ...]:
        return trials[index].seed, trials[index].hidden, trials[index].activation, index

    def by_activation(index: int) -> tuple[Any, ...]:
        return trials[index].seed, trials[index].activation, trials[index].hidden, index

    def calls(order: Sequence[int]) -> int:
        shapes = len(list(groupby(trials[index].hidden for index in order)))
        activations = len(list(groupby(trials[index].activation for index in order)))
        return 3 * shapes + 2 * activations  # three products, and the activation forward and backward

    orders = [sorted(range(len(trials)), key=key) for key in (by_shape, by_activation)]
    return min(orders, key=calls)
