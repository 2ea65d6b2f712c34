"""What a sweep's figures allow to be said: is the best really better than the next, does a step along the axis matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from lib.evaluation.intervals import Difference, paired_difference
from lib.mlp.training import TrialResult

Figure = Callable[[TrialResult], float]


class Compared(Protocol):
    """A configuration trained with the same seeds as its rivals."""

    @property
    def arm(self) -> str: ...
    @property
    def label(self) -> str: ...
    def values(self, figure: Figure) -> list[float]: ...
    def mean(self, figure: Figure) -> float: ...


def verdict(best: Compared, configurations: Sequence[Compared], figure: Figure, several_arms: bool) -> str:
    """Whether `best` is distinguishable by `figure` (higher is better) from the best of the others, in words."""
    others = [each for each in configurations if each is not best]
    if not others:
        return "the only configuration"
    second = max(others, key=lambda each: each.mean(figure))
    name = f"{second.arm}: {second.label}" if several_arms else second.label
    difference = paired_difference(best.values(figure), second.values(figure))
    if difference is None:
        return f"one seed cannot tell it from {name}"
    if difference.real:
        return f"ahead of {name} by {difference.words}"
    return f"not told apart from {name}: {difference.words}"


def steps(configurations: Sequence[Compared]) -> list[dict[str, Any]]:
    """Each step from one axis value to the next within an arm: paired changes of training and validation loss.

    Empty with a single seed, which tells nothing of the spread.
    """
    rows = []
    for arm in dict.fromkeys(each.arm for each in configurations):
        of_arm = [each for each in configurations if each.arm == arm]
        for before, after in pairwise(of_arm):
            train = _change(before, after, lambda result: result.mean_train_loss)
            validation = _change(before, after, lambda result: result.best_validation_loss)
            if train is None or validation is None:
                return []
            rows.append(
                {
                    "arm": arm,
                    "from": before.label,
                    "to": after.label,
                    "mean train loss": train.words,
                    "train": _direction(train),
                    "best validation loss": validation.words,
                    "validation": _direction(validation),
                }
            )
    return rows


def findings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The steps of each arm in sentences."""
    sentences = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        of_arm = [row for row in rows if row["arm"] == arm]
        for kind in ("train", "validation"):
            words = {"train": "mean training loss", "validation": "best validation loss"}[kind]
            told = ", ".join(f"{row['from']} to {row['to']} {row[kind]}" for row in of_arm)
            sentences.append(f"{arm}: {words}, step by step: {told}.")
    return sentences


def _change(before: Compared, after: Compared, figure: Figure) -> Difference | None:
    return paired_difference(after.values(figure), before.values(figure))


def _direction(difference: Difference) -> str:
    if not difference.real:
        return "no clear change"
    return "falls" if difference.high < 0 else "rises"
