"""Checks that keep a comparison honest; each is a fault that the reference study's code really had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lib.mlp.training import TrialResult

LEARNED_MARGIN = 0.02
"""Training accuracy must rise this far above the majority class's share to count as having learned."""


CLEAR_MARGIN = 0.1
"""So far above it, the accuracy alone is proof."""


def learning_flag(result: TrialResult, labels: npt.NDArray[np.int64]) -> str | None:
    """Say in words when a trial has not learned: it diverged, or it does no better than the class shares alone.

    The reference study's classifier trained 100 epochs with a loss that is always near zero, and nobody noticed.
    """
    if result.diverged_epoch is not None:
        return f"diverged: the loss was not finite in epoch {result.diverged_epoch}"
    shares = np.bincount(labels) / len(labels)
    majority = shares.max()
    best = max(record["train_accuracy"] for record in result.history)
    if best < majority + LEARNED_MARGIN:
        return (
            f"did not learn: training accuracy {best:.3f} is no better than the majority class's share {majority:.3f}"
        )
    if best >= majority + CLEAR_MARGIN:
        return None
    # With many classes an untrained network may beat the majority by luck; its loss then does not beat the shares'.
    prior = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    loss = min(record["train_loss"] for record in result.history)
    if loss < 0.99 * prior:
        return None
    return f"did not learn: training loss {loss:.3f} is no lower than the class shares alone give ({prior:.3f})"


def study_flag(flags: Sequence[str | None]) -> str | None:
    """Flag a whole sweep in which no trial learned; its comparison says nothing."""
    if not flags or any(flag is None for flag in flags):
        return None
    return f"none of the {len(flags)} trials learned; check the loss, the rates and the data before reading any figure"


def same_model_flags(predictions: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[str]:
    """Name the rows of a comparison that score one model twice.

    Parameters
    ----------
    predictions : mapping or pairs of row name -> prediction digest
        Two rows with one digest gave bit-identical probabilities, as the study's "identity" row did: it was ReLU again.
        An empty digest is of a model that says nothing, and like no other.
    """
    pairs = predictions.items() if isinstance(predictions, Mapping) else predictions
    names: dict[str, list[str]] = defaultdict(list)
    for name, digest in pairs:
        if digest:
            names[digest].append(name)
    return [
        f"{' and '.join(sorted(group))} gave bit-identical probabilities: one model was scored under several names"
        for group in names.values()
        if len(group) > 1
    ]
