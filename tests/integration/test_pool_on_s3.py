"""An extraction on a work pool whose machines share nothing but an object store, and the same on one machine's disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.pipeline import pipeline
from lib.datasets import acquire
from lib.features import extract, open_feature_set
from lib.features.sets import found_sets
from lib.places import Workers
from lib.studies.record import open_record
from tests.processes import flows, running, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.stack]
POOL = "far"


def test_features_made_by_a_worker_elsewhere_are_what_they_are_inline(
    prefect_server, s3_place, small, tmp_path, monkeypatch
):
    elsewhere, workers = s3_place.variables("elsewhere"), Workers(pool=POOL, chunks=1, chunk_images=8)
    for name, value in s3_place.variables("parent").items():
        monkeypatch.setenv(name, value)
    flows(prefect_server, "deploy", f"--pool={POOL}")
    with (
        running(prefect_server | elsewhere, tmp_path / "work.log", "prefect", "worker", "start", f"--pool={POOL}"),
        temporary_settings({PREFECT_API_URL: prefect_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        wait_for(lambda: client.read_workers_for_work_pool(POOL))
        (outcome,) = pipeline(small, only=["fc8"], workers=workers)["nodes"].values()
        assert open_record(Path(outcome["folder"])).result.folder.startswith(
            f"{s3_place.address}/features/photo-patches/"
        )

    made_elsewhere = list((s3_place.machine("elsewhere").features).rglob("part-*.parquet"))
    there = s3_place.machine("third")
    (found,) = found_sets(there.features)
    shared = open_feature_set(found.folder)
    inline = extract(acquire(small.data["patches"], tmp_path), small.features["fc8"].extraction, tmp_path / "inline")
    assert shared.manifest == inline.manifest
    assert {path.name for path in made_elsewhere} == {shard.name for shard in inline.manifest.shards}
