"""What a stacked program is to the engine that runs it, whichever library computes: NumPy on the CPU, torch on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

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

    def export(self, index: int, state: bool) -> dict[str, npt.NDArray[np.floating]]:
        """Trial `index`'s parameters, laid out as `Network.parameters`, and with `state` its optimiser's vectors."""

    def load(self, index: int, vectors: Mapping[str, npt.NDArray[np.floating]]) -> None:
        """Put back what `export` gave; optimiser vectors that are not given stay zero."""


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
