"""Curves of probabilities against scikit-learn's figures and the bins themselves."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from sklearn import metrics

from lib.evaluation.calibration import reliability
from lib.figures.calibration import calibration_curves
from lib.figures.roc import roc_and_precision_recall
from tests.lib.evaluation.predictions import made_up


def curve_of(axis: Axes) -> np.ndarray:
    """The points of the first line that has any."""
    return next(points for line in axis.lines if len(points := line.get_xydata()))


@pytest.mark.parametrize("classes", [2, 5])
def test_curves_and_areas_agree_with_scikit_learn(classes):
    labels, probabilities = made_up(300, classes)
    names = [f"class {k}" for k in range(classes)]
    figure = roc_and_precision_recall(labels, {"m": probabilities}, names, "t")
    truth, scores = (labels, probabilities[:, 1]) if classes == 2 else (np.eye(classes)[labels], probabilities)
    auc = metrics.roc_auc_score(truth, scores, average="micro")
    precision = metrics.average_precision_score(truth, scores, average="micro")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [f"m: AUC {auc:.3f}, AP {precision:.3f}", "chance"]
    assert metrics.auc(*curve_of(figure.axes[0]).T) == pytest.approx(auc)


def test_curves_of_very_many_rows_are_thinned_and_keep_their_shape():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 50_000)
    second = np.clip(labels * 0.3 + rng.random(50_000) * 0.7, 0, 1)
    figure = roc_and_precision_recall(labels, {"m": np.column_stack([1 - second, second])}, ["no", "yes"], "t")
    x, y = curve_of(figure.axes[0]).T
    assert len(x) <= 2000
    assert metrics.auc(x, y) == pytest.approx(metrics.roc_auc_score(labels, second), abs=1e-3)


def test_rows_of_one_class_alone_have_no_roc_and_stop_nothing():
    figure = roc_and_precision_recall(np.ones(20, np.int64), {"m": np.full((20, 2), 0.5)}, ["no", "yes"], "t")
    assert curve_of(figure.axes[0]).tolist() == [[0, 0], [1, 1]]  # chance alone


def test_the_calibration_figure_shows_each_bin_s_accuracy_and_rows():
    labels, probabilities = made_up(300, 3)
    bins = reliability(labels, probabilities)
    curve, rows = calibration_curves({"one": bins}, 3, "Title").axes
    drawn = curve.containers[0].lines[0].get_xydata()
    assert drawn == pytest.approx(np.array([(each.confidence, each.accuracy.estimate) for each in bins]))
    counts = np.histogram(probabilities.max(axis=1), 15, (0, 1))[0]
    assert rows.patches[0].get_data().values.sum() == counts.sum() == 300
