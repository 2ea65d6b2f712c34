"""Simulations: 95 % intervals hold the truth in 93 to 97 % of cases, and tests call nothing significant in 6 % at most.

Each interval that a report prints is tried on data whose truth is known, with seeded draws.
"""

from __future__ import annotations

import numpy as np
import pytest

from lib.evaluation.intervals import over_seeds, paired_difference, wilson
from lib.evaluation.measures import measure
from lib.evaluation.paired import compare_predictions
from lib.evaluation.resampling import over_seeds_and_rows

HELD, FALSE = (0.93, 0.97), 0.06


def share(hits: list[bool]) -> float:
    return float(np.mean(hits))


@pytest.mark.parametrize(("rows", "truth"), [(100, 0.8), (1000, 0.9), (2000, 0.97)])
def test_wilson_s_interval_of_an_accuracy(rows, truth):
    rng = np.random.default_rng(0)
    found = [wilson(right, rows) for right in rng.binomial(rows, truth, 4000).tolist()]
    assert HELD[0] <= share([each.low <= truth <= each.high for each in found]) <= HELD[1]


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_student_s_interval_over_seeds_and_its_paired_test(seeds):
    rng = np.random.default_rng(seeds)
    values = rng.normal(0.9, 0.01, (4000, 2, seeds))
    means = [over_seeds(one.tolist()) for one in values[:, 0]]
    assert HELD[0] <= share([each.low <= 0.9 <= each.high for each in means]) <= HELD[1]
    tested = [paired_difference(*pair.tolist()) for pair in values]
    assert HELD[0] <= share([each.low <= 0 <= each.high for each in tested]) <= HELD[1]
    assert share([each.significant for each in tested]) <= FALSE


def splits_of(rng: np.random.Generator, held_out: int, folds: bool) -> list[np.ndarray]:
    order = rng.permutation(ROWS)
    if folds:
        return [order[start : start + held_out] for start in range(0, ROWS, held_out)]
    return [rng.permutation(ROWS)[:held_out] for _ in range(5)]


ROWS = 100


def nearest_mean_scores(rng: np.random.Generator, held_out: int, folds: bool) -> np.ndarray:
    """Accuracies of two models that are equally good, on splits of one sample, shape (2, splits).

    Each model takes the nearer of two classes' means, in features of its own.
    """
    labels = np.arange(ROWS) % 2
    inputs = rng.normal(size=(2, ROWS, 5)) + 0.5 * labels[:, None]
    scores = []
    for held in splits_of(rng, held_out, folds):
        kept = np.setdiff1d(np.arange(ROWS), held)
        of_split = []
        for X in inputs:
            centres = np.stack([X[kept][labels[kept] == label].mean(axis=0) for label in (0, 1)])
            nearest = ((X[held][:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
            of_split.append((nearest == labels[held]).mean())
        scores.append(of_split)
    return np.transpose(scores)


@pytest.mark.parametrize(("held_out", "folds"), [(20, False), (20, True)], ids=["repeated", "folds"])
def test_the_corrected_test_over_repeated_splits_of_the_same_rows(held_out, folds):
    rng = np.random.default_rng(0)
    overlap = held_out / (ROWS - held_out)
    scores = [nearest_mean_scores(rng, held_out, folds).tolist() for _ in range(1500)]
    corrected = [paired_difference(*pair, overlap) for pair in scores]
    naive = [paired_difference(*pair) for pair in scores]
    assert share([each.significant for each in corrected]) <= FALSE
    # Folds never hold out a row twice, which the correction does not know: of them it is on the safe side.
    assert HELD[0] <= share([each.low <= 0 <= each.high for each in corrected]) <= (0.99 if folds else HELD[1])
    if not folds:
        assert share([each.significant for each in naive]) > 2 * FALSE  # what the correction is for


def answers(
    rng: np.random.Generator, rows: int, groups: int | None, seeds: int, truth: float
) -> tuple[np.ndarray, ...]:
    """Whether each of `seeds` networks has each row right: rows, groups of rows and seeds differ in difficulty."""
    of_group = np.arange(rows) if groups is None else np.arange(rows) % groups
    ease = rng.normal(0, 0.05, of_group.max() + 1)[of_group] + rng.normal(0, 0.02, seeds)[:, None]
    return rng.random((seeds, rows)) < np.clip(truth + ease, 0, 1), of_group


@pytest.mark.parametrize(("rows", "groups", "seeds"), [(400, None, 3), (400, None, 5), (600, 60, 3), (300, 30, 10)])
def test_the_interval_for_other_seeds_and_other_rows_together(rows, groups, seeds):
    rng = np.random.default_rng(1)
    labels = np.zeros(rows, np.int64)
    hits = []
    for _ in range(1500):
        right, of_group = answers(rng, rows, groups, seeds, 0.8)
        found = over_seeds_and_rows(right, labels, None if groups is None else of_group)
        hits.append(found.low <= 0.8 <= found.high)
    assert HELD[0] <= share(hits) <= HELD[1]


@pytest.mark.parametrize(("rows", "truth"), [(12, 0.9), (12, 0.97), (40, 0.97), (40, 0.995)])
def test_the_intervals_of_few_rows_that_are_nearly_all_right(rows, truth):
    rng = np.random.default_rng(4)
    labels, hits, held = np.arange(rows) % 2, [], []
    for _ in range(1500):
        one, other = (rng.random(rows) < truth for _ in range(2))
        found = over_seeds_and_rows(np.stack([one] * 3), labels, None)
        hits.append(found.low <= truth <= found.high)
        difference = compare_predictions(*(np.where(right, labels, 1 - labels) for right in (one, other)), labels)
        held.append(difference.low <= 0 <= difference.high)
    assert min(share(hits), share(held)) >= HELD[0]


@pytest.mark.parametrize("seeds", [1, 3, 10])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_networks_that_all_give_one_class_have_wilson_s_interval(seeds, classes):
    labels = np.arange(30 * classes) % classes
    found = over_seeds_and_rows(np.stack([labels == 0] * seeds), labels, None)
    expected = wilson(30, 30 * classes)
    assert (found.estimate, found.low, found.high) == pytest.approx((1 / classes, expected.low, expected.high))


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("sizes", [[5] * 20, list(range(1, 21))])
def test_groups_that_are_all_right_count_once_whatever_their_classes_and_sizes(classes, sizes):
    groups = np.repeat(np.arange(20), sizes)
    labels = np.arange(len(groups)) % classes
    found = over_seeds_and_rows(np.ones((3, len(groups)), bool), labels, groups)
    assert (found.low, found.high) == pytest.approx((wilson(20, 20).low, 1))
    difference = compare_predictions(labels, labels, labels, groups)
    assert difference.high == pytest.approx(wilson(0, 20).high)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_bootstrap_s_interval_of_measures(grouped):
    rng = np.random.default_rng(2)
    labels = np.tile([0, 1], 200)
    groups = np.repeat(np.arange(100), 4) if grouped else None
    hits = {"accuracy": [], "balanced_accuracy": [], "f1": []}
    for _ in range(250):
        right = rng.random(400) < 0.8
        predicted = np.where(right, labels, 1 - labels)
        found = measure(labels, np.where(np.eye(2)[predicted] > 0, 0.9, 0.1), groups, count=400)
        for name in hits:
            hits[name].append(found[name].low <= 0.8 <= found[name].high)
    for name, of in hits.items():
        assert 0.91 <= share(of) <= 0.985, name  # of 250 cases, whose own 95 % interval is 0.92 to 0.975


def test_mcnemar_s_test_and_the_paired_bootstrap_of_two_equal_models():
    rng = np.random.default_rng(3)
    labels = np.zeros(500, np.int64)
    significant, held = [], []
    for _ in range(800):
        easy = rng.random(500) < 0.7
        a, b = (np.where(easy | (rng.random(500) < 0.5), 0, 1) for _ in range(2))
        found = compare_predictions(a, b, labels)
        significant.append(found.significant)
        held.append(found.low <= 0 <= found.high)
    assert share(significant) <= FALSE
    assert HELD[0] <= share(held) <= HELD[1]
