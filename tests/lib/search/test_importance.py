"""Importances of settings: Optuna's own, on made-up losses of which it is known what decides them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import optuna
import pytest

from lib.search.importance import importances
from lib.search.space import Dimension

SPACE: dict[str, tuple[Any, ...]] = {
    "hidden": tuple(map(str, (5, 10, 20, 50, 100, 200, 400))),
    "activation": ("relu", "sigmoid", "tanh"),
    "learning_rate": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
}
DIMENSIONS = tuple(Dimension(name, choices) for name, choices in SPACE.items())


@pytest.fixture(scope="module")
def finished() -> list[dict[str, Any]]:
    """A grid in which the rate decides most, then the width; the highest rate diverges with ReLU."""
    noise = np.random.default_rng(0)
    rows = []
    for values in itertools.product(*SPACE.values()):
        point = dict(zip(SPACE, values, strict=True))
        loss = 0.1 + 0.3 / int(point["hidden"]) + 0.2 * (math.log10(point["learning_rate"]) + 1) ** 2
        if point["learning_rate"] != 1 or point["activation"] != "relu":
            rows.append(point | {"objective": loss + 0.02 * noise.random()})
    return rows


def test_importances_are_optuna_s_own_and_name_the_setting_that_matters(finished):
    found = importances(DIMENSIONS, finished)
    assert found is not None
    assert list(found)[:2] == ["learning_rate", "hidden"]
    assert sum(found.values()) == pytest.approx(1)
    study = optuna.create_study()
    distributions = {name: optuna.distributions.CategoricalDistribution(choices) for name, choices in SPACE.items()}
    for row in finished:
        params = {name: row[name] for name in SPACE}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=row["objective"]))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.1)
    assert found == pytest.approx(optuna.importance.get_param_importances(study, evaluator=evaluator))


def test_too_few_or_alike_configurations_have_no_importances(finished, recwarn):
    assert importances(DIMENSIONS, finished[:3]) is None
    assert importances(DIMENSIONS, [row | {"objective": 1.0} for row in finished]) is None
    assert not recwarn.list
