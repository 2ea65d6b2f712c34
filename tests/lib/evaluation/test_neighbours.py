"""Neighbours and clusters of near duplicates are those that scikit-learn and a slow search find."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from lib.evaluation import neighbours as module
from lib.evaluation.neighbours import near_duplicates, neighbours, rare_share, unit_length
from lib.evaluation.projections import random_directions


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(module).failed == 0


def rows(count=700, width=20, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def test_neighbours_are_scikit_learn_s_and_no_row_is_its_own():
    X = rows()
    X[600:] = X[:100] + np.float32(1e-4)  # whose distances are lost in the rounding of products
    positions, distances = neighbours(X, 5)
    theirs, at = NearestNeighbors(n_neighbors=5).fit(X.astype(np.float64)).kneighbors()
    np.testing.assert_array_equal(positions, at)
    np.testing.assert_allclose(distances, theirs, rtol=1e-2, atol=1e-6)
    assert not (positions == np.arange(700)[:, None]).any()


def test_more_equal_rows_than_neighbours_are_all_neighbours_of_others():
    positions, distances = neighbours(np.ones((40, 3), np.float32), 4)
    assert positions.shape == (40, 4)
    assert not (positions == np.arange(40)[:, None]).any()
    assert (distances == 0).all()


@pytest.mark.parametrize(("count", "k"), [(1, 0), (2, 1), (4, 3)])
def test_of_few_rows_all_others_are_neighbours(count, k):
    assert neighbours(rows(count), 10)[0].shape == (count, k)


def test_all_but_the_first_of_each_cluster_is_a_near_duplicate():
    X = rows(120, 3)
    groups = np.arange(120) // 2
    splits = np.repeat([0, 1], 60)
    near, away = neighbours(X, 119)
    found, others, distances = near_duplicates(near, away, 0.1, splits, groups)
    scale = np.maximum(away[:, -1:], np.median(away[:, -1]) / 2)
    linked = (cdist(X, X) <= 0.1 * scale) & (groups[:, None] != groups)
    linked |= linked.T
    expected, seen = [], set()
    for row in range(120):
        reached, left = {row}, [row]
        while left:
            left = [each for each in np.flatnonzero(linked[left].any(axis=0)).tolist() if each not in reached]
            reached |= set(left)
        expected += [row] if reached & seen else []
        seen.add(row)
    assert found.tolist() == expected
    assert linked[found, others].all()
    np.testing.assert_allclose(distances, np.linalg.norm(X[found] - X[others], axis=1), rtol=1e-5)
    for row, other in zip(found, others, strict=True):
        if (splits[linked[row]] != splits[row]).any():
            assert splits[other] != splits[row], "a duplicate in another split matters more than a nearer one"


def test_many_copies_of_one_row_are_near_duplicates_too():
    X = rows(100, 8)
    X[50:80] = X[49] + 0.01 * rows(30, 8, seed=1)
    found, _, _ = near_duplicates(*neighbours(X, 10), 0.2, np.zeros(100, np.int64))
    assert found.tolist() == list(range(50, 80))


@pytest.mark.parametrize("width", [3, 12])
def test_as_few_rows_without_copies_are_nearer_than_the_rare_share_as_it_says(width):
    _, away = neighbours(rows(6000, width), 10)
    assert 0.002 < np.mean(away[:, 0] < rare_share(away, 0.01) * away[:, -1]) < 0.02
    assert rare_share(away[:, :2], 0.01) == 0


def test_rows_of_unit_length_have_the_distances_of_cosines():
    X = rows(50) + 1
    np.testing.assert_allclose(cdist(*[unit_length(X.copy())] * 2), np.sqrt(2 * cdist(X, X, "cosine")), atol=1e-3)
    assert (unit_length(np.zeros((3, 2), np.float32)) == 0).all()


def test_random_projections_keep_distances_as_far_as_they_promise():
    X = rows(60, 5000)
    before, after = cdist(X, X), cdist(*[X @ random_directions(5000, 1024)] * 2)
    upper = np.triu_indices(60, 1)
    ratio = after[upper] / before[upper]
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() == pytest.approx(1 / np.sqrt(2 * 1024), rel=0.2)
