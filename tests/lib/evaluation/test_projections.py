"""Samples by class, and projections of rows that lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from lib.errors import ConfigError
from lib.evaluation.projections import principal_components, sample_by_class, tsne


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
    points, variance = principal_components(rows, 2)
    assert variance[0] > 0.9
    assert (points[:40, 0] > 0).all() != (points[40:, 0] > 0).all()
    told: list[int] = []
    points, divergence = tsne(rows, 10, 300, 0, told.append)
    assert divergence > 0
    assert 250 <= sum(told) <= 300
    apart = np.linalg.norm(points[:40].mean(0) - points[40:].mean(0))
    assert apart > points[:40].std()
    with pytest.raises(ConfigError, match="perplexity 100 must be below the 80 rows"):
        tsne(rows, 100, 300, 0)


@pytest.mark.parametrize(
    "rows",
    [np.random.default_rng(0).normal(size=(40, 1)), np.ones((40, 8)), np.repeat(np.eye(2), 20, axis=0)],
    ids=["of one value", "all alike", "of two kinds"],
)
def test_rows_without_two_principal_components_have_a_map_as_well(rows):
    points, divergence = tsne(rows.astype(np.float32), 10, 260, 0)
    assert points.shape == (40, 2)
    assert np.isfinite([*points.ravel(), divergence]).all()


def test_components_equal_those_of_the_singular_value_decomposition():
    X = np.random.default_rng(0).standard_normal((60, 8)) * np.arange(1, 9)
    points, shares = principal_components(X, 5)
    left, values, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:5], rtol=1e-9)
    np.testing.assert_allclose(np.abs(points), np.abs(left * values)[:, :2], rtol=1e-7, atol=1e-9)
