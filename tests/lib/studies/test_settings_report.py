"""What is shown and said of the settings that vary: held against Optuna used directly and a slow loop, on made-up losses."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import optuna
import pytest

from lib.evaluation.heat_map import heat_map
from lib.evaluation.search_figures import parallel_coordinates
from lib.evaluation.vector import describe, svg_bytes
from lib.mlp.training import TrialResult
from lib.search.grid_search import GridSearch
from lib.search.importance import importances
from lib.search.space import Dimension
from lib.search.variant import Variant
from lib.studies.configuration import Configuration
from lib.studies.record import StudyFolder
from lib.studies.search_report import trial_flags
from lib.studies.settings_report import report_settings, settings_sentences
from lib.studies.tried import Tried, tried

UNITS = tuple(map(str, (5, 10, 20, 50, 100, 200, 400)))
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SPACE = {"hidden": UNITS, "activation": ("relu", "sigmoid", "tanh"), "learning_rate": RATES, "l2": (0.0, 0.001, 0.01)}
DIMENSIONS = tuple(Dimension(name, choices) for name, choices in SPACE.items())


@pytest.fixture(scope="module")
def many() -> Tried:
    """A grid of 504 configurations: the rate decides most, then the width; the highest rate diverges with ReLU."""
    noise = np.random.default_rng(0)
    rows = []
    for number, values in enumerate(itertools.product(*SPACE.values()), start=1):
        point = dict(zip(SPACE, values, strict=True))
        loss = 0.1 + 0.3 / int(point["hidden"]) + 0.2 * (math.log10(point["learning_rate"]) + 1) ** 2
        diverged = point["learning_rate"] == 1 and point["activation"] == "relu"
        objective = None if diverged else loss + 0.02 * noise.random()
        ended = "diverged at epoch 2" if diverged else "finished"
        rows.append({"number": number, "label": f"#{number}", **point, "objective": objective, "ended": ended})
    return Tried("grid", DIMENSIONS, rows)


def test_importances_are_optuna_s_own_and_name_the_setting_that_matters(many):
    found = importances(DIMENSIONS, many.finished)
    assert found is not None
    assert list(found)[:2] == ["learning_rate", "hidden"]
    assert sum(found.values()) == pytest.approx(1)
    study = optuna.create_study()
    distributions = {name: optuna.distributions.CategoricalDistribution(choices) for name, choices in SPACE.items()}
    for row in many.finished:
        params = {name: row[name] for name in SPACE}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=row["objective"]))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.1)
    assert found == pytest.approx(optuna.importance.get_param_importances(study, evaluator=evaluator))


def test_too_few_or_alike_configurations_have_no_importances(many, recwarn):
    assert importances(DIMENSIONS, many.finished[:3]) is None
    assert importances(DIMENSIONS, [row | {"objective": 1.0} for row in many.finished]) is None
    assert not recwarn.list


def test_the_heat_map_has_the_lowest_loss_of_each_cell_and_frames_the_lowest_of_all(many):
    figure = heat_map(many.rows, (DIMENSIONS[0], DIMENSIONS[2]), "Title")
    axis = figure.axes[0]
    shown = np.asarray(axis.images[0].get_array())
    for down, units in enumerate(UNITS):
        for across, rate in enumerate(RATES):
            cell = [
                row["objective"]
                for row in many.rows
                if (row["hidden"], row["learning_rate"]) == (units, rate) and row["objective"] is not None
            ]
            assert shown[down, across] == min(cell)
    (frame,) = axis.patches
    lowest = many.lowest
    assert (frame.get_x() + 0.5, frame.get_y() + 0.5) == (
        RATES.index(lowest["learning_rate"]), UNITS.index(lowest["hidden"])
    )  # fmt: skip
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("learning rate", "hidden layers")
    assert f"framed: {lowest['objective']:.3g}, the lowest" in describe(figure)
    assert f"down the side: {', '.join(UNITS)}" in describe(figure)


def test_a_cell_in_which_none_finished_is_marked_and_an_untried_one_is_empty():
    rows = [{"a": 1, "b": 1, "objective": 0.5}, {"a": 2, "b": 1, "objective": None}, {"a": 2, "b": 2, "objective": 0.1}]
    figure = heat_map(rows, (Dimension("a", (1, 2)), Dimension("b", (1, 2))), "Title")
    assert {text.get_position(): text.get_text() for text in figure.axes[0].texts} == {
        (0, 0): "0.5", (1, 1): "0.1", (1, 0): "×"
    }  # fmt: skip
    assert "×: none finished" in figure.get_suptitle()
    assert "mean over seeds" in figure.get_suptitle()


def test_ranges_are_cut_into_cells_on_their_scale():
    rate, units = Dimension("learning_rate", (), 1e-4, 1, True), Dimension("depth", (), 1, 3, False, True)
    rows = [{"learning_rate": value, "depth": 2, "objective": value} for value in (1e-4, 1e-2, 0.99, 1.0)]
    figure = heat_map(rows, (rate, units), "Title")
    shown = np.ma.masked_invalid(np.asarray(figure.axes[0].images[0].get_array()))
    assert shown.shape == (3, 8)
    assert [tuple(map(int, place)) for place in zip(*np.nonzero(~shown.mask), strict=True)] == [(1, 0), (1, 4), (1, 7)]
    assert shown[1, 7] == 0.99
    edges = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert edges[::2] == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_a_side_of_many_values_names_every_nth(many):
    steps = tuple(range(40))
    rows = [{"a": step, "b": 1 + step % 2, "objective": 1.0 + step} for step in steps]
    axis = heat_map(rows, (Dimension("a", steps), Dimension("b", (1, 2))), "Title").axes[0]
    assert len(axis.get_xticks()) <= 14
    assert not axis.texts


def test_parallel_coordinates_of_500_say_whose_loss_is_lowest_and_stay_small(many):
    figure = parallel_coordinates(many.rows, DIMENSIONS, "Title")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) in (4, 5)]
    assert len(lines) == 504
    assert f"lowest validation loss {many.lowest['objective']:.3g}: {many.lowest['label']}" in describe(figure)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["lowest validation loss", "lowest tenth (48)", "others", "halved or diverged"]
    assert len(svg_bytes(figure)) < 600_000  # the report draws no larger one


def arm_of(grid: dict, losses: list[float]) -> Tried:
    arm = Variant(base={}, grid=grid)
    configurations = []
    for setting, loss in zip(arm.combinations(), losses, strict=True):
        history = ({"epoch": 1, "validation_loss": loss, "validation_accuracy": 0.5},)
        result = TrialResult(arm.trial(setting, 0), history, None, None)
        configurations.append(Configuration("grid", str(loss), None, (result,), (None,)))
    return tried(arm, GridSearch(arm), configurations)


def test_a_grid_s_settings_are_dimensions_and_only_those_that_vary():
    found = arm_of({"hidden": [[20], [5, 5], [5]], "learning_rate": [1, 0.1], "init": ["he"]}, [6, 5, 4, 3, 2, 1])
    assert [(each.name, each.choices) for each in found.dimensions] == [
        ("hidden", ("5", "5-5", "20")), ("learning_rate", (0.1, 1.0))
    ]  # fmt: skip
    assert [(row["hidden"], row["learning_rate"]) for row in found.rows[:2]] == [("20", 1.0), ("20", 0.1)]
    assert found.lowest["objective"] == 1


def test_only_what_makes_sense_is_drawn(tmp_path):
    one = arm_of({"learning_rate": [1, 0.1]}, [2, 1])
    two = arm_of({"learning_rate": [1, 0.1], "init": ["he", "xavier"]}, [2, 2, 1, 1])
    three = arm_of({"learning_rate": [1], "l2": [0, 1], "init": ["he", "xavier"], "momentum": [0, 0.5]}, [1] * 8)
    folder = StudyFolder(tmp_path, "hidden_units", "0" * 64)
    said = report_settings({"one": one, "two": two, "three": three}, folder, "Title")
    drawn = {path.stem for path in (folder.path / "figures").glob("*.png")}
    assert drawn == {
        "parallel-coordinates-two", "heat-map-two", "importances-two", "parallel-coordinates-three"
    }  # fmt: skip
    assert said["two"]["importances"] == pytest.approx({"learning_rate": 1, "init": 0}, abs=1e-6)
    assert said["three"]["importances"] is None
    first, second = settings_sentences(said)
    assert "two: grid over 4 configurations; lowest validation loss 1.0000 with 1" in first
    assert "Optuna's PED-ANOVA" in first
    assert "too few, or too alike" in second


def test_many_flags_of_a_grid_become_one():
    def arm(name: str, count: int) -> list[Configuration]:
        trials = tuple(SimpleNamespace(trial=SimpleNamespace(seed=seed)) for seed in (3, 4))
        flags = (None, "did not learn")
        return [Configuration(name, str(place), None, cast(Any, trials), flags) for place in range(count)]

    few, many = trial_flags([], arm("few", 12)), trial_flags([], arm("many", 13))
    assert few[0] == "few: 0, seed 4: did not learn"
    assert len(few) == 12
    assert many == [
        "many: 13 of 13 configurations tried diverged or did not learn with some seed; configurations.csv says which"
    ]
    assert len(trial_flags(["searched"], arm("searched", 1))) == 1
