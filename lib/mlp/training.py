"""Train one trial, and the figures that reports take from it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from lib.mlp.estimator import Listener, MLPClassifier, Record
from lib.mlp.trial import Trial


@dataclass(frozen=True)
class TrialData:
    """Rows that trials share.

    Attributes
    ----------
    X_train, X_validation : ndarray of float32, shape (n, features)
    y_train, y_validation : ndarray of int64, shape (n,)
        Labels 0..n_classes-1.
    """

    X_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64]
    X_validation: npt.NDArray[np.float32]
    y_validation: npt.NDArray[np.int64]
    n_classes: int


Ending = Literal["finished", "diverged", "patience", "halved"]
"""How a trial ended: after all its epochs, by a loss that is not finite, by early stopping, or at a rung of halving."""


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial. `history` holds one record an epoch, as `MLPClassifier.history_`."""

    trial: Trial
    history: tuple[Record, ...]
    diverged_epoch: int | None
    network: MLPClassifier
    ended: Ending = "finished"

    @property
    def ended_words(self) -> str:
        """How it ended, for reading: "finished", "halved at epoch 10"."""
        if self.ended == "finished":
            return "finished"
        how = "out of patience" if self.ended == "patience" else self.ended
        return f"{how} at epoch {len(self.history)}"

    @property
    def seconds(self) -> float:
        """Wall time of the training, in seconds."""
        return self.history[-1]["seconds"]

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return len(self.network.network_.parameters)

    @property
    def best_epoch(self) -> int:
        """The epoch of the lowest validation loss, from 1."""
        losses = [record["validation_loss"] for record in self.history]
        return 1 + min(range(len(losses)), key=lambda index: (not math.isfinite(losses[index]), losses[index]))

    @property
    def best_validation_loss(self) -> float:
        """Lowest validation cross-entropy of any epoch, in nats."""
        return self.history[self.best_epoch - 1]["validation_loss"]

    @property
    def best_validation_accuracy(self) -> float:
        """Highest validation accuracy of any epoch."""
        return max(record["validation_accuracy"] for record in self.history)

    @property
    def final_validation_accuracy(self) -> float:
        """Validation accuracy after the last epoch; 0 for a diverged trial, so that it is never chosen."""
        return 0.0 if self.diverged_epoch is not None else self.history[-1]["validation_accuracy"]

    @property
    def mean_train_loss(self) -> float:
        """Training cross-entropy averaged over the epochs, the reference study's "average"."""
        return float(np.mean([record["train_loss"] for record in self.history]))

    @property
    def mean_validation_loss(self) -> float:
        """Validation cross-entropy averaged over the epochs, the reference study's "average"."""
        return float(np.mean([record["validation_loss"] for record in self.history]))


def estimator(trial: Trial) -> MLPClassifier:
    """The unfitted estimator of a trial."""
    settings = trial.model_dump(exclude={"seed"})
    return MLPClassifier(**settings, random_state=trial.seed)


def train(trial: Trial, data: TrialData, on_epoch: Listener | None = None) -> TrialResult:
    """Train `trial` on the training rows, watching the validation rows; divergence is a result, not an error."""
    network = estimator(trial)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told by diverged_epoch
        network.fit(data.X_train, data.y_train, validation=(data.X_validation, data.y_validation), on_epoch=on_epoch)
    ended: Ending = "finished" if network.diverged_epoch_ is None else "diverged"
    return TrialResult(trial, tuple(network.history_), network.diverged_epoch_, network, ended)
