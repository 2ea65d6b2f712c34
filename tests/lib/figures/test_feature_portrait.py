"""The picture of a feature set, also of sets that are hard to draw."""

from __future__ import annotations

import io

import numpy as np
import pytest

from lib.evaluation.projections import principal_components
from lib.features.statistics import RunningStatistics
from lib.figures.features import feature_portrait


def drawn(X: np.ndarray, labels: np.ndarray, names: list[str]):
    running = RunningStatistics(X.shape[1])
    running.add(X)
    points, shares = principal_components(X, 30)
    figure = feature_portrait(running.finish(), X, labels, names, points, shares, "title", "sample")
    figure.savefig(io.BytesIO(), format="png")
    return figure


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


def test_zeros_are_counted_and_not_drawn():
    X = np.maximum(np.random.default_rng(0).standard_normal((100, 10)), 0)
    values = drawn(X, np.zeros(100, np.int64), ["only"]).axes[1]
    assert f"{(X == 0).mean():.1%} of the values are 0" in values.texts[0].get_text()
    assert sum(bar.get_height() for bar in values.patches) == pytest.approx((X > 0).mean(), abs=0.01)
