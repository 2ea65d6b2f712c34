"""A sweep as runs: means over seeds and their intervals as SciPy's, figures of the right rows, each run below its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lib.evaluation.intervals import wilson
from lib.studies.presentation import RANK, Role, Rows, RunNote
from lib.studies.sweep.runs import with_configuration


@pytest.fixture(scope="module")
def runs(tested) -> tuple[RunNote, ...]:
    return tested.present().runs


def interval(values, overlap=0.0) -> tuple[float, float]:
    """Student's, of figures on splits that have so much in common Nadeau and Bengio's."""
    error = np.std(values, ddof=1) * np.sqrt(1 / len(values) + overlap)
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), error)


def below(runs, run) -> list[RunNote]:
    return [each for each in runs if each.below == run.key]


def test_every_trial_lies_below_its_configuration_under_a_key_of_its_own(tested, runs):
    assert len({run.key for run in runs}) == len(runs)
    known = {run.key for run in runs if not run.below}
    assert {run.below for run in runs if run.below} <= known
    trials = [run for run in runs if run.role is Role.TRIAL]
    assert len(trials) == sum(len(each.trials) for each in tested.result.configurations) == 18
    configurations = [run for run in runs if run.trials is Role.TRIAL]
    assert [len(below(runs, run)) for run in configurations] == [3] * 6
    assert sorted(run.metrics[RANK] for run in configurations) == [1, 2, 3, 4, 5, 6]


def test_runs_of_equal_studies_have_equal_keys(tested, runs):
    assert [run.key for run in tested.present().runs] == [run.key for run in runs]
    other = replace(tested, key="0" * 64).present().runs
    assert not {run.key for run in other} & {run.key for run in runs}


def test_a_configuration_s_figures_are_means_with_student_s_interval_and_the_spread(tested, runs):
    configuration = next(run for run in runs if run.trials is Role.TRIAL)
    losses = [run.metrics["best_epoch_validation_loss"] for run in below(runs, configuration)]
    low, high = interval(losses, tested.result.overlap)
    name = "best_epoch_validation_loss"
    assert configuration.metrics[name] == pytest.approx(np.mean(losses))
    assert configuration.metrics[f"{name}_low"] == pytest.approx(max(low, 0))
    assert configuration.metrics[f"{name}_high"] == pytest.approx(high)
    assert configuration.metrics[f"{name}_standard_deviation"] == pytest.approx(np.std(losses, ddof=1))
    assert configuration.params["seeds"] == 3
    assert "seed" not in configuration.params


def test_curves_of_a_configuration_are_means_in_each_epoch(tested, runs):
    configuration = next(run for run in runs if run.trials is Role.TRIAL)
    for epoch, record in enumerate(configuration.history):
        losses = [run.history[epoch]["validation_loss"] for run in below(runs, configuration)]
        low, high = interval(losses, tested.result.overlap)
        assert record["epoch"] == epoch + 1
        assert record["validation_loss"] == pytest.approx(np.mean(losses))
        assert (record["validation_loss_low"], record["validation_loss_high"]) == pytest.approx((max(low, 0), high))


def test_no_run_mixes_validation_and_test_figures(runs):
    for run in runs:
        names = {*run.metrics, *(name for record in run.history for name in record)}
        other = "test" if run.rows is Rows.VALIDATION else "validation"
        assert run.rows is (Rows.VALIDATION if Role.TRIAL in (run.role, run.trials) else Rows.TEST)
        assert not [name for name in names if other in name]
        assert run.history or Role.BASELINE in (run.role, run.trials)


def test_each_axis_value_s_winner_has_a_final_and_a_peer_with_every_seed(tested, runs):
    finals = [run for run in runs if run.trials is Role.FINAL]
    baselines = [run for run in runs if run.trials is Role.BASELINE]
    assert (
        [run.params["learning_rate"] for run in finals]
        == [run.params["learning_rate"] for run in baselines]
        == [0.03, 0.3]
    )
    for run in (*finals, *baselines):
        assert [each.params["seed"] for each in below(runs, run)] == [0, 1, 2]
    alone = [run for run in runs if run.role is Role.BASELINE and not run.below]
    assert [run.params["model"] for run in alone] == ["majority class", "logistic regression"]
    assert all(run.rows is Rows.TEST and "test_accuracy_low" in run.metrics for run in alone)


def test_every_model_s_run_has_its_budget_and_what_choosing_took(tested, runs):
    logistic = next(each for each in tested.result.models if each.baseline == "logistic")
    (run,) = [run for run in runs if run.params.get("model") == "logistic regression"]
    assert run.params["C"] == logistic.settings["C"]
    assert (run.params["settings_tried"], run.params["tuned_on"]) == (logistic.tuning.tried, "validation rows")
    assert run.metrics["choosing_seconds"] == logistic.tuning.seconds > 0
    assert run.metrics["training_seconds"] == logistic.scores[0].seconds
    for run in runs:
        if Role.FINAL in (run.role, run.trials):
            assert (run.params["settings_tried"], run.params["tuned_on"]) == (3, "validation rows")
            assert run.metrics["choosing_seconds"] > 0
        if Role.BASELINE in (run.role, run.trials) and "activation" in run.params:
            assert (run.params["settings_tried"], run.params["tuned_on"]) == (1, "nothing")


def test_a_seed_s_accuracy_has_wilson_s_interval(tested, runs):
    rows = tested.result.judged_rows
    for run in runs:
        if run.role is Role.FINAL:
            accuracy = run.metrics["test_accuracy"]
            expected = wilson(round(accuracy * rows), rows)
            assert next(iter(run.metrics)) == "test_accuracy"
            assert (run.metrics["test_accuracy_low"], run.metrics["test_accuracy_high"]) == pytest.approx(
                (expected.low, expected.high)
            )


def test_the_study_s_own_figures_are_all_of_the_chosen_configuration(tested, runs):
    parent = tested.present().parent
    best = next(run for run in runs if run.metrics.get(RANK) == 1)
    assert {name: parent.params[f"best.{name}"] for name in ("variant", "learning_rate", "l2")} == {
        name: best.params[name] for name in ("variant", "learning_rate", "l2")
    }
    final = next(
        run for run in runs if run.trials is Role.FINAL and run.params["learning_rate"] == best.params["learning_rate"]
    )
    for name in ("test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_loss", "test_f1", "roc_auc"):
        assert parent.metrics[name] == pytest.approx(final.metrics[name])
    assert parent.metrics["final_validation_accuracy"] == pytest.approx(best.metrics["last_epoch_validation_accuracy"])
    assert parent.role is None
    assert parent.params["variants"] == "linear (grid), mlp (grid)"


def test_an_untested_sweep_has_no_test_figure_and_says_how_trials_ended(searched):
    shown = searched.present()
    every = [shown.parent, *shown.runs]
    assert not [name for run in every for name in run.metrics if "test" in name]
    assert {run.role for run in shown.runs} == {Role.CONFIGURATION, Role.TRIAL, Role.BASELINE}
    halved = [run for run in shown.runs if run.params.get("ended") == "halved at epoch 2"]
    assert {run.role for run in halved} == {Role.CONFIGURATION, Role.TRIAL}
    assert all(len(run.history) == 2 for run in halved)
    assert all(math.isfinite(value) for run in every for value in run.metrics.values())
    assert "validation_accuracy" in next(run for run in shown.runs if run.role is Role.BASELINE).metrics


def test_what_a_seed_lacks_is_left_out_of_the_means_and_how_each_ended_is_listed(runs):
    first, second = [run for run in runs if run.role is Role.TRIAL][:2]
    cut = replace(
        second,
        metrics={name: value for name, value in second.metrics.items() if name != "mean_train_loss"},
        params=second.params | {"ended": "diverged at epoch 2"},
        history=second.history[:2],
    )
    run = with_configuration("name", [first, cut])[0]
    assert "mean_train_loss" not in run.metrics
    assert "best_epoch_validation_loss_low" in run.metrics
    assert run.params["ended"] == "finished, diverged at epoch 2"
    assert len(run.history) == 2


def test_one_seed_is_shown_as_it_is_with_its_own_interval_over_rows(runs):
    final = next(run for run in runs if run.role is Role.FINAL)
    run, alone = with_configuration("name", [final])
    assert run.metrics == alone.metrics
    assert run.history == alone.history
    assert run.tags["mlflow.note.content"].startswith("One seed, so no figure has an interval over seeds.")
