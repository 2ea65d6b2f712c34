"""What trained trials come to: their courses as a record keeps them, whether they learned, and what each variant tried."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lib.evaluation.checks import learned
from lib.mlp.course import objective
from lib.search.search import Search
from lib.studies.sweep.result import Configuration, Explored, TrialOutcome
from lib.studies.sweep.rows import Candidates
from lib.studies.sweep.settings import SweepSettings
from lib.studies.sweep.training import Trained


def configurations_of(
    variant: str, settings: SweepSettings, groups: Sequence[Sequence[Trained]], candidates: Candidates
) -> list[Configuration]:
    """The configurations of one variant, still without ranks, from their results: groups of one result a seed."""
    of_variant = settings.variants[variant]
    return [
        Configuration(
            variant=variant,
            number=number,
            searched=of_variant.search is not None,
            varied=of_variant.varied,
            trials=tuple(outcome(each, candidates.of_seed[each.trial.seed].y_train) for each in group),
            rank=0,
        )
        for number, group in enumerate(groups, start=1)
    ]


def outcome(trained: Trained, labels: npt.NDArray[np.int64]) -> TrialOutcome:
    """A training as a record keeps it; `labels` are those of the rows that it had, shape (n,)."""
    return TrialOutcome(
        trial=trained.trial,
        history=trained.history,
        diverged_epoch=trained.diverged_epoch,
        ended=trained.ended,
        parameters=trained.parameters,
        learned=learned(trained, labels),
    )


def explored(
    variant: str, settings: SweepSettings, search: Search, configurations: Sequence[Configuration]
) -> Explored:
    """What one variant tried, and which of the settings that vary in it matter; `configurations` in the order asked for."""
    dimensions = tuple(each for each in search.dimensions if each.size > 1)
    points = tuple(search.points())
    objectives = tuple(objective(each.trials) for each in configurations)
    # A diverged one has no objective, and a halved one's is of an earlier epoch.
    finished = [
        place
        for place, (each, value) in enumerate(zip(configurations, objectives, strict=True))
        if math.isfinite(value) and not each.halved
    ]
    share, importances = 0.0, None
    if len(dimensions) > 1:
        from lib.search import importance  # and with it Optuna

        rows = [points[place] | {"objective": objectives[place]} for place in finished]
        share, importances = importance.best_share(len(finished)), importance.importances(dimensions, rows)
    sampler = settings.variants[variant].search
    return Explored(
        variant=variant,
        sampler="grid" if sampler is None else sampler.sampler,
        dimensions=tuple(each.name for each in dimensions),
        points=points,
        objectives=objectives,
        finished=len(finished),
        lowest=min(finished, key=objectives.__getitem__, default=None),
        importances=importances,
        best_share=share,
    )
