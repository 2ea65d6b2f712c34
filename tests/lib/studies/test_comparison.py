"""No best is announced that the figures do not bear out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from lib.evaluation.intervals import paired_difference
from lib.studies.comparison import findings, steps, verdict


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

    def values(self, figure):
        return [figure(Result(*pair)) for pair in zip(self.train, self.validation, strict=True)]

    def mean(self, figure):
        return float(np.mean(self.values(figure)))


def accuracy(result: Result) -> float:
    return 1 - result.best_validation_loss


def test_a_paired_difference_is_the_paired_t_interval():
    left, right = [0.91, 0.93, 0.92, 0.95], [0.90, 0.91, 0.92, 0.92]
    ours = paired_difference(left, right)
    theirs = ttest_rel(left, right).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.real == (theirs.low > 0)
    assert paired_difference([0.9], [0.8]) is None


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


def test_steps_answer_the_study_s_questions_in_words():
    rows = steps(
        [
            Fake("5 units", [0.60, 0.62, 0.61], [0.80, 0.82, 0.81]),
            Fake("100 units", [0.10, 0.11, 0.12], [0.50, 0.53, 0.51]),
            Fake("200 units", [0.05, 0.06, 0.06], [0.51, 0.52, 0.51]),
        ]
    )
    assert [(row["train"], row["validation"]) for row in rows] == [("falls", "falls"), ("falls", "no clear change")]
    assert findings(rows)[1] == (
        "sgd: best validation loss, step by step: 5 units to 100 units falls, 100 units to 200 units no clear change."
    )
