"""No best is announced that the figures do not bear out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from lib.evaluation.intervals import paired_difference
from lib.studies.comparison import changes, judge, steps, verdict


@dataclass(frozen=True)
class Result:
    mean_train_loss: float
    best_validation_loss: float


@dataclass(frozen=True)
class Fake:
    label: str
    train: list[float]
    validation: list[float]
    arm: str = "sgd"

    @property
    def value(self) -> Any:
        return self.label

    @property
    def results(self):
        return [Result(*pair) for pair in zip(self.train, self.validation, strict=True)]

    def values(self, figure):
        return [figure(result) for result in self.results]

    def mean(self, figure):
        return float(np.mean(self.values(figure)))


def accuracy(result: Result) -> float:
    return 1 - result.best_validation_loss


def train_loss(result: Result) -> float:
    return result.mean_train_loss


def test_a_paired_difference_is_the_paired_t_test():
    left, right = [0.91, 0.93, 0.92, 0.95], [0.90, 0.91, 0.92, 0.92]
    ours = paired_difference(left, right)
    theirs = ttest_rel(left, right)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high, ours.p_value) == pytest.approx((interval.low, interval.high, theirs.pvalue))
    assert ours.real == (interval.low > 0) == (theirs.pvalue < 0.05)
    assert paired_difference([0.9], [0.8]) is None
    assert paired_difference([0.9, np.nan], [0.8, 0.7]) is None
    with pytest.raises(ValueError, match="3 values beside 2 are not pairs"):
        paired_difference([1, 2, 3], [1, 2])


def test_a_difference_without_spread_is_judged_by_its_signs_alone_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = paired_difference([0.91, 0.92, 0.93], [0.91, 0.92, 0.93])
        three = paired_difference([0.91, 0.92, 0.93], [0.90, 0.91, 0.92])
        eight = paired_difference([0.5] * 8, [0.4] * 8)
    assert (same.estimate, same.p_value, same.real) == (0, 1, False)
    assert (three.p_value, three.real) == (0.25, False)  # three equal signs: 2 / 2**3
    assert "the same with each of 3 seeds" in three.words
    assert eight.real


def test_the_verdict_says_what_the_seeds_allow():
    best = Fake("50 units", [0.1] * 4, [0.10, 0.20, 0.30, 0.15])
    near = Fake("20 units", [0.2] * 4, [0.14, 0.17, 0.33, 0.14])
    far = Fake("5 units", [0.3] * 4, [0.30, 0.41, 0.50, 0.36])
    assert verdict(best, [near, best, far], accuracy, False).startswith("not told apart from 20 units: 0.0075 (")
    assert verdict(best, [best, far], accuracy, True).startswith("ahead of sgd: 5 units by 0.2050 (")
    single = [Fake("a", [0.1], [0.1]), Fake("b", [0.1], [0.2])]
    assert verdict(single[0], single, accuracy, False) == "one seed cannot tell it from b"
    assert verdict(best, [best], accuracy, False) == "the only configuration"
    assert steps(single) == []
    tied = Fake("also", best.train, best.validation)
    assert verdict(tied, [best, tied], accuracy, False).startswith("not told apart from 50 units: 0.0000 (")


def test_the_best_is_ahead_only_when_every_rival_is_excluded():
    best = Fake("best", [0.1] * 5, [0.10, 0.11, 0.12, 0.10, 0.11])
    second = Fake("second", [0.1] * 5, [0.20, 0.21, 0.23, 0.20, 0.22])
    erratic = Fake("erratic", [0.1] * 5, [0.05, 0.06, 0.08, 0.90, 0.90])
    diverged = Fake("diverged", [0.1] * 5, [np.nan] * 5)
    assert judge(best, [best, second], accuracy, False).told_apart
    found = judge(best, [best, second, erratic], accuracy, False)
    assert not found.told_apart
    assert found.words.startswith("ahead of second by 0.1040 (")
    assert ", but not told apart from erratic: 0.29" in found.words
    third = Fake("third", [0.1] * 5, [0.30, 0.31, 0.32, 0.31, 0.33])
    assert judge(best, [best, third, second], accuracy, False).words.endswith(", and told apart from the other")
    fourth = Fake("fourth", [0.1] * 5, [0.40, 0.41, 0.42, 0.41, 0.43])
    every = [best, second, third, fourth]
    assert judge(best, every, accuracy, False).words.endswith(", and told apart from the other 2")
    alike = [Fake(str(place), [0.1] * 5, np.roll([0.1, 0.2, 0.3, 0.4, 0.6], place)) for place in range(4)]
    assert judge(alike[0], alike, accuracy, False).words.endswith(", nor from the other 2")
    assert judge(best, [best, diverged], accuracy, False).words.startswith("the only one whose figure is finite")
    assert judge(diverged, [diverged, Fake("too", [0.1] * 5, [np.nan] * 5)], accuracy, False).told_apart is False


def test_steps_answer_the_study_s_questions_in_words():
    rows = steps(
        [
            Fake("5 units", [0.60, 0.62, 0.61], [0.80, 0.82, 0.81]),
            Fake("100 units", [0.10, 0.11, 0.12], [0.50, 0.53, 0.51]),
            Fake("200 units", [0.05, 0.06, 0.06], [0.51, 0.52, 0.51]),
            Fake("400 units", [np.nan, 0.06, 0.06], [0.51, 0.52, 0.51]),
        ]
    )
    assert [(row["train"], row["validation"]) for row in rows] == [
        ("falls", "falls"),
        ("falls", "no clear change"),
        ("not compared", "no clear change"),
    ]


def test_a_step_that_is_clear_alone_may_not_be_clear_among_several():
    """Its p-value of 0.03 alone is twice that as the smallest of two."""
    start = np.array([0.60, 0.62, 0.61, 0.59])
    step = np.array([0.028, 0.012, 0.02, 0.007])
    assert 0.025 < ttest_rel(start, start - step).pvalue < 0.05
    first, second = Fake("a", list(start), list(start)), Fake("b", list(start - step), list(start))
    noise = Fake("c", list(start - step + [0.02, -0.01, -0.02, 0.01]), list(start))
    assert [change.direction for change in changes([first, second], train_loss)] == ["falls"]
    assert [change.direction for change in changes([first, second, noise], train_loss)] == ["no clear change"] * 2


def test_where_nothing_differs_a_step_is_claimed_in_at_most_one_study_of_twenty():
    rng = np.random.default_rng(0)
    claimed = 0
    for _ in range(300):
        noise = rng.normal(0.5, 0.1, (5, 5)).tolist()
        configurations = [Fake(str(index), values, values) for index, values in enumerate(noise)]
        claimed += any(change.direction in ("falls", "rises") for change in changes(configurations, train_loss))
    assert claimed <= 0.05 * 300 + 12  # three standard errors above
