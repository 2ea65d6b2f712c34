"""Cutting a sweep: every trial once, the same cut each time, balanced, and like trials together where that costs nothing."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from lib.mlp.trial import Trial
from lib.studies.sweep.chunks import SLACK, cost, cut

trials = st.builds(
    Trial,
    hidden=st.lists(st.sampled_from([4, 50, 200]), min_size=1, max_size=2).map(tuple),
    batch_size=st.sampled_from([16, 1024]),
    optimizer=st.sampled_from(["sgd", "adam"]),
    epochs=st.integers(1, 20),
    seed=st.integers(0, 2),
)


def costs_of(some: list[Trial]) -> list[int]:
    return [cost(trial, 1000, 64, 10) for trial in some]


def longest(parts: list[list[int]], costs: list[int]) -> int:
    return max(sum(costs[index] for index in part) for part in parts)


@given(st.lists(trials, min_size=1, max_size=40), st.integers(1, 8))
def test_every_trial_is_in_exactly_one_chunk_and_no_chunk_is_empty(some, count):
    parts = cut(some, costs_of(some), count)
    assert sorted(index for part in parts for index in part) == list(range(len(some)))
    assert all(parts)
    assert len(parts) <= count


@given(st.lists(trials, min_size=1, max_size=40), st.integers(1, 8))
def test_the_same_trials_are_cut_the_same_way(some, count):
    assert cut(some, costs_of(some), count) == cut(list(some), costs_of(some), count)


@given(st.lists(trials, min_size=1, max_size=40), st.integers(1, 8))
def test_the_longest_chunk_is_no_longer_than_the_mean_and_the_largest_trial(some, count):
    """A bound of any list schedule, Graham 1969."""
    costs = costs_of(some)
    bound = max(sum(costs) / count + (1 - 1 / count) * max(costs), SLACK * max(sum(costs) / count, max(costs)))
    assert longest(cut(some, costs, count), costs) <= bound * (1 + 1e-12)


@settings(max_examples=40)
@given(st.lists(trials, min_size=1, max_size=7), st.integers(1, 3))
def test_the_longest_chunk_is_within_four_thirds_of_the_best_of_all_cuts(some, count):
    costs = costs_of(some)
    loads = (
        [sum(each for each, place in zip(costs, places, strict=True) if place == part) for part in range(count)]
        for places in product(range(count), repeat=len(some))
    )
    assert longest(cut(some, costs, count), costs) <= 4 / 3 * min(map(max, loads))


def grid(**varied) -> list[Trial]:
    return [
        Trial.model_validate(dict(zip(varied, values, strict=True)) | {"seed": seed})
        for values in product(*varied.values())
        for seed in range(3)
    ]


def test_two_programs_of_equal_cost_become_two_chunks():
    some = grid(hidden=[(5,), (20,), (200,)], batch_size=[16, 1024])
    parts = cut(some, costs_of(some), 2)
    assert [{some[index].batch_size for index in part} for part in parts] == [{16}, {1024}]


def test_the_seeds_of_a_configuration_stay_together_where_that_balances():
    some = grid(activation=["relu", "tanh", "sigmoid", "linear"])
    parts = cut(some, costs_of(some), 4)
    assert [len({some[index].activation for index in part}) for part in parts] == [1, 1, 1, 1]


def test_a_configuration_is_torn_apart_when_it_would_hold_up_all_others():
    some = [*grid(hidden=[(200, 200)]), *grid(hidden=[(4,)])]
    parts = cut(some, costs_of(some), 3)
    assert [sum(some[index].hidden == (200, 200) for index in part) for part in parts] == [1, 1, 1]


def test_a_trial_costs_its_products_forward_of_gradients_and_of_deltas():
    forward = gradients = 7 * 3 + 3 * 2
    deltas = 3 * 2  # none for the input
    each_row = 2 * (forward + gradients + deltas)
    assert cost(Trial(hidden=(3,), epochs=5), rows=100, features=7, classes=2) == 100 * 5 * each_row
