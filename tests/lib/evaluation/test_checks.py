"""Checks that catch the reference study's faults, on trials that really were trained."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lib.evaluation.checks import Learned, learned, nothing_learned, same_answers
from lib.evaluation.metrics import prediction_digest
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial


@pytest.fixture(scope="module")
def data() -> TrialData:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return TrialData(X[:600], y[:600], X[600:900], y[600:900], 10)


def test_a_loss_that_cannot_learn_is_at_chance(data):
    """The reference study's fault: 100 epochs at the majority class's share, and a loss near zero to hide it."""
    stuck = train(Trial(hidden=(20,), learning_rate=1e-9, epochs=3), data)
    assert learned(stuck, data.y_train) is Learned.AT_CHANCE
    good = train(Trial(hidden=(20,), epochs=10), data)
    assert learned(good, data.y_train) is Learned.YES


def test_a_diverged_trial_is_not_one_at_chance(data):
    lost = train(Trial(hidden=(20, 20), activation="linear", learning_rate=1e6, epochs=3), data)
    assert learned(lost, data.y_train) is Learned.DIVERGED


def test_luck_among_many_classes_is_no_learning_until_the_loss_beats_the_shares():
    labels = np.arange(1000) % 100

    def course(loss):
        return SimpleNamespace(
            history=[{"train_accuracy": 0.04, "train_loss": loss}], diverged_epoch=None, ended="finished"
        )

    assert learned(course(np.log(100)), labels) is Learned.AT_CHANCE
    assert learned(course(0.9 * np.log(100)), labels) is Learned.YES


def test_a_halved_trial_is_not_judged():
    course = SimpleNamespace(history=[{"train_accuracy": 0.5, "train_loss": 1}], diverged_epoch=None, ended="halved")
    assert learned(course, np.arange(10) % 2) is Learned.NOT_JUDGED


def test_nothing_learned_when_no_judged_trial_did():
    assert nothing_learned([Learned.AT_CHANCE, Learned.DIVERGED, Learned.NOT_JUDGED])
    assert not nothing_learned([Learned.AT_CHANCE, Learned.YES])
    assert not nothing_learned([Learned.NOT_JUDGED])


def test_one_model_under_two_names_is_a_pair():
    """The reference study's fault: its "identity" row scored the ReLU model again."""
    rng = np.random.default_rng(0)
    relu, tanh = rng.dirichlet([1, 1], 50), rng.dirichlet([1, 1], 50)
    models = (("relu", relu), ("tanh", tanh), ("identity", relu))
    digests = [(name, prediction_digest(proba)) for name, proba in models]
    assert same_answers(digests[:2]) == []
    assert same_answers(digests) == [("relu", "identity")]
    undecided = prediction_digest(np.full((50, 2), 0.5))  # as of networks that diverged
    assert same_answers([("one", undecided), ("another", undecided)]) == []
