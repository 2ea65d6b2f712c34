"""The course of a training: figures taken from its epochs, whoever holds them, a result with its network or a record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

Ending = Literal["finished", "diverged", "patience", "halved"]
"""How a trial ended: after all its epochs, by a loss that is not finite, by early stopping, or at a rung of halving."""


class Course:
    """Figures of a `history` (one record an epoch, as `MLPClassifier.history_`) that went so far and `ended` so.

    A mixin without fields: whoever has `history`, `diverged_epoch` and `ended` has the figures, too.
    """

    if TYPE_CHECKING:

        @property
        def history(self) -> Sequence[Mapping[str, float]]: ...
        @property
        def diverged_epoch(self) -> int | None: ...
        @property
        def ended(self) -> Ending: ...

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


def objective(results: Sequence[Course]) -> float:
    """Best validation loss, in nats, as a mean over a configuration's seeds; infinite when any seed diverged."""
    if any(result.ended == "diverged" for result in results):
        return math.inf
    loss = float(np.mean([result.best_validation_loss for result in results]))
    return loss if math.isfinite(loss) else math.inf
