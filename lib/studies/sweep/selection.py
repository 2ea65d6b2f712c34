"""Which configuration is best, by validation rows alone, and which are trained again and tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lib.mlp.course import Course
from lib.studies.sweep.result import Configuration
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
    if axis is None:
        return [min(left, key=lambda at: configurations[at].rank)] if left else []

    def contest(at: int) -> tuple[str, Any]:
        each = configurations[at]
        search = settings.variants[each.variant].search
        ranged = search is not None and axis in search.space.ranges
        return ("variant", each.variant) if ranged else ("value", each.value(axis))

    first = _best_of_each(left, contest, configurations)
    return _best_of_each(first, lambda at: configurations[at].value(axis), configurations)


def _best_of_each(
    positions: Sequence[int], contest: Callable[[int], Any], configurations: Sequence[Configuration]
) -> list[int]:
    groups: dict[Any, list[int]] = {}
    for at in positions:
        groups.setdefault(contest(at), []).append(at)
    return [min(group, key=lambda at: configurations[at].rank) for group in groups.values()]
