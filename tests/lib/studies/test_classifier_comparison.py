"""A classifier's tables beside scikit-learn's own, and predictions that are kept to be compared again."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import classification_report

from lib.errors import DataError
from lib.evaluation.intervals import holm, wilson
from lib.evaluation.paired import compare_predictions
from lib.studies.classifier_comparison import (
    Judged,
    class_rows,
    comparison_lines,
    comparison_rows,
    confusion_rows,
    difference_words,
    measure_lines,
    measure_rows,
)
from lib.studies.predictions import FILE, Predictions, read_predictions, save_predictions

NAMES = ["cat", "dog", "owl"]


def answers(right: float, seed: int, labels: np.ndarray) -> np.ndarray:
    """Probabilities, (n, 3), whose highest is the label's with a chance of `right`."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), len(labels))
    chosen = np.where(rng.random(len(labels)) < right, labels, rng.integers(0, 3, len(labels)))
    probabilities[np.arange(len(labels)), chosen] += 1.5
    return probabilities / probabilities.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, 300)


@pytest.fixture(scope="module")
def models(labels) -> list[Judged]:
    return [
        Judged.of(name, labels, answers(right, seed, labels))
        for seed, (name, right) in enumerate((("chosen", 0.9), ("near", 0.91), ("worse", 0.5), ("better", 0.99)))
    ]


def test_each_class_has_scikit_learn_s_figures_and_wilson_s_intervals(labels, models):
    rows = class_rows(labels, models[0].predicted, NAMES)
    theirs = classification_report(labels, models[0].predicted, target_names=NAMES, output_dict=True)
    for row in rows:
        report = theirs[row["class"]]
        assert (row["precision"], row["recall"], row["f1"], row["support"]) == pytest.approx(
            (report["precision"], report["recall"], report["f1-score"], report["support"])
        )
        assert row["recall_low"] < row["recall"] < row["recall_high"]
    cats = labels == 0
    hits = int((models[0].predicted[cats] == 0).sum())
    assert rows[0]["recall_low"] == wilson(hits, int(cats.sum())).low


def test_a_class_never_said_has_no_precision_and_one_without_images_no_recall():
    rows = class_rows(np.array([0, 0, 1]), np.array([0, 2, 0]), NAMES)
    assert [row["precision"] for row in rows] == [0.5, None, 0]
    assert [row["recall"] for row in rows] == [0.5, 0, None]


def test_the_confusion_table_s_rows_are_true_classes():
    row, _ = confusion_rows(np.array([[6, 2], [0, 0]]), NAMES[:2])
    assert row == {
        "true class": "cat",
        "predicted cat": 6,
        "predicted dog": 2,
        "share predicted cat": 0.75,
        "share predicted dog": 0.25,
    }


class TestComparison:
    def test_holds_each_model_against_the_first_with_holm_s_correction(self, labels, models):
        first, *rows = comparison_rows(labels, models)
        assert first["found"] == "the chosen network"
        assert first["mcnemar_p"] is None
        pairs = [compare_predictions(models[0].predicted, each.predicted, labels) for each in models[1:]]
        assert [row["mcnemar_p"] for row in rows] == [pair.p_value for pair in pairs]
        assert [row["holm_p"] for row in rows] == holm([pair.p_value for pair in pairs])
        assert [row["found"] for row in rows] == ["not told apart", "chosen network ahead", "chosen network behind"]
        accuracy = wilson(int((models[2].predicted == labels).sum()), 300)
        assert (rows[1]["test_accuracy_low"], rows[1]["test_accuracy"]) == (accuracy.low, accuracy.estimate)

    def test_of_images_in_groups_the_accuracy_has_the_bootstrap_s_interval(self, labels):
        groups = np.arange(len(labels)) // 10
        model = Judged.of("chosen", labels, answers(0.9, 0, labels), groups)
        (row,) = comparison_rows(labels, [model], groups)
        bootstrap = model.measured["test_accuracy"]
        assert (row["test_accuracy_low"], row["test_accuracy_high"]) == (bootstrap.low, bootstrap.high)
        assert bootstrap.low != wilson(int((model.predicted == labels).sum()), len(labels)).low

    def test_without_any_difference_has_no_interval(self, labels, models):
        _, row = comparison_rows(labels, [models[0], models[0]])
        assert row["holm_p"] == 1
        assert difference_words(row) == "no difference in any answer"
        sure = np.eye(3)[labels]
        _, row = comparison_rows(
            labels, [Judged.of("right", labels, sure), Judged.of("wrong", labels, np.roll(sure, 1, 1))]
        )
        assert difference_words(row) == "1.0000, without an interval: the images of each class differ alike"

    def test_is_told_in_words(self, labels, models):
        text = "\n".join(comparison_lines(comparison_rows(labels, models), 300))
        assert "not told apart from **near** (difference " in text
        assert "; ahead of **worse** (difference 0." in text
        assert "; behind **better** (difference -0." in text


def test_measures_stand_beside_their_spread_over_seeds(models):
    seeds = [models[0].measured, models[1].measured]
    over = [{name: each.estimate for name, each in seed.items()} for seed in seeds]
    rows = measure_rows("features", models[0].measured, over)
    loss = next(row for row in rows if row["measure"] == "test_loss")
    assert loss["value"] == over[0]["test_loss"]
    assert loss["mean"] == pytest.approx((over[0]["test_loss"] + over[1]["test_loss"]) / 2)
    assert loss["low"] < loss["value"] < loss["high"]
    assert any("| log loss (nats) | " in line and " ± " in line for line in measure_lines(rows, None))
    assert "The test images come in 24 groups" in "\n".join(measure_lines(rows, 24))


class TestPredictions:
    def test_come_back_as_they_were_and_compare_with_another_study_s(self, labels, models, tmp_path):
        said = {each.name: each.probabilities for each in models}
        save_predictions(tmp_path, Predictions("d1", labels, said, labels // 2))
        kept = read_predictions(tmp_path)
        assert kept.probabilities.keys() == said.keys()
        for name, values in said.items():
            np.testing.assert_array_equal(kept.probabilities[name], values)
            assert kept.probabilities[name].dtype == values.dtype
        pair = kept.compare("chosen", Predictions("d1", labels, {"mine": said["worse"]}), "mine")
        assert pair == compare_predictions(models[0].predicted, models[2].predicted, labels, labels // 2)

    def test_on_other_images_or_of_an_unknown_model_are_refused(self, labels, models, tmp_path):
        mine = Predictions("d1", labels, {"chosen": models[0].probabilities})
        with pytest.raises(DataError, match="cannot be compared: run both models on the same test images"):
            mine.compare("chosen", Predictions("d2", labels, mine.probabilities), "chosen")
        with pytest.raises(DataError, match=r"no predictions of 'other' were kept .there are: chosen"):
            mine.of("other")
        with pytest.raises(DataError, match=r"cannot be read .*run the study again"):
            read_predictions(tmp_path)
        (tmp_path / FILE).write_bytes(b"{}")
        with pytest.raises(DataError, match="cannot be read"):
            read_predictions(tmp_path)
