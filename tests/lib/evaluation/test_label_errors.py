"""Suspected labels are those of confident learning, as Northcutt, Jiang and Chuang (2021) define it."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from lib.evaluation import label_errors
from lib.evaluation.label_errors import suspected_labels


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(label_errors).failed == 0


def by_definition(labels, probabilities):
    """The paper's sets, image by image: thresholds (equation 2), the confident joint (equation 1), pruning by noise rate."""
    classes = range(probabilities.shape[1])
    own = {j: [p[j] for p, label in zip(probabilities, labels, strict=True) if label == j] for j in classes}
    threshold = {j: sum(values) / len(values) for j, values in own.items() if values}
    joint = {(i, j): 0 for i in classes for j in classes}
    for label, p in zip(labels, probabilities, strict=True):
        if reached := [j for j in threshold if p[j] >= threshold[j]]:
            joint[label, max(reached, key=lambda j: p[j])] += 1
    found = {}
    for (i, j), count in joint.items():
        if i == j or not count:
            continue
        estimated = count / sum(joint[i, k] for k in classes) * len(own[i])
        rows = sorted(
            (row for row, label in enumerate(labels) if label == i),
            key=lambda row: probabilities[row][i] - probabilities[row][j],
        )
        for row in rows[: round(estimated)]:
            if (probable := list(probabilities[row]).index(max(probabilities[row]))) != i:
                found[row] = probable
    return found


@pytest.mark.parametrize("seed", range(5))
def test_rows_and_suggestions_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 4], 400)  # class 3 has no rows
    probabilities = rng.dirichlet(np.full(5, 0.4), 400)
    probabilities[np.arange(400), labels] += rng.random(400)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rows, suggested = suspected_labels(labels, probabilities)
    assert dict(zip(rows.tolist(), suggested.tolist(), strict=True)) == by_definition(labels, probabilities)
    assert len(rows) > 20
    confidence = probabilities[rows, labels[rows]]
    assert (np.diff(confidence) >= 0).all()


def test_no_label_is_suspected_where_all_are_sure():
    rows, suggested = suspected_labels(np.array([0, 1, 0]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    assert rows.tolist() == suggested.tolist() == []
