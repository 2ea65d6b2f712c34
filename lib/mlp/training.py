"""Train one trial."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from lib.mlp.course import Course, Ending
from lib.mlp.estimator import Listener, MLPClassifier, Record
from lib.mlp.trial import Trial


@dataclass(frozen=True)
class TrialData:
    """Rows that trials share, shape (n, features), and their labels 0..n_classes-1, shape (n,)."""

    X_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64]
    X_validation: npt.NDArray[np.float32]
    y_validation: npt.NDArray[np.int64]
    n_classes: int


@dataclass(frozen=True)
class TrialResult(Course):
    """What came of a trial: its network, and its course."""

    trial: Trial
    history: tuple[Record, ...]
    diverged_epoch: int | None
    network: MLPClassifier
    ended: Ending = "finished"

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return len(self.network.network_.parameters)


def estimator(trial: Trial) -> MLPClassifier:
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
