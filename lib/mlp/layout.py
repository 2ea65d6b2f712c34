"""How the networks of many trials lie side by side in one parameter vector.

Activations are kept feature-major, shape (units of all trials, rows of the mini-batch): a trial's units are then a
contiguous band of rows, whatever its width. Trials of one seed see the same mini-batches, so neighbours of one seed share
their first layer's matrix product, without padding. In a later layer, trials of equal shape are one stack of products:
as they lie when they are neighbours, else gathered, and when there are many shapes, padded to few. A padded unit reads a
row of zeros and its weights start at zero, so they stay at zero, and it takes no part in anything.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.mlp.dropout import Dropout
from lib.mlp.losses import balanced_weights
from lib.mlp.trial import Trial

Array = npt.NDArray[np.floating]
Index = npt.NDArray[np.int64]

FEW = 12
"""Shapes of a layer up to which nothing is padded."""


@dataclass(frozen=True)
class Band:
    """Neighbouring trials that share something, `key`, and their rows `start`..`stop - 1` in a layer's output."""

    start: int
    stop: int
    key: Any

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Block:
    """Trials whose weights of a layer are one tensor (count, outputs, inputs).

    `below` and `above` are the rows of their inputs and outputs, as the layer's products want them (see `Later`).
    """

    members: tuple[int, ...]
    outputs: int
    inputs: int
    offset: int
    below: slice
    above: slice

    @property
    def count(self) -> int:
        return len(self.members)

    @property
    def size(self) -> int:
        """Weights in the block."""
        return self.count * self.outputs * self.inputs


@dataclass(frozen=True)
class Gathering:
    """How rows move between the order of bands, in which layers are kept, and the order of a layer's blocks.

    A padded row is taken from the row after a layer's last, which holds zeros.
    """

    inputs: Index
    """For each row of the blocks' inputs, the row of the layer below."""
    inputs_back: Index
    """For each row of the layer below, the row of the blocks' inputs."""
    outputs: Index | None = None
    """For each row of the layer, the row of the blocks' outputs. None for the output layer, which keeps their order."""
    outputs_back: Index | None = None
    """For each row of the blocks' outputs, the row of the layer."""


@dataclass(frozen=True)
class Later:
    """A layer after the first: its blocks, and how its rows are gathered for them, unless they lie so already."""

    blocks: list[Block]
    gathering: Gathering | None


class Layout:
    """Where each trial's parameters and units are.

    Parameters
    ----------
    trials : sequence of Trial
        All of one depth; kept in the order given, which `arrange` makes good.
    inputs, classes : int

    Attributes
    ----------
    rows : list of int
        Units of all trials in each layer, output layer last.
    seeds : tuple of int
        Each seed once.
    seed_bands : list of Band
        Runs of trials of one seed, with their rows in the first layer's output; the key is the seed's place in `seeds`.
    activations : list of list of Band
        For each hidden layer, runs of trials of one activation.
    later : list of Later
        The layers after the first.
    slots : list of int
        Where each trial's classes stand among those of all trials in the output layer.
    n_weights, size : int
        All weights lie before all biases in the parameter vector of `size`.
    """

    def __init__(self, trials: Sequence[Trial], inputs: int, classes: int) -> None:
        self.trials = list(trials)
        self.inputs = inputs
        self.classes = classes
        depth = len(self.trials[0].hidden)
        self._units = [[trial.hidden[layer] for trial in self.trials] for layer in range(depth)]
        self._units.append([classes] * len(self.trials))
        self._offsets = [[0, *accumulate(units)] for units in self._units]
        self.rows = [offsets[-1] for offsets in self._offsets]
        self.seeds = tuple(dict.fromkeys(trial.seed for trial in self.trials))
        self.seed_bands = self._bands(0, lambda trial: self.seeds.index(trial.seed))
        self.activations = [self._bands(layer, lambda trial: trial.activation) for layer in range(depth)]
        self.slots = list(range(len(self.trials)))
        self.later: list[Later] = []
        offset = self.rows[0] * inputs
        for layer in range(1, depth + 1):
            self.later.append(self._later(layer, offset))
            offset += sum(block.size for block in self.later[-1].blocks)
        self.n_weights = offset
        self.bias_offsets = [offset, *(offset + total for total in accumulate(self.rows))]
        self.size = self.bias_offsets[-1]

    @cached_property
    def in_slots(self) -> Index:
        """The trial in each slot."""
        return np.argsort(self.slots)

    @cached_property
    def slot_seeds(self) -> Index:
        """The place in `seeds` of the seed of each slot's trial."""
        return np.array([self.seeds.index(self.trials[index].seed) for index in self.in_slots])

    def settings(self, name: str) -> npt.NDArray[np.float64]:
        """A setting of each trial, shape (trials,)."""
        return np.array([getattr(trial, name) for trial in self.trials], np.float64)

    @property
    def dropout(self) -> list[Dropout]:
        """That of the trials, which have it all or none."""
        return [Dropout(trial.seed, trial.dropout, trial.hidden) for trial in self.trials if trial.dropout]

    def class_weights(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        """What each slot's trial multiplies the loss of rows of each class with, shape (slots, classes), if any does."""
        given = [trial.class_weights for trial in self.trials]
        if all(each == "none" for each in given):
            return None
        balanced, none = balanced_weights(labels, self.classes), np.ones(self.classes)
        return np.stack([none if each == "none" else balanced for each in given])[self.in_slots]

    def _bands(self, layer: int, key: Callable[[Trial], Any]) -> list[Band]:
        bands = []
        offsets = self._offsets[layer]
        for value, group in groupby(range(len(self.trials)), lambda index: key(self.trials[index])):
            members = list(group)
            bands.append(Band(offsets[members[0]], offsets[members[-1] + 1], value))
        return bands

    def _later(self, layer: int, offset: int) -> Later:
        last = layer == len(self._units) - 1
        shapes = list(zip(self._units[layer], self._units[layer - 1], strict=True))
        runs = [list(group) for _, group in groupby(range(len(shapes)), lambda index: shapes[index])]
        gathered = _gathered(shapes, last)
        if len(runs) <= 2 * len(gathered):
            return Later(self._blocks([(shapes[run[0]], run) for run in runs], offset), None)
        blocks = self._blocks(list(gathered.items()), offset)
        inputs, inputs_back = self._moves(blocks, layer - 1, [(block.below, block.inputs) for block in blocks])
        if last:
            for slot, index in enumerate(index for block in blocks for index in block.members):
                self.slots[index] = slot
            return Later(blocks, Gathering(inputs, inputs_back))
        outputs_back, outputs = self._moves(blocks, layer, [(block.above, block.outputs) for block in blocks])
        return Later(blocks, Gathering(inputs, inputs_back, outputs, outputs_back))

    def _blocks(self, groups: Sequence[tuple[tuple[int, int], Sequence[int]]], offset: int) -> list[Block]:
        blocks, below, above = [], 0, 0
        for (outputs, inputs), members in groups:
            to_below, to_above = below + len(members) * inputs, above + len(members) * outputs
            block = Block(tuple(members), outputs, inputs, offset, slice(below, to_below), slice(above, to_above))
            blocks.append(block)
            offset, below, above = offset + block.size, to_below, to_above
        return blocks

    def _moves(self, blocks: Sequence[Block], layer: int, places: Sequence[tuple[slice, int]]) -> tuple[Index, Index]:
        """For each row of the blocks, that of `layer` (the one after the last where it is padded), and the other way."""
        to_blocks = np.full(places[-1][0].stop, self.rows[layer], np.int64)
        back = np.empty(self.rows[layer], np.int64)
        for block, (rows, width) in zip(blocks, places, strict=True):
            for number, index in enumerate(block.members):
                first, stop = self._offsets[layer][index], self._offsets[layer][index + 1]
                start = rows.start + number * width
                to_blocks[start : start + stop - first] = np.arange(first, stop)
                back[first:stop] = np.arange(start, start + stop - first)
        return to_blocks, back

    def _parameters(self, index: int) -> Iterator[tuple[slice, tuple[int, int] | None, tuple[int, int] | None]]:
        """Where trial `index` keeps each layer's weights, then its biases: the slice, the shape there and the trial's own
        shape (outputs, inputs), both None for biases.
        """
        own = (self._units[0][index], self.inputs)
        start = self._offsets[0][index] * self.inputs
        yield slice(start, start + own[0] * own[1]), own, own
        for layer, later in enumerate(self.later, start=1):
            block = next(block for block in later.blocks if index in block.members)
            start = block.offset + block.members.index(index) * block.outputs * block.inputs
            own = (self._units[layer][index], self._units[layer - 1][index])
            yield slice(start, start + block.outputs * block.inputs), (block.outputs, block.inputs), own
        for offsets, start in zip(self._offsets[:-1], self.bias_offsets, strict=False):
            yield slice(start + offsets[index], start + offsets[index + 1]), None, None
        start = self.bias_offsets[-2] + self.slots[index] * self.classes
        yield slice(start, start + self.classes), None, None

    def gathered(self, cut: Callable[[slice], Array], index: int) -> Array:
        """Trial `index`'s part of a vector of this layout, laid out as `Network.parameters`; `cut` slices the vector."""
        parts = []
        for part, shape, own in self._parameters(index):
            piece = cut(part)
            parts.append(piece if shape is None or own is None else piece.reshape(shape)[: own[0], : own[1]].T.ravel())
        return np.concatenate(parts)

    def scattered(self, values: Array, index: int) -> Iterator[tuple[slice, Array]]:
        """The inverse of `gathered`: slices of the vector and what belongs there, zero in padding."""
        start = 0
        for part, shape, own in self._parameters(index):
            if shape is None or own is None:
                size = part.stop - part.start
                yield part, values[start : start + size]
            else:
                size = own[0] * own[1]
                piece = np.zeros(shape, values.dtype)
                piece[: own[0], : own[1]] = values[start : start + size].reshape(own[1], own[0]).T
                yield part, piece.ravel()
            start += size

    def trials_of_rows(self, layer: int) -> Index:
        """The trial of each row of a layer's output."""
        if layer == len(self.rows) - 1:
            return np.repeat(self.in_slots, self.classes)
        return np.repeat(np.arange(len(self.trials)), self._units[layer])

    @cached_property
    def _runs(self) -> tuple[Index, Index]:
        """Runs of parameters of one trial, in the vector's order: the trial of each, and where it ends."""
        trials = [np.arange(len(self.trials))]
        lengths = [self.inputs * np.array(self._units[0])]
        for block in (block for later in self.later for block in later.blocks):
            trials.append(np.array(block.members))
            lengths.append(np.full(block.count, block.outputs * block.inputs))
        for layer in range(len(self.rows)):
            trials.append(self.trials_of_rows(layer))
            lengths.append(np.ones(self.rows[layer], np.int64))
        return np.concatenate(trials), np.cumsum(np.concatenate(lengths))

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Runs of parameters of one trial, the first layer's weights, later ones, biases: the trial, and where.

        The first layer's are as many as there are trials.
        """
        start, bounds = 0, (self.rows[0] * self.inputs, self.n_weights)
        parts = zip(*self._runs, strict=True)
        for (trial, *_), group in groupby(parts, lambda run: (run[0], *(run[1] > bound for bound in bounds))):
            stop = int([end for _, end in group][-1])
            yield int(trial), slice(start, stop)
            start = stop

    def per_parameter(self, of_trial: Array, part: slice | None = None) -> Array:
        """For every parameter of a slice of the vector (of all, unless given) the value of its trial in `of_trial`."""
        trials, lengths = self.runs_of(slice(0, self.size) if part is None else part)
        return np.repeat(of_trial[trials], lengths)

    def runs_of(self, part: slice) -> tuple[Index, Index]:
        """Runs of parameters of one trial within a slice of the vector: the trial and the length of each."""
        trials, ends = self._runs
        first, last = np.searchsorted(ends, [part.start, part.stop - 1], "right")
        inside = np.diff(np.clip(ends[first : last + 1], part.start, part.stop), prepend=part.start).astype(np.int64)
        return trials[first : last + 1], inside


def _gathered(shapes: Sequence[tuple[int, int]], last: bool) -> dict[tuple[int, int], list[int]]:
    """Positions by shape (outputs, inputs); if there are many shapes, by padded shape, but classes are never padded."""
    groups: dict[tuple[int, int], list[int]] = {}
    few = len(set(shapes)) <= FEW
    for index, (outputs, inputs) in enumerate(shapes):
        key = (outputs, inputs) if few else (outputs if last else padded(outputs), padded(inputs))
        groups.setdefault(key, []).append(index)
    return groups


def padded(units: int) -> int:
    """The width to which a layer is padded when there are many widths."""
    step = 16 if units <= 64 else 32
    return -(-units // step) * step


def arrange(trials: Sequence[Trial]) -> list[int]:
    """The order in which trials share programs best, as positions in `trials`: that which needs the fewest calls.

    Neighbours of one seed share a first layer, neighbours of one activation its call; later layers can be gathered.
    """
    keys: list[Callable[[Trial], tuple[Any, ...]]] = [
        lambda trial: (trial.seed, trial.hidden, trial.activation),
        lambda trial: (trial.seed, trial.activation, trial.hidden),
        lambda trial: (trial.activation, trial.seed, trial.hidden),
    ]

    def runs(order: Sequence[int], name: str) -> int:
        values: list[Hashable] = [getattr(trials[index], name) for index in order]
        return len(list(groupby(values)))

    def calls(order: Sequence[int]) -> int:
        # Each layer's products: forward, gradient, and below the first layer the delta. An activation is a few calls.
        depth = len(trials[order[0]].hidden)
        blocks = min(runs(order, "hidden"), 2 * len({trial.hidden for trial in trials}))
        return 2 * runs(order, "seed") + depth * (3 * blocks + 5 * runs(order, "activation"))

    orders = [sorted(range(len(trials)), key=lambda index: (key(trials[index]), index)) for key in keys]
    return min(orders, key=calls)
