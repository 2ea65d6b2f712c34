"""How much each setting that varied decides whether a configuration is among the best: Optuna's PED-ANOVA.

The same figure for a grid and for a search, so that variants compare. Only a study in which several settings vary imports
this module, and with it Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from lib.search.optuna_search import distribution
from lib.search.space import Dimension

FEWEST = 4
"""Finished configurations below which importances say nothing."""


def importances(dimensions: Sequence[Dimension], rows: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """Share of each dimension in reaching the lowest objectives (PED-ANOVA, Watanabe et al. 2023), highest first.

    `rows` are finished configurations: a value for each dimension that varies, and `objective`, the lower the better.
    None when there are fewer than `FEWEST` rows, or the best do not stand out from the rest.
    """
    values = sorted(float(row["objective"]) for row in rows)
    share = best_share(len(values))
    if len(values) < FEWEST or values[math.ceil(share * len(values)) - 1] == values[-1]:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    distributions = {each.name: distribution(each) for each in dimensions}
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: row[name] for name in distributions},
                distributions=distributions,
                value=float(row["objective"]),
            )
            for row in rows
        ]
    )
    evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
    return get_param_importances(study, evaluator=evaluator, params=list(distributions))


def best_share(finished: int) -> float:
    """The share of finished configurations that counts as best: a tenth, or more where that is fewer than five."""
    return min(0.5, max(0.1, 5 / max(1, finished)))
