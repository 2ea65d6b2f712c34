"""What a stacked program is to the engine that runs it, whichever library computes: NumPy on the CPU, torch on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lib.mlp.initialisation import streams
from lib.mlp.layout import Index, Layout
from lib.mlp.network import Network
from lib.mlp.trial import Trial

Backend = Literal["numpy", "torch"]
Kind = Literal["sgd", "momentum", "adam"]

STATE: dict[Kind, tuple[str, ...]] = {"sgd": (), "momentum": ("velocity",), "adam": ("mean", "square")}
"""Vectors of parameter length that each kind of optimiser carries from step to step."""

ArrayT = TypeVar("ArrayT")


def kind_of(trial: Trial) -> Kind:
    """The kind of optimiser, which all trials of a program share."""
    if trial.optimizer != "sgd":
        return "adam"  # AdamW's decay is a setting of the program, as L2 is
    # Plain SGD's update has no place for a penalty: w * (1 - rate * l2 / n) rounds to w at single precision.
    return "momentum" if trial.momentum or trial.l2 else "sgd"


@dataclass(frozen=True)
class Rows(Generic[ArrayT]):
    """The rows that all programs of a call train on and watch, in the library's own arrays.

    Attributes
    ----------
    X, X_validation : array of the programs' dtype, shape (n, features)
    y, y_validation : array of int64, shape (n,)
    """

    X: ArrayT
    y: ArrayT
    X_validation: ArrayT
    y_validation: ArrayT


class StackedProgram(Protocol):
    """Parameters and optimiser state of many trials of one depth, batch size and kind of optimiser.

    `steps` counts the steps taken, which Adam's bias correction needs.
    """

    steps: int

    def run_epoch(self, orders: Mapping[int, npt.NDArray[np.int64]]) -> dict[str, list[float]]:
        """Train for one epoch, evaluate, and return figures by name, a value a trial (see `epoch_figures`).

        `orders` maps each seed to the order of the rows, shape (n,).
        """

    def draw(self, indices: Sequence[int]) -> None:
        """Give trials the initial parameters that the estimator draws for their seeds."""

    def export(self, indices: Sequence[int], state: bool) -> list[dict[str, npt.NDArray[np.floating]]]:
        """Trials' parameters, laid out as `Network.parameters`, and with `state` their optimiser's vectors."""

    def load(self, index: int, vectors: Mapping[str, npt.NDArray[np.floating]]) -> None:
        """Put back what `export` gave; optimiser vectors that are not given stay zero."""

    def close(self) -> None:
        """Free what it takes; nothing is asked of it afterwards."""


def initial_parameters(layout: Layout, index: int, dtype: npt.DTypeLike) -> npt.NDArray[np.floating]:
    """What the estimator begins with for trial `index`, laid out as `Network.parameters`."""
    trial = layout.trials[index]
    network = Network((layout.inputs, *trial.hidden, layout.classes), trial.activation, dtype)
    network.initialise(trial.init, streams(trial.seed)[0])
    return network.parameters


Move = tuple[Any, Any, Any]
"""Rows to take from, which, and where to put them."""


class Buffers:
    """Each layer's outputs for `count` rows, in training also their deltas, and the views that products need.

    Views are taken once: for small networks taking them costs as much as computing with them. Lists count layers from 0.
    Moves gather rows before and after a layer's products, where they do not lie as they should; `below`, `above` and the
    deltas there have each block's part, shape (networks, units, rows).

    `rows` makes so many rows of zeros, shape (rows, count); `index` makes an index the library's own array.
    """

    def __init__(
        self,
        layout: Layout,
        count: int,
        training: bool,
        rows: Callable[[int], Any],
        index: Callable[[Index], Any] = lambda index: index,
    ) -> None:
        self.count = count
        # One row more, of zeros, for padded rows to read. The output's delta takes the logits' place.
        whole = [rows(units + 1) for units in layout.rows]
        deltas = [rows(units + 1 if training else 1) for units in layout.rows[:-1]] + whole[-1:]
        self.outputs, self.deltas = ([each[:-1] for each in several] for several in (whole, deltas))
        self.logits = self.outputs[-1].reshape(len(layout.trials), layout.classes, count)
        self.before, self.after, self.before_lower, self.after_lower = (_a_layer() for _ in range(4))
        self.below, self.above, self.delta_below, self.delta_above = (_a_layer() for _ in range(4))
        for layer, later in enumerate(layout.later, start=1):
            below, above = self.outputs[layer - 1], self.outputs[layer]
            delta_below, delta_above = self.deltas[layer - 1], self.deltas[layer]
            for moves in (self.before, self.after, self.before_lower, self.after_lower):
                moves.append([])
            if (gathering := later.gathering) is not None:
                below = rows(len(gathering.inputs))
                self.before[layer].append((whole[layer - 1], index(gathering.inputs), below))
                if training:
                    delta_below = rows(len(gathering.inputs))
                    back = (delta_below, index(gathering.inputs_back), self.deltas[layer - 1])
                    self.after_lower[layer].append(back)
                if gathering.outputs is not None and gathering.outputs_back is not None:
                    above = rows(len(gathering.outputs_back))
                    self.after[layer].append((above, index(gathering.outputs), self.outputs[layer]))
                    if training:
                        delta_above = rows(len(gathering.outputs_back))
                        self.before_lower[layer].append((deltas[layer], index(gathering.outputs_back), delta_above))
            for parts, values, places in (
                (self.below, below, [block.below for block in later.blocks]),
                (self.above, above, [block.above for block in later.blocks]),
                (self.delta_below, delta_below if training else below, [block.below for block in later.blocks]),
                (self.delta_above, delta_above if training else above, [block.above for block in later.blocks]),
            ):
                cut = zip(later.blocks, places, strict=True)
                parts.append([values[place].reshape(block.count, -1, count) for block, place in cut])


def _a_layer() -> list[list[Any]]:
    """Nothing for the first layer."""
    return [[]]


def epoch_figures(
    losses: npt.NDArray[np.float64],
    rights: npt.NDArray[np.int64],
    rows: int,
    watched: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
    finite: npt.NDArray[np.bool_],
) -> dict[str, list[float]]:
    """One epoch's figures, a value a trial.

    Parameters
    ----------
    losses, rights : ndarray, shape (steps, trials)
        Summed cross-entropy and right predictions of each mini-batch, before its update.
    rows : int
        Training rows.
    watched : (loss, accuracy), optional
        Means over the validation rows, shape (trials,).
    finite : ndarray of bool, shape (trials,)
        Whether the parameters are finite at the end of the epoch.
    """
    # As the estimator, which stops at the first loss that is not finite: later mini-batches do not count.
    before = np.cumsum(~np.isfinite(losses), axis=0) - ~np.isfinite(losses) == 0
    figures: dict[str, npt.NDArray[Any]] = {
        "train_loss": np.where(before, losses, 0).sum(0) / rows,
        "train_accuracy": np.where(before, rights, 0).sum(0) / rows,
    }
    if watched is not None:
        figures["validation_loss"], figures["validation_accuracy"] = watched
    figures["finite"] = finite
    return {name: values.tolist() for name, values in figures.items()}
