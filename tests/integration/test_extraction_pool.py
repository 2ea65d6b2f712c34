"""An extraction in chunks on a real Prefect server and this machine as a worker, one chunk killed on the way."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from lib.datasets import acquire
from lib.features import extract, open_feature_set
from lib.files import digest_file
from lib.profile import load_profile
from tests.processes import children, flow_runs, flows, kill_flow_run, running, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.stack]
SETTINGS = [
    "data.patches.stride=16",
    "features.fc8.shard_rows=16",
    "features.fc8.batch_size=16",
]  # slow enough to be killed on the way


def test_an_extraction_in_chunks_equals_the_same_inline_though_a_chunk_was_killed(on_server, tmp_path):
    on_server |= {"PROBEFLOW_CHUNK_IMAGES": "8"}
    settings = [option for each in SETTINGS for option in ("--set", each)]
    profile = load_profile(assignments=SETTINGS, environment={})
    flows(on_server, "deploy", "--pool=images")
    with (
        running(on_server, tmp_path / "work.log", "flows", "work", "--pool=images") as worker,
        temporary_settings({PREFECT_API_URL: on_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        wait_for(lambda: client.read_workers_for_work_pool("images"))
        command = ("flows", "run", "--only", "fc8", "--pool=images", "--chunks=2", *settings)
        with running(on_server, tmp_path / "extract.log", *command) as extraction:

            def runs():
                return flow_runs(client, "images")

            def shards() -> list[Path]:
                return sorted((tmp_path / "data" / "features").glob("*/*/part-*.parquet"))

            wait_for(lambda: extraction.poll() is not None or len(shards()) >= 2)
            (struck,) = [name for name, run in runs().items() if "fc8 chunk" in name and run.state.is_running()]
            kill_flow_run(runs()[struck].id)
            kept = {path: path.stat().st_mtime_ns for path in shards()}
            inline = extract(
                acquire(profile.data["patches"], tmp_path / "inline"),
                profile.features["fc8"].extraction,
                tmp_path / "inline",
            )
            assert extraction.wait(120) == 0, (tmp_path / "extract.log").read_text()[-3000:]
        done = runs()
        units = {name: run.state.type.value for name, run in done.items()}
        (other,) = {"fc8 chunk 1 of 2", "fc8 chunk 2 of 2"} - {struck}
        completed = dict.fromkeys([f"{struck}, attempt 2", other, "fc8"], "COMPLETED")  # the last seals the set
        assert units == {struck: "CRASHED"} | completed
        (parent,) = {client.read_task_run(run.parent_task_run_id).flow_run_id for run in done.values()}
        assert client.read_flow_run(parent).name == "pipeline embedded · fc8"
        started = children(worker.pid)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(40) == 0
        assert started
        assert "ending the workers" in (tmp_path / "work.log").read_text()

    feature_set = open_feature_set(shards()[0].parent)
    assert feature_set.manifest.digest == inline.manifest.digest
    assert [shard.sha256 for shard in inline.manifest.shards] == [digest_file(path) for path in shards()]
    assert feature_set.manifest.shards == inline.manifest.shards
    ids = [sample for split in feature_set.manifest.splits for sample in feature_set.load(split).sample_ids]
    assert sorted(ids) == list(range(feature_set.manifest.rows))
    assert {
        path: path.stat().st_mtime_ns for path in kept
    } == kept  # what the killed chunk had sealed was not done again
