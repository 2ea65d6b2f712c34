"""Intervals and corrections against SciPy, R and slow procedures."""

from __future__ import annotations

from itertools import combinations
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp, ttest_rel

from lib.evaluation.intervals import SHARE, Estimate, Interval, holm, over_seeds, paired_difference, wilson


@pytest.mark.parametrize(("right", "total"), [(0, 10), (7, 10), (10, 10), (970, 1000)])
def test_the_wilson_interval_equals_scipy_s(right, total):
    theirs = binomtest(right, total).proportion_ci(method="wilson")
    ours = wilson(right, total)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_a_figure_over_seeds_has_mean_deviation_and_interval_and_one_seed_has_no_false_one():
    values = [0.91, 0.93, 0.92, 0.95]
    theirs = ttest_1samp(values, 0).confidence_interval()
    found = over_seeds(values)
    assert (found.mean, found.standard_deviation) == pytest.approx((np.mean(values), stdev(values)))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.words == "0.9275 ± 0.0171 (0.9003 to 0.9547)"
    assert over_seeds([0.9, 0.99, 0.98], SHARE).high == 1  # an accuracy above 1 there is none
    assert over_seeds([0.9, 0.99, 0.98]).high > 1
    assert over_seeds([0.9]) == Estimate(0.9, None, None, None, 1)
    assert over_seeds([0.9]).words == "0.9000 (one seed, no interval)"
    assert over_seeds([0.9, np.nan]).words == "not finite"
    assert over_seeds([0.5, 0.5]).words == "0.5000 with each of 2 seeds"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_s_correction_is_the_closed_test_of_bonferroni_s(p_values):
    """Holm's is the shortcut of a slow procedure: a test counts only if every set of tests that holds it does."""
    places = range(len(p_values))
    sets = [chosen for size in places for chosen in combinations(places, size + 1)]
    slow = [
        max(min(1.0, len(each) * min(p_values[other] for other in each)) for each in sets if place in each)
        for place in places
    ]
    assert holm(p_values) == pytest.approx(slow)


def test_holm_s_correction_equals_r_s():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(p, "holm")
    assert holm([]) == []


def test_a_paired_difference_is_significant_when_the_paired_t_test_says_so():
    left, right = [0.91, 0.93, 0.92, 0.95], [0.90, 0.91, 0.91, 0.93]
    found, theirs = paired_difference(left, right), ttest_rel(left, right)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert found.significant == (theirs.pvalue < 0.05)
    assert not paired_difference(left[:2], right[:2]).significant
    assert paired_difference(left[:1], right[:1]) is None


def test_an_estimate_in_three_digits_has_no_interval_without_spread():
    assert (
        over_seeds([0.5, 0.6]).rounded
        == Interval(0.55, over_seeds([0.5, 0.6]).low, over_seeds([0.5, 0.6]).high).rounded
    )
    assert over_seeds([0.1] * 3).rounded == "0.100 with each of 3 seeds"
    assert over_seeds([0.5]).rounded == "0.500"
