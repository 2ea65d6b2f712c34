"""What a sweep's figures allow to be said: is the best really better than the next, does a step along the axis matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from lib.evaluation.intervals import LEVEL, Difference, holm, p_words, paired_difference
from lib.mlp.training import TrialResult

Figure = Callable[[TrialResult], float]


class Compared(Protocol):
    """A configuration trained with the same seeds as its rivals."""

    @property
    def arm(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def value(self) -> Any: ...
    @property
    def results(self) -> Sequence[TrialResult]: ...
    def values(self, figure: Figure) -> list[float]: ...
    def mean(self, figure: Figure) -> float: ...


@dataclass(frozen=True)
class Change:
    """What a figure does from one configuration to the next; `p_value` is corrected for the changes tested with it.

    `difference` is None where the two cannot be compared: a loss that is not finite.
    """

    before: Compared
    after: Compared
    difference: Difference | None
    p_value: float

    @property
    def direction(self) -> str:
        """ "falls", "rises", "no clear change" or "not compared"."""
        if self.difference is None:
            return "not compared"
        if self.p_value >= LEVEL:
            return "no clear change"
        return "falls" if self.difference.estimate < 0 else "rises"

    @property
    def words(self) -> str:
        """The difference, its own 95 % interval, and the corrected p-value."""
        if self.difference is None:
            return "a loss is not finite"
        low, high = self.difference.low, self.difference.high
        if low == high:
            return f"{low:.4f} (the same with each of {self.difference.pairs} seeds)"
        return f"{self.difference.estimate:.4f} ({low:.4f} to {high:.4f}, Holm's {p_words(self.p_value)})"


@dataclass(frozen=True)
class Verdict:
    """Whether the best is told apart from every rival, and the same in words."""

    told_apart: bool
    words: str


def verdict(best: Compared, configurations: Sequence[Compared], figure: Figure, several_arms: bool) -> str:
    """The words of `judge`."""
    return judge(best, configurations, figure, several_arms).words


def judge(best: Compared, configurations: Sequence[Compared], figure: Figure, several_arms: bool) -> Verdict:
    """Whether `best` is distinguishable by `figure` (higher is better) from the others, first of all the runner-up.

    It is compared with each rival by a paired test, and called ahead only where every one of them tells it apart: a claim
    that needs all tests needs no correction for their number (the intersection-union test, Berger 1982, Technometrics
    24:295). The runner-up alone would not do: a rival of lower mean but of more spread may be harder to exclude.
    """
    others = sorted((each for each in configurations if each is not best), key=lambda each: -each.mean(figure))
    if not others:
        return Verdict(False, "the only configuration")

    def name(each: Compared) -> str:
        return f"{each.arm}: {each.label}" if several_arms else each.label

    if len(best.results) < 2:
        return Verdict(False, f"one seed cannot tell it from {name(others[0])}")
    leads = {name(each): paired_difference(best.values(figure), each.values(figure)) for each in others}
    if not all(map(math.isfinite, best.values(figure))):
        return Verdict(False, "no configuration's figure is finite with every seed")
    finite = {rival: lead for rival, lead in leads.items() if lead is not None}  # the rest diverged
    if not finite:
        return Verdict(True, "the only one whose figure is finite with every seed")
    near = {rival: lead for rival, lead in finite.items() if not lead.real}
    second, lead = next(iter(finite.items()))
    if not near:
        rest = f", and told apart from {_the_other(len(finite) - 1)}" if len(finite) > 1 else ""
        return Verdict(True, f"ahead of {second} by {lead.words}{rest}")
    if second in near:
        some = f"{len(near) - 1} of the {len(finite) - 1} others"
        rest = f", nor from {_the_other(len(near) - 1) if len(near) == len(finite) else some}" if len(near) > 1 else ""
        return Verdict(False, f"not told apart from {second}: {lead.words}{rest}")
    hidden, unsure = next(iter(near.items()))
    return Verdict(False, f"ahead of {second} by {lead.words}, but not told apart from {hidden}: {unsure.words}")


def _the_other(count: int) -> str:
    return "the other" if count == 1 else f"the other {count}"


def changes(configurations: Sequence[Compared], figure: Figure) -> list[Change]:
    """Each step from one configuration to the next, by paired t over seeds with Holm's correction over the steps."""
    pairs = list(pairwise(configurations))
    differences = [paired_difference(after.values(figure), before.values(figure)) for before, after in pairs]
    tested = [difference for difference in differences if difference is not None]
    adjusted = iter(holm([difference.p_value for difference in tested]))
    return [
        Change(before, after, difference, 1.0 if difference is None else next(adjusted))
        for (before, after), difference in zip(pairs, differences, strict=True)
    ]


def steps(configurations: Sequence[Compared]) -> list[dict[str, Any]]:
    """Each step from one axis value to the next within an arm: paired changes of training and validation loss.

    Empty with a single seed, which tells nothing of the spread. Holm's correction is over the steps of one arm and loss.
    """
    rows: list[dict[str, Any]] = []
    for arm, of_arm in by_arm(configurations).items():
        if len(of_arm[0].results) < 2:
            return []
        train = changes(of_arm, lambda result: result.mean_train_loss)
        validation = changes(of_arm, lambda result: result.best_validation_loss)
        rows += [
            {
                "arm": arm,
                "from": on_train.before.label,
                "to": on_train.after.label,
                "mean train loss": on_train.words,
                "train": on_train.direction,
                "best validation loss": on_validation.words,
                "validation": on_validation.direction,
            }
            for on_train, on_validation in zip(train, validation, strict=True)
        ]
    return rows


def by_arm(configurations: Sequence[Compared]) -> dict[str, list[Compared]]:
    """The configurations of each arm, in their order."""
    arms: dict[str, list[Compared]] = {}
    for each in configurations:
        arms.setdefault(each.arm, []).append(each)
    return arms
