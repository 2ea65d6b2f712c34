"""A configuration's run: means over seeds with their intervals, compared with SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lib.studies.configuration_runs import CONFIGURATION, RANK, ROLE_TAG, TRIALS_TAG, with_configuration
from lib.studies.record import RunNote

LOSSES = (0.5, 0.3, 0.7)


def trial(seed: int, loss: float, epochs: int = 3, **more) -> RunNote:
    history = tuple(
        {"epoch": epoch, "seconds": 0.1 * epoch, "train_loss": loss / epoch, "validation_loss": 2 * loss / epoch}
        for epoch in range(1, epochs + 1)
    )
    metrics = {"best_epoch_validation_loss": loss, "training_seconds": 1.0 + seed} | more.pop("metrics", {})
    params = {"learning_rate": 0.1, "seed": seed, "ended": "finished"} | more.pop("params", {})
    tags = {ROLE_TAG: "candidate", "probeflow.rows": "validation"} | more.pop("tags", {})
    return RunNote(f"trial {seed}", f"rate 0.1 · seed {seed}", params, metrics, history, tags)


def interval(values) -> tuple[float, float]:
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def test_figures_are_means_with_student_s_interval_and_the_spread():
    run, *trials = with_configuration("rate 0.1", [trial(seed, loss) for seed, loss in enumerate(LOSSES)], rank=2)
    low, high = interval(LOSSES)
    assert run.metrics == pytest.approx(
        {
            "best_epoch_validation_loss": np.mean(LOSSES),
            "best_epoch_validation_loss_low": low,
            "best_epoch_validation_loss_high": high,
            "best_epoch_validation_loss_standard_deviation": np.std(LOSSES, ddof=1),
            "training_seconds": 2.0,
            RANK: 2.0,
        }
    )
    assert run.params == {"learning_rate": 0.1, "seeds": 3, "ended": "finished"}
    assert (run.tags[ROLE_TAG], run.tags[TRIALS_TAG]) == (CONFIGURATION, "candidate")
    assert [each.below for each in trials] == [run.key] * 3
    assert run.below == ""


def test_curves_are_means_in_each_epoch_to_the_last_that_all_seeds_have():
    trials = [trial(seed, loss, epochs=4 - seed) for seed, loss in enumerate(LOSSES)]
    run = with_configuration("rate 0.1", trials)[0]
    assert [record["epoch"] for record in run.history] == [1, 2]
    for epoch, record in enumerate(run.history, start=1):
        values = [2 * loss / epoch for loss in LOSSES]
        low, high = interval(values)
        assert record == pytest.approx(
            {
                "epoch": epoch,
                "seconds": 0.1 * epoch,
                "train_loss": np.mean(values) / 2,
                "validation_loss": np.mean(values),
                "validation_loss_low": max(low, 0.0),
                "validation_loss_high": high,
            }
        )


def test_one_seed_is_shown_as_it_is_with_its_own_interval_over_images():
    own = {"test_accuracy": 0.9, "test_accuracy_low": 0.85, "test_accuracy_high": 0.94}
    run, below = with_configuration("rate 0.1", [trial(0, 0.5, metrics=own)])
    assert run.metrics == below.metrics
    assert run.history == below.history
    assert run.tags["mlflow.note.content"].startswith("One seed, so no figure has an interval over seeds.")


def test_intervals_over_images_of_single_seeds_give_way_to_that_over_seeds():
    shares = (0.90, 0.92, 0.97)
    run = with_configuration(
        "final",
        [trial(seed, 0.5, metrics={"test_accuracy": share, "test_accuracy_low": 0.0, "test_accuracy_high": 1.0})
         for seed, share in enumerate(shares)],
    )[0]  # fmt: skip
    low, high = interval(shares)
    assert run.metrics["test_accuracy_low"] == pytest.approx(low)
    assert run.metrics["test_accuracy_high"] == pytest.approx(min(high, 1.0))


def test_what_a_seed_lacks_or_has_not_finite_is_left_out_and_how_each_ended_is_told():
    run = with_configuration(
        "rate 9",
        [
            trial(0, 0.5, params={"epochs": 3}),
            trial(
                1, math.nan, params={"ended": "diverged at epoch 2", "epochs": 2}, tags={"probeflow.flag": "diverged"}
            ),
        ],
    )[0]
    assert set(run.metrics) == {"training_seconds"}
    assert {record["validation_loss"] for record in run.history} == {None}
    assert run.params == {"learning_rate": 0.1, "seeds": 2, "ended": "finished, diverged at epoch 2"}
    assert run.tags["probeflow.flag"] == "diverged"
