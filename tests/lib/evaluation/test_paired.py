"""Comparisons on the same rows, against SciPy, enumeration and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from lib.evaluation import paired
from lib.evaluation.intervals import wilson
from lib.evaluation.paired import compare_predictions, sign_flip_p_value
from tests.lib.evaluation.predictions import made_up


class TestPairedPredictions:
    def test_mcnemar_s_test_is_the_sign_test_of_the_rows_that_differ(self):
        y = np.zeros(100, np.int64)
        a, b = np.r_[np.zeros(90), np.ones(10)].astype(int), np.r_[np.ones(21), np.zeros(74), np.ones(5)].astype(int)
        found = compare_predictions(a, b, y)
        assert (found.only_first, found.only_second) == (21, 5)
        tail = sum(math.comb(26, k) for k in range(6)) / 2**26
        assert found.p_value == pytest.approx(2 * tail) == pytest.approx(binomtest(5, 26).pvalue)
        assert found.estimate == pytest.approx(0.16)
        assert found.significant

    def test_its_interval_is_the_paired_bootstrap_of_scipy(self):
        labels, one = made_up(400, 2)
        _, other = made_up(400, 2, seed=1)
        a, b = one.argmax(axis=1), np.where(np.arange(400) % 3 == 0, other.argmax(axis=1), labels)
        found = compare_predictions(a, b, labels)
        differences = ((a == labels) * 1.0 - (b == labels),)
        theirs = bootstrap(differences, np.mean, method="percentile", n_resamples=2000, rng=0).confidence_interval
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
        assert found.low < found.estimate < found.high
        back = compare_predictions(b, a, labels)
        assert (back.estimate, back.p_value) == pytest.approx((-found.estimate, found.p_value))

    def test_rows_of_a_group_are_drawn_together(self):
        labels, one = made_up(60, 2)
        a, b = one.argmax(axis=1), np.roll(labels, 1)
        alone = compare_predictions(a, b, labels)
        tenfold = [np.repeat(each, 10) for each in (a, b, labels, np.arange(60))]
        grouped = compare_predictions(*tenfold)
        assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
        assert compare_predictions(*tenfold[:3]).high < alone.high - 0.03

    @pytest.mark.parametrize("rows", [10, 10_000])
    def test_models_that_agree_may_differ_on_other_rows_by_as_much_as_so_few_can_hide(self, rows):
        y = np.arange(rows) % 2
        found = compare_predictions(y, y, y)
        assert (found.estimate, found.p_value, found.significant) == (0, 1, False)
        most = wilson(0, rows).high
        assert (found.low, found.high) == pytest.approx((-most, most))

    def test_one_group_a_class_says_little(self):
        y = np.repeat([0, 1], 10)
        found = compare_predictions(y, np.zeros(20, int), y, groups=y)
        assert found.low < 0.1
        assert found.high > 0.9

    def test_one_ahead_on_all_rows_of_a_class_counts_groups_whatever_their_sizes(self):
        found = []
        for sizes in ([4] * 20, [1, 7] * 10):
            groups = np.repeat(np.arange(20), sizes)
            y = groups // 2 % 2
            found.append(compare_predictions(y, np.zeros(len(y), int), y, groups))
        assert (found[0].low, found[0].high) == pytest.approx((found[1].low, found[1].high))

    def test_a_model_that_is_ahead_on_all_rows_of_a_class_has_an_interval(self):
        y = np.arange(20) % 2
        found = compare_predictions(y, np.zeros(20, int), y)
        assert found.estimate == 0.5
        assert 0.2 < found.low < 0.3
        assert 0.7 < found.high < 0.8

    def test_turned_it_is_the_other_model_s(self):
        a, b, y = (np.random.default_rng(seed).integers(0, 2, 200) for seed in range(3))
        there, back = compare_predictions(a, b, y), compare_predictions(b, a, y)
        assert there.estimate != 0
        turned = there.turned
        assert (turned.estimate, turned.only_first, turned.only_second) == (
            back.estimate,
            back.only_first,
            back.only_second,
        )
        assert (turned.low, turned.high) == (-there.high, -there.low)
        assert turned.turned == there

    def test_other_rows_are_refused(self):
        with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\) cannot be compared"):
            compare_predictions(np.zeros(3, int), np.zeros(2, int), np.zeros(3, int))


class TestSignFlips:
    @pytest.mark.parametrize("leads", [[3, -1, 2, 2, 0, -5], [1, 1, 1, -1], [7], [0, 0], [4, -4, 1]])
    def test_p_is_the_share_of_all_sign_flips_that_are_as_far_from_zero(self, leads):
        leads = np.array(leads)
        sums = [abs(leads @ signs) for signs in itertools.product((-1, 1), repeat=len(leads))]
        assert sign_flip_p_value(leads) == pytest.approx(np.mean(np.array(sums) >= abs(leads.sum())))

    def test_rows_that_are_groups_of_their_own_have_mcnemar_s(self):
        labels, one = made_up(300, 2)
        a, b = one.argmax(axis=1), made_up(300, 2, seed=1)[1].argmax(axis=1)
        alone = compare_predictions(a, b, labels)
        theirs = binomtest(alone.only_first, alone.only_first + alone.only_second).pvalue
        assert alone.p_value == pytest.approx(theirs)
        assert compare_predictions(a, b, labels, np.arange(300)).p_value == pytest.approx(theirs)

    def test_ten_copies_of_every_row_are_no_more_evidence(self):
        labels, one = made_up(60, 2)
        a, b = one.argmax(axis=1), np.roll(labels, 1)
        alone = compare_predictions(a, b, labels)
        tenfold = [np.repeat(each, 10) for each in (a, b, labels, np.arange(60))]
        assert compare_predictions(*tenfold).p_value == pytest.approx(alone.p_value)

    def test_models_that_are_alike_on_correlated_groups_are_seldom_called_different(self, monkeypatch):
        """40 photographs of 5 patches each: which of two equal models is right is decided for a photograph as a whole."""
        monkeypatch.setattr(paired, "RESAMPLES", 20)  # intervals are not looked at here
        rng = np.random.default_rng(0)
        groups, labels = np.repeat(np.arange(40), 5), np.zeros(200, np.int64)
        grouped, naive = 0, 0
        for _ in range(600):
            first = (rng.random(40) < 0.5)[groups]
            hard = rng.random(200) < 0.4  # patches that one of the two gets wrong
            a, b = (hard & first).astype(np.int64), (hard & ~first).astype(np.int64)
            grouped += compare_predictions(a, b, labels, groups).significant
            naive += compare_predictions(a, b, labels).significant
        assert grouped / 600 < 0.07
        assert naive / 600 > 0.12
