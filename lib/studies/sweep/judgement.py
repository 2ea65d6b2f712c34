"""What a sweep's figures allow to be concluded: which configuration is best, by validation rows alone, and which are tested;
whether it is significantly better, and whether a step along the axis matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lib.evaluation.intervals import LEVEL, Difference, holm_of, paired_difference
from lib.mlp.course import Course
from lib.studies.sweep.result import Configuration, Judgement, Rival, Step, Verdict
from lib.studies.sweep.settings import SweepSettings

Figure = Callable[[Course], float]


def final_accuracy(course: Course) -> float:
    """Validation accuracy after the last epoch, by which configurations are compared."""
    return course.final_validation_accuracy


def values(configuration: Configuration, figure: Figure) -> list[float]:
    return [figure(each) for each in configuration.trials]


def mean(configuration: Configuration, figure: Figure) -> float:
    return float(np.mean(values(configuration, figure)))


def ranked(configurations: Sequence[Configuration]) -> list[int]:
    """Positions of the configurations, the best first.

    By mean validation accuracy after the last epoch; a tie goes to the lower loss. A halved one never comes before one that
    was not: its figures were taken at an earlier epoch.
    """

    def rank(position: int) -> tuple[bool, float, float]:
        each = configurations[position]
        loss = mean(each, lambda course: course.best_validation_loss)
        return not each.halved, mean(each, final_accuracy), -loss if np.isfinite(loss) else -np.inf

    return sorted(range(len(configurations)), key=rank, reverse=True)


def with_ranks(configurations: Sequence[Configuration]) -> tuple[Configuration, ...]:
    """The configurations, each with its place among all."""
    places = {position: place for place, position in enumerate(ranked(configurations), start=1)}
    return tuple(each.model_copy(update={"rank": places[at]}) for at, each in enumerate(configurations))


def winners(settings: SweepSettings, configurations: Sequence[Configuration]) -> list[int]:
    """Positions of those to be tested, with ranks: the best alone, or with an axis the winner of each of its values.

    Of a variant whose search draws the axis from a range, the variant's winner. A value all of whose configurations were
    halved has none.
    """
    axis = settings.axis
    left = [at for at, each in enumerate(configurations) if not each.halved]
    first = _best_of_each(left, lambda at: _contest(settings, configurations[at]), configurations)
    if axis is None:
        return first
    return _best_of_each(first, lambda at: configurations[at].value(axis), configurations)


def rivals_of(winner: int, settings: SweepSettings, configurations: Sequence[Configuration]) -> list[Configuration]:
    """The configurations among which a winner is the best, halved ones and itself included."""
    own = _contest(settings, configurations[winner])
    return [each for each in configurations if _contest(settings, each) == own]


def _contest(settings: SweepSettings, each: Configuration) -> tuple[str, Any]:
    """What a configuration is to win: the sweep, or with an axis its value, or the variant whose search draws that."""
    axis = settings.axis
    if axis is None:
        return "sweep", None
    search = settings.variants[each.variant].search
    ranged = search is not None and axis in search.space.ranges
    return ("variant", each.variant) if ranged else ("value", each.value(axis))


def _best_of_each(
    positions: Sequence[int], contest: Callable[[int], Any], configurations: Sequence[Configuration]
) -> list[int]:
    groups: dict[Any, list[int]] = {}
    for at in positions:
        groups.setdefault(contest(at), []).append(at)
    return [min(group, key=lambda at: configurations[at].rank) for group in groups.values()]


def judge(best: int, configurations: Sequence[Configuration], overlap: float = 0.0) -> Judgement:
    """Whether the best is significantly better than each of the others that were not halved; see `Judgement`.

    For `overlap` see `SweepResult.overlap`.

    The runner-up alone would not do: a rival of lower mean but of more spread may be harder to exclude.
    """
    chosen = configurations[best]
    others = [at for at, each in enumerate(configurations) if at != best and not each.halved]
    others.sort(key=lambda at: -mean(configurations[at], final_accuracy))
    leads = {at: _difference(chosen, configurations[at], final_accuracy, overlap) for at in others}
    rivals = tuple(Rival(configuration=at, difference=lead) for at, lead in leads.items())
    return Judgement(verdict=_verdict(chosen, [lead for lead in leads.values() if lead], len(others)), rivals=rivals)


def _verdict(best: Configuration, leads: Sequence[Difference], others: int) -> Verdict:
    if not others:
        return Verdict.ONLY
    if len(best.trials) < 2:
        return Verdict.ONE_SEED
    if not all(map(math.isfinite, values(best, final_accuracy))):
        return Verdict.NOT_FINITE
    if not leads:
        return Verdict.ONLY
    return Verdict.SIGNIFICANT if all(lead.p_value < LEVEL for lead in leads) else Verdict.NOT_SIGNIFICANT


def _difference(one: Configuration, other: Configuration, figure: Figure, overlap: float) -> Difference | None:
    """The mean of a figure's difference, paired over seeds."""
    return paired_difference(values(one, figure), values(other, figure), overlap)


def steps(settings: SweepSettings, configurations: Sequence[Configuration], overlap: float = 0.0) -> tuple[Step, ...]:
    """Each step from one value of the axis to the next within a variant that varies nothing else.

    None with a single seed, which tells nothing of the spread; along an axis of words, which has no order; and where trials
    ended early, for averages over epochs compare only where the epochs are the same. Holm's correction is over the steps of
    one variant and loss.
    """
    axis = settings.axis
    if axis is None or len(settings.seeds) < 2:
        return ()
    of_variants = [
        [at for at, each in enumerate(configurations) if each.variant == name]
        for name, variant in settings.variants.items()
        if variant.search is None and set(variant.grid) == {axis}
    ]
    every = [configurations[at] for of_variant in of_variants for at in of_variant]
    early = any(trial.ended in ("patience", "halved") for each in every for trial in each.trials)
    if early or any(isinstance(each.value(axis), str) for each in every):
        return ()
    return tuple(step for of_variant in of_variants for step in _steps(of_variant, configurations, overlap))


def _steps(positions: Sequence[int], configurations: Sequence[Configuration], overlap: float) -> list[Step]:
    train = _changes(positions, configurations, lambda course: course.mean_train_loss, overlap)
    validation = _changes(positions, configurations, lambda course: course.best_validation_loss, overlap)
    return [
        Step(
            variant=configurations[before].variant,
            before=before,
            after=after,
            train_loss=on_train,
            train_loss_p=train_p,
            validation_loss=on_validation,
            validation_loss_p=validation_p,
        )
        for (before, after), (on_train, train_p), (on_validation, validation_p) in zip(
            pairwise(positions), train, validation, strict=True
        )
    ]


def _changes(
    positions: Sequence[int], configurations: Sequence[Configuration], figure: Figure, overlap: float
) -> list[tuple[Difference | None, float]]:
    """From each to the next: the figure's change, and its p by Holm's correction."""
    found = [
        _difference(configurations[after], configurations[before], figure, overlap)
        for before, after in pairwise(positions)
    ]
    return list(zip(found, holm_of(found), strict=True))
