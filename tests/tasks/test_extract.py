"""Extraction's tasks, without a server: what is cut, what is sealed, and images that change on the way."""

from __future__ import annotations

import pytest
from prefect.logging import disable_run_logger

import lib.features
import lib.features.work
from lib.config import places
from lib.datasets import acquire
from lib.datasets.sources import ImageFolder
from lib.errors import ChangedError, DataError, WorkerError
from lib.features import extract
from lib.features.work import extract_shards, plan_extraction
from tasks import extract as tasks
from tests.image_files import write_images


@pytest.fixture
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(tasks, "LATE_FILES_SECONDS", 0)
    monkeypatch.setattr(tasks, "workers_online", lambda pool, flow: 3)
    with disable_run_logger():
        yield places()


def plan(small, count=None, least=100):
    return tasks.plan_units.fn(small.images, small.features, "gpu", count, least)


def test_units_hold_the_missing_shards_one_unit_for_each_worker_unless_they_were_too_small(small, where):
    units = plan(small)["units"]
    assert [unit["number"] for unit in units] == [1, 2, 3]
    shards = [index for unit in units for index in unit["shards"]]
    assert shards == list(range(len(shards)))
    assert len(plan(small, count=2)["units"]) == 2
    assert len(plan(small, count=2, least=20_000)["units"]) == 1
    tasks.extract_missing_shards.fn(small.images, small.features, units[0]["shards"], plan(small)["digest"])
    left = [index for unit in plan(small)["units"] for index in unit["shards"]]
    assert left == shards[len(units[0]["shards"]) :]


def test_a_unit_that_is_done_again_leaves_what_is_there_and_another_digest_is_refused(small, where):
    dataset = acquire(small.images, where.data)
    digest = plan(small)["digest"]
    given = (dataset, small.features, where.features, None)
    assert extract_shards(*given, [0], digest) == {"stored": 0, "extracted": 1}
    assert extract_shards(*given, [0, 1], digest) == {"stored": 1, "extracted": 1}
    with pytest.raises(DataError, match="on this worker and 0000000000000000 where"):
        extract_shards(*given, [0], "0" * 64)


def test_sealing_computes_nothing_and_names_the_first_shard_that_is_not_there(small, where):
    planned = plan(small)
    dataset = acquire(small.images, where.data)
    work = plan_extraction(dataset, small.features, where.features)
    work.compute(range(1, len(work.shards)))
    with pytest.raises(WorkerError) as caught:
        tasks.seal_features.fn(small.images, small.features, planned["digest"], 1)
    assert f"the first is {work.paths([0])[0]}: let PROBEFLOW_DATA of the workers name the same" in str(caught.value)
    assert "\n" not in str(caught.value)
    work.compute([0])
    tasks.seal_features.fn(small.images, small.features, planned["digest"], 1)
    assert plan(small) == {"digest": planned["digest"], "units": []}
    with pytest.raises(ChangedError, match="changed while their features were extracted"):
        tasks.seal_features.fn(small.images, small.features, "0" * 64, 1)


@pytest.mark.parametrize(("changes", "ends_well"), [(3, True), (4, False)])
def test_images_that_change_are_verified_anew_three_times(small, where, monkeypatch, changes, ends_well):
    acquired, left = [], [ChangedError("a.png is another file by now")] * changes

    def changing(*given):
        acquired.append(given)
        if left:
            raise left.pop()
        return plan_extraction(*given)

    monkeypatch.setattr(lib.features, "plan_extraction", changing)
    if ends_well:
        tasks.extract_features.fn(small.images, small.features)
    else:
        with pytest.raises(ChangedError):
            tasks.extract_features.fn(small.images, small.features)
    assert len(acquired) == 4


def test_an_image_that_is_overwritten_while_it_is_extracted_is_extracted_as_it_is_then(
    small, where, tmp_path, monkeypatch
):
    pets = write_images(tmp_path / "pets", ("a", "b"), 12)
    images = ImageFolder(path=str(pets))
    victim, other = pets / "a" / "0.png", write_images(tmp_path / "new", ("a",), 30) / "a" / "29.png"
    digests = []

    def overwritten(dataset, *given):
        digests.append(dataset.digest)
        if len(digests) == 1:
            victim.write_bytes(other.read_bytes())
        return plan_extraction(dataset, *given)

    monkeypatch.setattr(lib.features, "plan_extraction", overwritten)
    tasks.extract_features.fn(images, small.features)
    assert len(set(digests)) == len(digests) == 2
    inline = extract(acquire(images, tmp_path / "inline"), small.features, tmp_path / "inline")
    assert (where.features / inline.manifest.dataset / inline.manifest.digest[:16] / "manifest.json").exists()
