"""Scores of a classifier against scikit-learn's, and the rows it was most surely wrong about."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from lib.evaluation.metrics import decided, most_surely_wrong, score


def test_scores_equal_scikit_learn_s():
    rng = np.random.default_rng(0)
    y, proba = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    found = score(y, proba)
    assert found.accuracy.estimate == metrics.accuracy_score(y, proba.argmax(1))
    assert found.f1 == pytest.approx(metrics.f1_score(y, proba.argmax(1), average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(y, proba))
    assert found.confusion[1, 2] == ((y == 1) & (proba.argmax(1) == 2)).sum()  # rows true, columns predicted
    assert found.majority == np.bincount(y).max() / 200


def test_the_summary_names_figures_without_their_rows():
    found = score(np.array([0, 1, 1]), np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]))
    assert set(found.summary()) == {"accuracy", "accuracy_low", "accuracy_high", "f1", "loss"}


def test_answers_that_are_not_finite_get_equal_shares():
    found = decided(np.array([[0.2, 0.8], [np.nan, np.nan], [0.0, np.inf]]))
    assert found.tolist() == [[0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]


def test_the_most_surely_wrong_come_first_with_both_probabilities():
    second = np.array([0.9, 0.2, 0.99, 0.6])
    labels = np.array([0, 0, 0, 1])
    found = most_surely_wrong(labels, np.column_stack([1 - second, second]), 5)
    assert [(each.row, each.true, each.predicted, each.probability) for each in found] == [
        (2, 0, 1, 0.99),
        (0, 0, 1, 0.9),
    ]
    assert found[0].probability_of_true == pytest.approx(0.01)
