"""Measures, calibration, comparisons on the same rows and baselines, against scikit-learn, SciPy and worked cases."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap
from sklearn import metrics
from sklearn.datasets import load_digits

from lib.evaluation.baselines import BASELINES, MAJORITY, majority_class
from lib.evaluation.calibration import expected_calibration_error, reliability
from lib.evaluation.classifier_figures import calibration_curves, most_surely_wrong, wrong_images
from lib.evaluation.intervals import wilson
from lib.evaluation.measures import MEASURES, estimates, flat, measure, weighted_measures
from lib.evaluation.metrics import decided
from lib.evaluation.paired import compare_predictions
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial


def made_up(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that know something of them, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    scores = np.round(rng.random((rows, classes)) + 0.4 * np.eye(classes)[labels], 1) + 0.01
    return labels, scores / scores.sum(axis=1, keepdims=True)


def by_scikit_learn(labels, probabilities, weights):
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    binary, every, weighed = classes == 2, range(classes), {"sample_weight": weights}
    truth, scores = (labels, probabilities[:, 1]) if binary else (np.eye(classes)[labels], probabilities)
    average = "macro" if binary else "micro"
    return {
        "test_accuracy": metrics.accuracy_score(labels, predicted, **weighed),
        "test_balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted, **weighed),
        "test_f1": metrics.f1_score(labels, predicted, average="binary" if binary else "macro", **weighed),
        "test_f1_macro": metrics.f1_score(labels, predicted, average="macro", **weighed),
        "roc_auc": metrics.roc_auc_score(truth, scores, average=average, **weighed),
        "average_precision": metrics.average_precision_score(truth, scores, average=average, **weighed),
        "test_loss": metrics.log_loss(labels, probabilities, labels=every, **weighed),
        "test_brier": metrics.brier_score_loss(labels, probabilities, labels=every, **weighed),
    }


@pytest.mark.parametrize("classes", [2, 4])
class TestMeasures:
    def test_are_scikit_learn_s(self, classes):
        labels, probabilities = made_up(200, classes)
        found = estimates(labels, probabilities)
        theirs = by_scikit_learn(labels, probabilities, None)
        assert {name: found[name] for name in theirs} == pytest.approx(theirs)
        assert set(found) == set(MEASURES) == {*theirs, "test_ece"}

    def test_of_every_resample_are_scikit_learn_s_with_weights(self, classes):
        labels, probabilities = made_up(120, classes)
        weights = np.random.default_rng(1).integers(0, 4, (5, 120)).astype(float)
        found = weighted_measures(labels, probabilities, weights)
        for place, row in enumerate(weights):
            theirs = by_scikit_learn(labels, probabilities, row)
            assert {name: found[name][place] for name in theirs} == pytest.approx(theirs)
            drawn = np.repeat(np.arange(120), row.astype(int))
            error = expected_calibration_error(labels[drawn], probabilities[drawn])
            assert found["test_ece"][place] == pytest.approx(error)

    def test_intervals_are_those_of_a_slow_bootstrap_within_classes(self, classes):
        labels, probabilities = made_up(150, classes)
        rng = np.random.default_rng(7)
        of_class = [np.flatnonzero(labels == label) for label in range(classes)]
        draws = [np.concatenate([rng.choice(rows, len(rows)) for rows in of_class]) for _ in range(2000)]
        weights = np.array([np.bincount(rows, minlength=150) for rows in draws], float)
        slow = weighted_measures(labels, probabilities, weights)
        found = measure(labels, probabilities, count=2000)
        for name in set(MEASURES) - {"test_ece"}:
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
    for name in set(MEASURES) - {"test_ece"}:
        spread = alone[name].high - alone[name].low
        ends = (alone[name].low, alone[name].high)
        assert (grouped[name].low, grouped[name].high) == pytest.approx(ends, abs=0.15 * spread)
        assert as_if_independent[name].high - as_if_independent[name].low < spread / 2


def test_resampling_takes_well_under_a_second_and_repeats_itself():
    labels, probabilities = made_up(2000, 2)
    started = time.process_time()
    found = measure(labels, probabilities)
    assert time.process_time() - started < 2  # 0.1 s on an idle core
    assert measure(labels, probabilities) == found


def test_the_calibration_error_s_interval_holds_it_and_is_not_lifted_by_resampling():
    """Resampled rows are clumped, so a percentile interval of this error would lie above a well calibrated model's."""
    rng = np.random.default_rng(0)
    second = rng.random(800)
    labels = (rng.random(800) < second).astype(np.int64)
    probabilities = np.column_stack([1 - second, second])
    found = measure(labels, probabilities)["test_ece"]
    draws = rng.integers(0, 800, (200, 800))
    lifted = np.median([expected_calibration_error(labels[rows], probabilities[rows]) for rows in draws])
    assert lifted > found.estimate
    assert found.low < 2 * found.estimate - lifted < found.high
    assert found.low <= found.estimate <= found.high


def test_a_test_split_of_one_class_leaves_areas_undefined_and_the_rest_whole():
    labels, probabilities = np.ones(20, np.int64), np.tile([0.25, 0.75], (20, 1))
    found = measure(labels, probabilities, count=20)
    assert math.isnan(found["roc_auc"].estimate)
    assert math.isnan(found["roc_auc"].low)
    assert found["test_loss"].estimate == pytest.approx(-math.log(0.75))
    assert found["test_balanced_accuracy"].estimate == 1


def test_answers_that_are_not_finite_say_nothing():
    found = decided(np.array([[0.2, 0.8], [np.nan, np.nan], [0.0, np.inf]]))
    assert found.tolist() == [[0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]


def test_flat_figures_leave_wilson_s_name_to_wilson():
    found = flat(measure(*made_up(50, 2), count=20))
    assert {"test_accuracy", "test_accuracy_bootstrap_low", "test_loss_low", "roc_auc_high"} <= set(found)
    assert "test_accuracy_low" not in found


def test_the_calibration_error_of_a_case_worked_by_hand():
    second = np.array([0.9, 0.9, 0.9, 0.9, 0.3, 0.3])  # confidences 0.9 and 0.7
    probabilities, labels = np.column_stack([1 - second, second]), np.array([1, 1, 1, 0, 0, 1])
    surer, less = 4 / 6 * abs(3 / 4 - 0.9), 2 / 6 * abs(1 / 2 - 0.7)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(surer + less)
    first, last = reliability(labels, probabilities)
    assert (first.rows, last.rows, first.accuracy, last.accuracy) == (2, 4, wilson(1, 2), wilson(3, 4))
    assert first.low < first.confidence <= first.high


class TestPairedPredictions:
    def test_mcnemar_s_test_is_the_sign_test_of_the_rows_that_differ(self):
        y = np.zeros(100, np.int64)
        a, b = np.r_[np.zeros(90), np.ones(10)].astype(int), np.r_[np.ones(21), np.zeros(74), np.ones(5)].astype(int)
        found = compare_predictions(a, b, y)
        assert (found.only_first, found.only_second) == (21, 5)
        tail = sum(math.comb(26, k) for k in range(6)) / 2**26
        assert found.p_value == pytest.approx(2 * tail) == pytest.approx(binomtest(5, 26).pvalue)
        assert found.estimate == pytest.approx(0.16)
        assert found.real
        assert found.words.startswith("0.1600 (0.0")

    def test_its_interval_is_the_paired_bootstrap_of_scipy(self):
        labels, one = made_up(400, 2)
        _, other = made_up(400, 2, seed=1)
        a, b = one.argmax(axis=1), np.where(np.arange(400) % 3 == 0, other.argmax(axis=1), labels)
        found = compare_predictions(a, b, labels)
        differences = ((a == labels) * 1.0 - (b == labels),)
        theirs = bootstrap(differences, np.mean, method="percentile", n_resamples=2000, rng=0).confidence_interval
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
        assert found.low < found.estimate < found.high
        back = compare_predictions(b, a, labels)
        assert (back.estimate, back.p_value) == pytest.approx((-found.estimate, found.p_value))

    def test_rows_of_a_group_are_drawn_together(self):
        labels, one = made_up(60, 2)
        a, b = one.argmax(axis=1), np.roll(labels, 1)
        alone = compare_predictions(a, b, labels)
        tenfold = [np.repeat(each, 10) for each in (a, b, labels, np.arange(60))]
        grouped = compare_predictions(*tenfold)
        assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
        assert compare_predictions(*tenfold[:3]).high < alone.high - 0.03

    def test_one_model_twice_is_no_difference(self):
        y = np.arange(10) % 2
        found = compare_predictions(y, y, y)
        assert (found.estimate, found.low, found.high, found.p_value, found.real) == (0, 0, 0, 1, False)

    def test_other_rows_are_refused(self):
        with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\) cannot be compared"):
            compare_predictions(np.zeros(3, int), np.zeros(2, int), np.zeros(3, int))


class TestBaselines:
    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> TrialData:
        X, y = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32)
        return TrialData(X[:300], y[:300], X[300:400], y[300:400], 10)

    @pytest.mark.parametrize(("name", "least"), [("scikit-learn MLPClassifier", 0.8), ("logistic regression", 0.85)])
    def test_learn_the_same_rows(self, data, name, least):
        trial = Trial(hidden=(20,), optimizer="adam", learning_rate=0.01, batch_size=32, epochs=15)
        probabilities = BASELINES[name](trial, data, data.X_validation)
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-5)
        assert (probabilities.argmax(axis=1) == data.y_validation).mean() > least

    def test_a_network_that_diverges_says_nothing(self, data):
        lost = Trial(hidden=(20,), activation="linear", learning_rate=1e30, epochs=3)
        assert (BASELINES["scikit-learn MLPClassifier"](lost, data, data.X_validation) == 0.1).all()

    def test_the_majority_is_the_training_rows_own(self, data):
        counts = np.bincount(data.y_train)
        probabilities = BASELINES[MAJORITY](Trial(), data, data.X_validation)
        assert (probabilities.argmax(axis=1) == counts.argmax()).all()
        assert probabilities[0] == pytest.approx(counts / 300)

    def test_a_class_without_training_rows_keeps_its_column(self, data):
        kept = data.y_train != 3
        less = TrialData(data.X_train[kept], data.y_train[kept], data.X_validation, data.y_validation, 10)
        assert majority_class(Trial(), less, data.X_validation)[0, 3] == 0
        assert BASELINES["logistic regression"](Trial(), less, data.X_validation).shape == (100, 10)


def test_the_most_surely_wrong_come_first_with_what_was_said():
    second = np.array([0.9, 0.2, 0.99, 0.6])
    labels = np.array([0, 0, 0, 1])
    found = most_surely_wrong(labels, np.column_stack([1 - second, second]), ["cat", "dog"], 5)
    assert [(each.row, each.true, each.predicted, each.probability) for each in found] == [
        (2, "cat", "dog", 0.99),
        (0, "cat", "dog", 0.9),
    ]
    figure = wrong_images(np.zeros((2, 8, 8, 3), np.uint8), found, "Title")
    assert figure.axes[0].get_title() == "true cat\nsaid dog\n99.0% sure"


def test_the_calibration_figure_shows_each_bin_s_accuracy():
    labels, probabilities = made_up(300, 3)
    figure = calibration_curves(labels, {"one": probabilities}, "Title")
    drawn = figure.axes[0].containers[0].lines[0].get_xydata()
    assert drawn == pytest.approx(
        np.array([(each.confidence, each.accuracy.estimate) for each in reliability(labels, probabilities)])
    )
