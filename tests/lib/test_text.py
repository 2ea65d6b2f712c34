"""Text and numbers as people are shown them."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from lib import text
from lib.text import number


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(text).failed == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.00123456, "-0.001235"),
        (999.96, "1,000"),
        (12231.405, "12,231"),
        (-12231.405, "-12,231"),
        (9_999_999.0, "9,999,999"),
        (1e7, "1e+07"),
        (12_345_678, "12,345,678"),
        (np.float32(0.5), "0.5"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_has_four_places_that_count(value, shown):
    assert number(value) == shown
