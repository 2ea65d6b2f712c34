"""The paired difference of accuracies: a published example, a bootstrap, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation.paired import accuracy_difference


def answers(both: int, left: int, right: int, neither: int):
    """Which images two models recognised, from how many both, only one, only the other and neither did."""
    counts = (both, left, right, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_it_gives_the_published_example_s_interval():
    """Newcombe's method in Altman et al., Statistics with Confidence (2000), chapter 6: 0.122 (0.011 to 0.226)."""
    found = accuracy_difference(*answers(14, 5, 0, 22))
    assert (found.estimate, found.low, found.high) == pytest.approx((0.122, 0.011, 0.226), abs=5e-4)


def test_it_agrees_with_a_bootstrap_over_images():
    left, right = answers(700, 80, 40, 180)
    drawn = np.random.default_rng(0).integers(0, 1000, (4000, 1000))
    differences = left[drawn].mean(axis=1) - right[drawn].mean(axis=1)
    found = accuracy_difference(left, right)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])), abs=0.002)


@given(st.tuples(*[st.integers(0, 300)] * 4).filter(any))
def test_it_holds_the_difference_and_turns_with_the_models(counts):
    left, right = answers(*counts)
    found, turned = accuracy_difference(left, right), accuracy_difference(right, left)
    assert found.low - 1e-12 <= left.mean() - right.mean() <= found.high + 1e-12
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_answers_to_different_images_are_refused():
    with pytest.raises(ValueError, match="3 answers beside 2 are not pairs"):
        accuracy_difference(np.ones(3, bool), np.ones(2, bool))
