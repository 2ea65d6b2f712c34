"""Baselines on real digits, against scikit-learn used directly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from lib.evaluation import baselines
from lib.evaluation.baselines import BASELINES, Question
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial

TRIAL = Trial(hidden=(20,), optimizer="adam", learning_rate=0.01, batch_size=32, epochs=15)


@pytest.fixture(scope="module")
def data() -> TrialData:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return TrialData(X[:300], y[:300], X[300:400], y[300:400], 10)


def ask(name: str, data: TrialData, trial: Trial | None = TRIAL, held_out: np.ndarray | None = None):
    return BASELINES[name].answer(Question(data, data.X_validation, trial, 0, held_out))


@pytest.mark.parametrize(("name", "least"), [("sklearn-mlp", 0.8), ("logistic", 0.85), ("knn", 0.9)])
def test_learn_the_same_rows(data, name, least):
    answer = ask(name, data)
    assert answer.probabilities.dtype == np.float64
    assert answer.probabilities.sum(axis=1) == pytest.approx(np.ones(100), abs=1e-5)
    assert (answer.probabilities.argmax(axis=1) == data.y_validation).mean() > least
    assert answer.seconds > 0


def test_only_scikit_learn_s_network_depends_on_the_trial(data):
    assert {name for name, each in BASELINES.items() if each.per_trial} == {"sklearn-mlp"}
    other = Trial(hidden=(3,), epochs=1)
    for name, each in BASELINES.items():
        answer, without = (ask(name, data, trial) for trial in (TRIAL, other if each.per_trial else None))
        assert np.array_equal(answer.probabilities, without.probabilities) != each.per_trial


@pytest.mark.parametrize(("activation", "theirs"), [("relu", "relu"), ("sigmoid", "logistic"), ("linear", "identity")])
def test_scikit_learn_s_network_has_the_trial_s_own_activation(data, activation, theirs):
    assert ask("sklearn-mlp", data, Trial(hidden=(15,), activation=activation, epochs=4)).settings == {
        "activation": theirs
    }


def test_scikit_learn_s_network_names_what_it_does_not_have_of_the_trial(data):
    settings = {"hidden": (15,), "l2": 0.1, "learning_rate": 0.001, "epochs": 4}
    extras = {"schedule": "cosine", "weight_decay": 0.1, "dropout": 0.2}
    answer = ask("sklearn-mlp", data, Trial(optimizer="adamw", **settings, **extras))
    plain = ask("sklearn-mlp", data, Trial(optimizer="adam", **settings))
    assert answer.settings == plain.settings | {f"without {name}": value for name, value in extras.items()}
    np.testing.assert_array_equal(answer.probabilities, plain.probabilities)


@pytest.mark.parametrize("rate", [1000, 1e30])
def test_a_network_that_diverges_gives_equal_shares(data, rate):
    lost = Trial(hidden=(20,), activation="linear", learning_rate=rate, epochs=4)
    assert (ask("sklearn-mlp", data, lost).probabilities == 0.1).all()


def test_the_majority_is_the_training_rows_own(data):
    counts = np.bincount(data.y_train)
    probabilities = ask("majority", data).probabilities
    assert (probabilities.argmax(axis=1) == counts.argmax()).all()
    assert probabilities[0] == pytest.approx(counts / 300)


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_without_training_rows_keeps_its_column(data, name):
    kept = data.y_train != 3
    less = TrialData(data.X_train[kept], data.y_train[kept], data.X_validation, data.y_validation, 10)
    probabilities = ask(name, less).probabilities
    assert probabilities.shape == (100, 10)
    assert probabilities[:, 3].max() < 0.1


@pytest.mark.parametrize("name", BASELINES)
def test_one_class_in_all_training_rows_stops_nothing(data, name):
    only = TrialData(data.X_train[:2], np.array([4, 4]), data.X_validation, data.y_validation, 10)
    assert (ask(name, only).probabilities.argmax(axis=1) == 4).all()


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_logistic_regression_takes_fewer_steps_over_very_many_values(data, monkeypatch):
    whole = ask("logistic", data).probabilities
    monkeypatch.setattr(baselines, "_MANY_VALUES", data.X_train.size)
    monkeypatch.setattr(baselines, "_FEWER_STEPS", 2)
    few = ask("logistic", data).probabilities
    theirs = LogisticRegression(max_iter=2).fit(data.X_train, data.y_train).predict_proba(data.X_validation)
    np.testing.assert_allclose(few, theirs)
    assert np.abs(whole - few).max() > 0.1


class TestNearestNeighbours:
    def test_are_scikit_learn_s_smoothed_by_one_neighbour_of_all_classes(self, data, monkeypatch):
        monkeypatch.setattr(baselines, "_DISTANCES", 7 * 300)  # several blocks, the last a part of one
        answer = ask("knn", data)
        k, metric = int(answer.settings["k"]), answer.settings["metric"]
        model = KNeighborsClassifier(k, algorithm="brute", metric=metric).fit(data.X_train.astype(float), data.y_train)
        theirs = (model.predict_proba(data.X_validation.astype(float)) * k + 0.1) / (k + 1)
        assert answer.probabilities.min() > 0
        assert (np.abs(answer.probabilities - theirs).max(axis=1) < 1e-12).mean() > 0.97  # other ties may be taken

    @pytest.mark.parametrize("given", [True, False])
    def test_k_and_metric_are_those_of_highest_accuracy_on_held_out_training_rows(self, data, given):
        held_out = np.arange(0, 300, 3) if given else None
        settings = ask("knn", data, held_out=held_out).settings
        rest = np.setdiff1d(np.arange(300), [] if held_out is None else held_out)
        accuracy = {}
        for metric in ("euclidean", "cosine"):
            model = NearestNeighbors(n_neighbors=50, metric=metric).fit(data.X_train[rest].astype(float))
            # Without rows, a row's neighbours are those that it is not among.
            near = model.kneighbors(None if held_out is None else data.X_train[held_out].astype(float))[1]
            labels = data.y_train if held_out is None else data.y_train[held_out]
            for k in baselines.NEIGHBOURS:
                votes = data.y_train[rest][near[:, :k]]
                predicted = np.array([np.bincount(row).argmax() for row in votes])
                accuracy[metric, k] = (predicted == labels).mean()
        assert accuracy[settings["metric"], settings["k"]] == max(accuracy.values())

    def test_rows_that_are_all_held_out_leave_one_neighbour(self, data):
        assert ask("knn", data, held_out=np.arange(300)).settings == {"metric": "euclidean", "k": 1}

    def test_a_few_training_rows_are_enough(self, data):
        few = TrialData(data.X_train[:3], data.y_train[:3], data.X_validation, data.y_validation, 10)
        assert ask("knn", few).probabilities.shape == (100, 10)
