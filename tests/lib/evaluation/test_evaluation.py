"""Metrics, intervals, checks and projections against independent references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp
from sklearn import metrics
from sklearn.datasets import load_digits

from lib.errors import ConfigError
from lib.evaluation import figures
from lib.evaluation.checks import learning_flag, same_model_flags, study_flag
from lib.evaluation.intervals import mean_over_seeds, wilson
from lib.evaluation.metrics import score
from lib.evaluation.peers import train_sklearn
from lib.evaluation.projections import pca, sample_by_class, tsne
from lib.evaluation.reference import comparison
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial


@pytest.fixture(scope="module")
def data() -> TrialData:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return TrialData(X[:600], y[:600], X[600:900], y[600:900], 10)


@pytest.mark.parametrize(("right", "total"), [(0, 10), (7, 10), (10, 10), (970, 1000)])
def test_the_wilson_interval_equals_scipy_s(right, total):
    theirs = binomtest(right, total).proportion_ci(method="wilson")
    ours = wilson(right, total)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_over_seeds_equals_scipy_s_and_one_seed_gives_none():
    values = [0.91, 0.93, 0.92, 0.95]
    theirs = ttest_1samp(values, 0).confidence_interval()
    ours = mean_over_seeds(values)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert mean_over_seeds([0.9]) is None


def test_scores_equal_scikit_learn_s():
    rng = np.random.default_rng(0)
    y, proba = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    found = score(y, proba)
    assert found.accuracy.estimate == metrics.accuracy_score(y, proba.argmax(1))
    assert found.f1 == pytest.approx(metrics.f1_score(y, proba.argmax(1), average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(y, proba))
    assert found.confusion[1, 2] == ((y == 1) & (proba.argmax(1) == 2)).sum()  # rows true, columns predicted
    assert found.majority == np.bincount(y).max() / 200


def test_a_loss_that_cannot_learn_is_flagged(data):
    """The reference study's fault: 100 epochs at the majority class's share, and a loss near zero to hide it."""
    stuck = train(Trial(hidden=(20,), learning_rate=1e-9, epochs=3), data)
    flag = learning_flag(stuck, data.y_train)
    assert flag is not None
    assert "did not learn: training accuracy" in flag
    good = train(Trial(hidden=(20,), epochs=10), data)
    assert learning_flag(good, data.y_train) is None
    assert study_flag([flag, flag]) is not None
    assert study_flag([flag, None]) is None


def test_a_diverged_trial_is_flagged_with_its_epoch(data):
    lost = train(Trial(hidden=(20, 20), activation="linear", learning_rate=1e6, epochs=3), data)
    assert learning_flag(lost, data.y_train) == f"diverged: the loss was not finite in epoch {lost.diverged_epoch}"


def test_one_model_under_two_names_is_flagged():
    """The reference study's fault: its "identity" row scored the ReLU model again."""
    rng = np.random.default_rng(0)
    y, relu, tanh = rng.integers(0, 2, 50), rng.dirichlet([1, 1], 50), rng.dirichlet([1, 1], 50)
    digests = [
        (name, score(y, proba).prediction_digest)
        for name, proba in (("relu", relu), ("tanh", tanh), ("identity", relu))
    ]
    assert same_model_flags(digests[:2]) == []
    (flag,) = same_model_flags(digests)
    assert flag.startswith("identity and relu gave bit-identical probabilities")


@pytest.mark.parametrize(("activation", "theirs"), [("relu", "relu"), ("sigmoid", "logistic"), ("linear", "identity")])
def test_the_peer_trains_with_the_trial_s_own_activation_for_all_its_epochs(data, activation, theirs):
    told = []
    peer = train_sklearn(Trial(hidden=(15,), activation=activation, epochs=4), data, data.X_validation, told.append)
    assert peer.activation == theirs
    assert peer.probabilities.shape == (300, 10)
    assert sum(told) == 4


def test_a_sample_by_class_keeps_shares_and_order():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = sample_by_class(labels, 100, 0)
    assert np.bincount(labels[rows]).tolist() == [60, 30, 10]
    assert (np.diff(rows) > 0).all()
    assert len(sample_by_class(labels, None, 0)) == 1000
    uneven = np.repeat([0, 1, 2, 3], [997, 7, 1, 1])
    assert np.bincount(uneven[sample_by_class(uneven, 10, 0)], minlength=4).tolist() == [7, 1, 1, 1]


def test_projections_part_what_is_apart_and_tell_their_progress():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (40, 8)), rng.normal(20, 1, (40, 8))])
    points, variance = pca(rows)
    assert variance[0] > 0.9
    assert (points[:40, 0] > 0).all() != (points[40:, 0] > 0).all()
    told: list[int] = []
    points, divergence = tsne(rows, 10, 300, 0, told.append)
    assert divergence > 0
    assert 250 <= sum(told) <= 300
    apart = np.linalg.norm(points[:40].mean(0) - points[40:].mean(0))
    assert apart > points[:40].std()
    with pytest.raises(ConfigError, match=r"tsne.perplexity 100 must be below the 80 rows"):
        tsne(rows, 100, 300, 0)


def test_curves_and_areas_agree_with_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    second = np.clip(y * 0.3 + rng.random(300) * 0.7, 0, 1)
    figure, areas = figures.roc_and_precision_recall(
        y, {"m": np.column_stack([1 - second, second])}, ["no", "yes"], "t"
    )
    assert areas["m"]["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, second))
    figure.savefig(tmp_path / "f.png")
    assert [axis.get_xlabel() for axis in figure.axes] == ["false positive rate", "recall"]


def test_the_confusion_matrix_says_which_side_is_which():
    figure = figures.confusion_matrix(np.array([[8, 2], [1, 9]]), ["cat", "dog"], "t")
    axis = figure.axes[0]
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("true class", "predicted class")
    texts = {tuple(map(round, text.get_position())): text.get_text() for text in axis.texts}
    assert texts[(1, 0)].startswith("2\n")  # column 1, row 0: cats taken for dogs


def test_the_reference_table_has_the_study_s_figures_beside_this_run_s():
    units = {"arm": "study", "label": "20 units", "value": [20], "mean_train_loss": 0.2, "mean_validation_loss": 0.3,
             "best_validation_loss": 0.25}  # fmt: skip
    rows = comparison(
        {
            "activations": {
                "dataset": {"name": "mnist"},
                "finals": [{"value": "linear", "seeds": 1, "test_accuracy": 0.92, "sklearn": {"test_accuracy": 0.921}}],
            },
            "hidden_units": {"dataset": {"name": "digits"}, "configurations": [units]},
        }
    )
    table = {(row["part"], row["figure"]): row for row in rows}
    assert table["A", "test accuracy, from scratch"] | {"setting": ""} == {
        "part": "A", "figure": "test accuracy, from scratch", "setting": "", "reference": "0.8163", "this_run": "0.9200",
        "data": "mnist",
    }  # fmt: skip
    assert "a slip" in table["A", "test accuracy, scikit-learn"]["reference"]
    losses = table["B", "average train / validation cross-entropy"]
    assert (losses["reference"], losses["this_run"]) == ("0.292 / 0.562", "0.2 / 0.3")
    assert losses["data"] == "digits (the study: letters)"
