"""Units of an extraction: every shard once and in order, balanced, and none too small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib.features.units import cut_units


@given(
    sizes=st.lists(st.integers(1, 100), max_size=40),
    count=st.integers(1, 12),
    least=st.integers(1, 500),
)
def test_each_shard_is_in_one_unit_and_units_are_balanced_and_not_too_small(sizes, count, least):
    units = cut_units(sizes, count, least)
    assert [index for unit in units for index in unit] == list(range(len(sizes)))
    assert len(units) <= count
    images = [sum(sizes[index] for index in unit) for unit in units]
    if len(units) > 1:
        assert min(images) >= least
        assert max(images) - min(images) <= 2 * max(sizes)


def test_equal_shards_are_shared_out_evenly_and_a_small_set_is_one_unit():
    assert [len(unit) for unit in cut_units([4096] * 24 + [1696], 4, 20_000)] == [6, 6, 6, 7]
    assert cut_units([4096] * 3, 4, 20_000) == [range(3)]


def test_fewer_units_are_cut_when_shards_are_too_coarse_for_the_wanted_number():
    assert cut_units([15, 15, 15, 15], 8, 20) == [range(2), range(2, 4)]
