"""The plan of an extraction: what it says is what the extraction then does."""

from __future__ import annotations

import pytest

from lib.config import Workers, load_profile, places
from lib.datasets import acquire
from lib.features import FeatureSettings
from lib.features.work import extract_shards, plan_extraction
from lib.studies.extraction_plan import plan_features


@pytest.fixture
def where(tmp_path):
    return places({"PROBEFLOW_DATA": str(tmp_path / "data")})


@pytest.fixture
def settings(small) -> FeatureSettings:
    return small.features.model_copy(update={"shard_rows": 50})


def test_before_an_extraction_all_shards_are_to_do_and_nothing_is_written(small, settings, where):
    alone = plan_features(small.images, settings, where, Workers())
    assert (alone.sealed, alone.images, alone.shards, alone.missing) == (False, 480, 10, 10)
    two = plan_features(small.images, settings, where, Workers(pool="gpu", chunks=2, chunk_images=200))
    assert [unit.images for unit in two.units] == [250, 230]
    assert len(plan_features(small.images, settings, where, Workers(pool="gpu", chunks=2)).units) == 1
    assert not where.data.exists()


def test_what_is_left_of_an_extraction_is_planned_and_a_sealed_set_has_nothing_to_do(small, settings, where):
    dataset = acquire(small.images, where.data)
    work = plan_extraction(dataset, settings, where.features)
    extract_shards(dataset, settings, where.features, None, [0, 3], work.digest)
    plan = plan_features(small.images, settings, where, Workers())
    assert (plan.sealed, plan.missing) == (False, 8)
    assert [unit.shards for unit in plan.units] == [(1, 2, 4, 5, 6, 7, 8, 9)]
    work.compute(plan.units[0].shards)
    work.seal()
    plan = plan_features(small.images, settings, where, Workers())
    assert (plan.sealed, plan.shards, plan.missing, plan.units) == (True, 10, 0, ())


def test_data_that_is_not_here_has_no_sizes_yet_and_is_not_fetched(settings, where):
    cifar = load_profile("reference", environment={}).images
    plan = plan_features(cifar, settings, where, Workers())
    assert (plan.sealed, plan.images, plan.shards, plan.missing) == (False, None, None, None)
    assert "not on this machine yet" in plan.data
    assert not where.data.exists()
