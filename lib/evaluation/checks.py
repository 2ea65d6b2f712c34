"""Checks that keep a comparison honest; each is a fault that the reference study's code really had."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from enum import StrEnum
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lib.mlp.course import Course

LEARNED_MARGIN = 0.02
"""Accuracy must rise this far above the majority class's share to count as having learned."""

CLEAR_MARGIN = 0.1
"""So far above it, the accuracy alone is proof."""

Name = TypeVar("Name", bound=Hashable)


class Learned(StrEnum):
    """Whether a trial's network learned."""

    YES = "yes"
    DIVERGED = "diverged"
    AT_CHANCE = "at chance"
    """Its training accuracy is no better than always predicting the most frequent class."""
    NOT_JUDGED = "not judged"
    """It was halved before it had time to."""


def learned(trained: Course, labels: npt.NDArray[np.int64]) -> Learned:
    """Whether a trial learned its training rows, of these `labels`: it did not diverge and beats the class shares.

    The reference study's classifier trained 100 epochs with a loss that is always near zero, and nobody noticed.
    """
    if trained.diverged_epoch is not None:
        return Learned.DIVERGED
    if trained.ended == "halved":
        return Learned.NOT_JUDGED
    shares = np.bincount(labels) / len(labels)
    lead = max(record["train_accuracy"] for record in trained.history) - shares.max()
    if lead < LEARNED_MARGIN:
        return Learned.AT_CHANCE
    # With many classes an untrained network may beat the majority by luck; its loss then does not beat the shares'.
    prior = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    loss = min(record["train_loss"] for record in trained.history)
    return Learned.YES if lead >= CLEAR_MARGIN or loss < 0.99 * prior else Learned.AT_CHANCE


def nothing_learned(trials: Iterable[Learned]) -> bool:
    """Whether no trial of a sweep that was judged learned; its comparison says nothing."""
    judged = [each for each in trials if each is not Learned.NOT_JUDGED]
    return bool(judged) and Learned.YES not in judged


def same_answers(digests: Iterable[tuple[Name, str]]) -> list[tuple[Name, Name]]:
    """Pairs of models, the first of a digest and another, with bit-identical probabilities: one may be the other.

    `digests` are by name; an empty one is of a model that predicts nothing, and like no other.
    """
    first: dict[str, Name] = {}
    return [(first[digest], name) for name, digest in digests if digest and first.setdefault(digest, name) != name]
