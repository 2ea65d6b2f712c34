"""Units of an extraction: every missing shard once and in order, balanced, and none too small."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib.features.units import cut_units


def shards_of(sizes):
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=40),
    kept=st.integers(0, 2**40),
    count=st.integers(1, 12),
    least=st.integers(1, 500),
)
def test_each_missing_shard_is_in_one_unit_and_units_are_balanced_and_not_too_small(sizes, kept, count, least):
    shards = shards_of(sizes)
    missing = [index for index in range(len(sizes)) if kept >> index & 1 == 0]
    units = cut_units(shards, missing, count, least)
    assert [index for unit in units for index in unit.shards] == missing
    assert [(unit.number, unit.of) for unit in units] == [(number, len(units)) for number in range(1, len(units) + 1)]
    assert len(units) <= count
    images = [sum(len(shards[index]) for index in unit.shards) for unit in units]
    assert images == [unit.images for unit in units]
    if len(units) > 1:
        assert min(images) >= least
        assert max(images) - min(images) <= 2 * max(sizes)


def test_equal_shards_are_shared_out_evenly_and_a_small_set_is_one_unit():
    shards = shards_of([4096] * 24 + [1696])
    assert [len(unit.shards) for unit in cut_units(shards, range(25), 4, 20_000)] == [6, 6, 6, 7]
    assert [unit.shards for unit in cut_units(shards, [3, 4, 20], 4, 20_000)] == [(3, 4, 20)]
    assert cut_units(shards, [], 4, 20_000) == []


def test_fewer_units_are_cut_when_shards_are_too_coarse_for_the_wanted_number():
    assert [unit.images for unit in cut_units(shards_of([15, 15, 15, 15]), range(4), 8, 20)] == [30, 30]
