"""Measures and their intervals, against scikit-learn and a slow bootstrap; a measure of one's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from lib.errors import ConfigError
from lib.evaluation import measures
from lib.evaluation.measures import (
    MEASURES,
    RESAMPLES,
    Measure,
    estimates,
    measure,
    register_measure,
    weighted_measures,
)
from tests.lib.evaluation.predictions import calibration_error, made_up


def by_scikit_learn(labels, probabilities, weights):
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    binary, every, weighed = classes == 2, range(classes), {"sample_weight": weights}
    truth, scores = (labels, probabilities[:, 1]) if binary else (np.eye(classes)[labels], probabilities)
    average = "macro" if binary else "micro"
    return {
        "accuracy": metrics.accuracy_score(labels, predicted, **weighed),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted, **weighed),
        "f1": metrics.f1_score(labels, predicted, average="binary" if binary else "macro", **weighed),
        "f1_macro": metrics.f1_score(labels, predicted, average="macro", **weighed),
        "roc_auc": metrics.roc_auc_score(truth, scores, average=average, **weighed),
        "average_precision": metrics.average_precision_score(truth, scores, average=average, **weighed),
        "loss": metrics.log_loss(labels, probabilities, labels=every, **weighed),
        "brier": metrics.brier_score_loss(labels, probabilities, labels=every, **weighed),
    }


@pytest.mark.parametrize("classes", [2, 4])
class TestMeasures:
    def test_are_scikit_learn_s(self, classes):
        labels, probabilities = made_up(200, classes)
        found = estimates(labels, probabilities)
        theirs = by_scikit_learn(labels, probabilities, None)
        assert {name: found[name] for name in theirs} == pytest.approx(theirs)
        assert set(found) == set(MEASURES) == {*theirs, "ece"}

    def test_of_every_resample_are_scikit_learn_s_with_weights(self, classes):
        labels, probabilities = made_up(120, classes)
        weights = np.random.default_rng(1).integers(0, 4, (5, 120)).astype(float)
        found = weighted_measures(labels, probabilities, weights)
        for place, row in enumerate(weights):
            theirs = by_scikit_learn(labels, probabilities, row)
            assert {name: found[name][place] for name in theirs} == pytest.approx(theirs)
            drawn = np.repeat(np.arange(120), row.astype(int))
            error = calibration_error(labels[drawn], probabilities[drawn])
            assert found["ece"][place] == pytest.approx(error)

    def test_intervals_are_those_of_a_slow_bootstrap_within_classes(self, classes):
        labels, probabilities = made_up(150, classes)
        rng = np.random.default_rng(7)
        of_class = [np.flatnonzero(labels == label) for label in range(classes)]
        draws = [np.concatenate([rng.choice(rows, len(rows)) for rows in of_class]) for _ in range(2000)]
        weights = np.array([np.bincount(rows, minlength=150) for rows in draws], float)
        slow = weighted_measures(labels, probabilities, weights)
        found = measure(labels, probabilities, count=2000)
        for name in set(MEASURES) - {"ece"}:
            near = 0.25 * slow[name].std()
            assert found[name].low == pytest.approx(np.percentile(slow[name], 2.5), abs=near)
            assert found[name].high == pytest.approx(np.percentile(slow[name], 97.5), abs=near)
            assert found[name].low < found[name].estimate < found[name].high


def test_rows_of_a_group_are_drawn_together():
    """Ten copies of every row are no more data: drawn by groups, they give the interval that the rows alone give."""
    labels, probabilities = made_up(60, 2)
    alone = measure(labels, probabilities, count=2000)
    tenfold = np.repeat(labels, 10), np.repeat(probabilities, 10, axis=0)
    grouped = measure(*tenfold, groups=np.repeat(np.arange(60), 10), count=2000)
    as_if_independent = measure(*tenfold, count=2000)
    for name in set(MEASURES) - {"ece"}:
        spread = alone[name].high - alone[name].low
        ends = (alone[name].low, alone[name].high)
        assert (grouped[name].low, grouped[name].high) == pytest.approx(ends, abs=0.15 * spread)
        assert as_if_independent[name].high - as_if_independent[name].low < spread / 2


def test_resamples_are_measured_many_at_once_and_repeat_themselves(monkeypatch):
    labels, probabilities = made_up(2000, 2)
    at_once = []
    monkeypatch.setattr(
        measures, "weighted_measures", lambda *given: at_once.append(len(given[2])) or weighted_measures(*given)
    )
    found = measure(labels, probabilities)
    assert sum(at_once) == 1 + RESAMPLES  # the estimate itself
    assert len(at_once) < RESAMPLES / 20
    assert measure(labels, probabilities) == found


def test_the_calibration_error_s_interval_holds_it_and_is_not_lifted_by_resampling():
    """Resampled rows are clumped, so a percentile interval of this error would lie above a well calibrated model's."""
    rng = np.random.default_rng(0)
    second = rng.random(800)
    labels = (rng.random(800) < second).astype(np.int64)
    probabilities = np.column_stack([1 - second, second])
    found = measure(labels, probabilities)["ece"]
    draws = rng.integers(0, 800, (200, 800))
    lifted = np.median([calibration_error(labels[rows], probabilities[rows]) for rows in draws])
    assert lifted > found.estimate
    assert found.low < 2 * found.estimate - lifted < found.high
    assert found.low <= found.estimate <= found.high


def test_a_test_split_of_one_class_leaves_areas_undefined_and_the_rest_whole():
    labels, probabilities = np.ones(20, np.int64), np.tile([0.25, 0.75], (20, 1))
    found = measure(labels, probabilities, count=20)
    assert math.isnan(found["roc_auc"].estimate)
    assert math.isnan(found["roc_auc"].low)
    assert found["loss"].estimate == pytest.approx(-math.log(0.75))
    assert found["balanced_accuracy"].estimate == 1


class TestAMeasureOfOnesOwn:
    @pytest.fixture(autouse=True)
    def second_best(self, monkeypatch):
        monkeypatch.setattr("lib.evaluation.measures.MEASURES", dict(MEASURES))
        top_two = Measure(
            "right among the two most probable",
            lambda rows: rows.mean((np.argsort(rows.probabilities)[:, -2:] == rows.labels[:, None]).any(axis=1)),
        )
        register_measure("top_two", top_two)

    def test_is_among_all_estimates_with_an_interval(self):
        labels, probabilities = made_up(200, 4)
        theirs = metrics.top_k_accuracy_score(labels, probabilities, k=2)
        found = measure(labels, probabilities)["top_two"]
        assert estimates(labels, probabilities)["top_two"] == found.estimate == pytest.approx(theirs, abs=0.03)
        assert found.low < found.estimate < found.high < 1

    def test_takes_no_other_s_name(self):
        with pytest.raises(ConfigError, match="there is a measure 'accuracy' already"):
            register_measure("accuracy", MEASURES["loss"])


def test_measures_asked_for_by_name_are_the_only_ones_taken():
    assert list(estimates(*made_up(50, 3), ["brier", "accuracy"])) == ["brier", "accuracy"]
