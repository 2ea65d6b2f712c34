"""Calibration, in a case worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lib.evaluation.calibration import reliability
from lib.evaluation.intervals import wilson
from tests.lib.evaluation.predictions import calibration_error


def test_the_calibration_error_of_a_case_worked_by_hand():
    second = np.array([0.9, 0.9, 0.9, 0.9, 0.3, 0.3])  # confidences 0.9 and 0.7
    probabilities, labels = np.column_stack([1 - second, second]), np.array([1, 1, 1, 0, 0, 1])
    surer, less = 4 / 6 * abs(3 / 4 - 0.9), 2 / 6 * abs(1 / 2 - 0.7)
    assert calibration_error(labels, probabilities) == pytest.approx(surer + less)
    first, last = reliability(labels, probabilities)
    assert (first.rows, last.rows, first.accuracy, last.accuracy) == (2, 4, wilson(1, 2), wilson(3, 4))
    assert first.low < first.confidence <= first.high
