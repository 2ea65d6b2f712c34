"""Labels and predictions to measure."""

from __future__ import annotations

import numpy as np

from lib.evaluation.calibration import reliability


def made_up(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that know something of them, with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    scores = np.round(rng.random((rows, classes)) + 0.4 * np.eye(classes)[labels], 1) + 0.01
    return labels, scores / scores.sum(axis=1, keepdims=True)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance of accuracy from confidence over the rows' bins, bin by bin."""
    bins = reliability(labels, probabilities)
    return sum(each.rows * abs(each.accuracy.estimate - each.confidence) for each in bins) / len(labels)
