"""Feature sets and studies in an object store: damage is found by whoever reads, and repaired by whoever extracts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lib.datasets import acquire
from lib.errors import FeatureSetError
from lib.features import extract, open_feature_set, plan_extraction
from lib.features.sets import find_set, found_sets
from lib.features.verify import verify
from lib.mlp.fused import Stopping
from lib.storage import copies
from lib.studies.study import Ahead, kind_named
from lib.studies.sweep.training import train_each
from lib.studies.sweep.work import sweep_work
from tests import killed_extraction
from tests.killed_extraction import SETTINGS
from tests.object_store import object_at
from tests.sweeps import sweep


@pytest.fixture(scope="module")
def dataset():
    return killed_extraction.dataset()


@pytest.fixture
def machines(s3_place) -> tuple[Path, Path]:
    return s3_place.machine("one").features, s3_place.machine("other").features


def flip(path: Path) -> None:
    """Flip a bit of an object, behind everybody's back."""
    content = bytearray(object_at(path).get()["Body"].read())
    content[len(content) // 2] ^= 1
    object_at(path).put(Body=bytes(content))


def test_a_flipped_bit_in_an_object_is_found_by_verify_and_readers_and_repaired_by_extracting(dataset, machines):
    here, other = machines
    made = extract(dataset, SETTINGS, here)
    there = find_set(made.digest[:8], other)
    whole = open_feature_set(there).load("train").X
    shard = here / made.folder.relative_to(here) / "part-00007.parquet"
    before = shard.read_bytes()
    flip(shard)
    assert verify(there).faults == {"part-00007.parquet": "is damaged: its sha256 is not the manifest's"}
    flip(shard)  # back, and again for one who has a copy and does not ask for all to be verified
    open_feature_set(there, verify=False)
    flip(shard)
    with pytest.raises(FeatureSetError, match=r"part-00007.parquet is damaged"):
        open_feature_set(there, verify=False)
    work = plan_extraction(dataset, SETTINGS, other)
    assert work.missing() == [7]
    assert work.compute() == [7]
    work.seal()
    assert object_at(shard).get()["Body"].read() == before
    assert verify(made.folder).whole
    np.testing.assert_array_equal(open_feature_set(made.folder).load("train").X, whole)


def test_what_was_removed_from_the_store_is_made_again_though_copies_are_here(dataset, machines, monkeypatch):
    monkeypatch.setattr(copies, "_SLACK_SECONDS", 0)
    here, _ = machines
    folder = extract(dataset, SETTINGS, here).folder
    for name in ("manifest.json", "part-00003.parquet"):
        object_at(folder / name).delete()
    with pytest.raises(FeatureSetError, match="is not sealed"):
        open_feature_set(folder)
    work = plan_extraction(dataset, SETTINGS, here)
    assert work.missing() == [3]
    work.compute()
    assert verify(work.seal().folder).whole


def test_a_machine_lists_and_plans_sets_without_bringing_their_shards(small, s3_place):
    here, other = s3_place.machine("one"), s3_place.machine("other")
    node = small.features["fc8"]
    dataset = acquire(small.data["patches"], here.data)
    work = plan_extraction(dataset, node.extraction, here.features)
    work.compute([0])
    inputs = {"of": Ahead("patches", "patches", dataset, tuple(dataset.splits), digest=dataset.digest)}
    forecast = kind_named("features").forecast("fc8", node, inputs, other, None)
    assert (forecast.shards, forecast.missing) == (len(work.shards), len(work.shards) - 1)
    work.compute()
    work.seal()
    assert kind_named("features").forecast("fc8", node, inputs, other, None).missing == 0
    (found,) = found_sets(other.features)
    assert (found.sealed, found.present) == (True, len(work.shards))
    assert found.bytes == sum(path.stat().st_size for path in work.folder.glob("*.parquet"))
    assert not list(other.features.rglob("*.parquet"))


def test_training_that_died_goes_on_from_its_checkpoint_on_another_machine(s3_place, monkeypatch, tmp_path):
    one, two = s3_place.machine("one"), s3_place.machine("other")
    here, other, alone = (
        sweep_work(sweep("hidden_units", one, root)) for root in (one.studies, two.studies, tmp_path / "alone")
    )
    trials, candidates = here.trials, here.candidates

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lib.studies.sweep.training.save_result", dies)
        with pytest.raises(KeyboardInterrupt):
            train_each(trials, candidates, here.folder, "", Stopping())
    expected = train_each(trials, candidates, alone.folder, "", Stopping())
    monkeypatch.setattr("lib.mlp.fused._FusedTraining.run_epoch", None)
    results = train_each(trials, candidates, other.folder, "", Stopping())
    assert [result.best_validation_loss for result in results] == [each.best_validation_loss for each in expected]
    assert not list(other.folder.path.glob("checkpoint-*")), "it is removed once all results are kept"
    assert train_each(trials, candidates, here.folder, "", Stopping())[0].history == results[0].history
