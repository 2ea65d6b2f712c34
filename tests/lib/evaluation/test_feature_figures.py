"""The picture of a feature set, also of sets that are hard to draw; its principal components against NumPy's SVD."""

from __future__ import annotations

import io

import numpy as np
import pytest

from lib.evaluation.feature_figures import feature_portrait
from lib.evaluation.projections import principal_components
from lib.features.statistics import RunningStatistics


def drawn(X: np.ndarray, labels: np.ndarray, names: list[str]):
    running = RunningStatistics(X.shape[1])
    running.add(X)
    points, shares = principal_components(X, 30)
    figure = feature_portrait(running.finish(), X, labels, names, points, shares, "title", "sample")
    figure.savefig(io.BytesIO(), format="png")
    return figure


def test_components_equal_those_of_the_singular_value_decomposition():
    X = np.random.default_rng(0).standard_normal((60, 8)) * np.arange(1, 9)
    points, shares = principal_components(X, 5)
    left, values, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:5], rtol=1e-9)
    np.testing.assert_allclose(np.abs(points), np.abs(left * values)[:, :2], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("X", [np.zeros((6, 4)), np.full((1, 3), 2.0), np.eye(2), np.arange(3.0)[:, None]])
def test_few_rows_few_features_and_rows_all_alike_are_drawn_too(X):
    points, shares = principal_components(X, 30)
    assert points.shape == (len(X), 2)
    assert np.isfinite(points).all()
    assert np.isfinite(shares).all()
    drawn(X, np.zeros(len(X), np.int64), ["only"])


def test_of_many_classes_the_most_frequent_are_named_and_the_rest_counted():
    labels = np.concatenate([np.repeat(np.arange(7) + 10, 9), np.arange(30)])
    X = np.random.default_rng(0).standard_normal((len(labels), 12))
    plane = drawn(X, labels, [f"class {k}" for k in range(30)]).axes[2]
    words = [text.get_text() for text in plane.get_legend().get_texts()]
    assert words == [*(f"class {k}" for k in range(10, 17)), "23 other classes"]


def test_zeros_are_said_and_not_drawn():
    X = np.maximum(np.random.default_rng(0).standard_normal((100, 10)), 0)
    values = drawn(X, np.zeros(100, np.int64), ["only"]).axes[1]
    assert f"{(X == 0).mean():.1%} of the values are 0" in values.texts[0].get_text()
    assert sum(bar.get_height() for bar in values.patches) == pytest.approx((X > 0).mean(), abs=0.01)
