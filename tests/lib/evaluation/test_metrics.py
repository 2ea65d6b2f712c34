"""Answers that are not finite, and the rows that a classifier was most surely wrong about."""

from __future__ import annotations

import numpy as np
import pytest

from lib.evaluation.metrics import decided, most_surely_wrong


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
    assert most_surely_wrong(labels, np.column_stack([1 - second, second]), 1) == found[:1]
