"""A profile on a pool of two workers, a chunk of each node killed on the way, and the same profile inline."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import LOST
from flows.plan import show_plan
from lib.graph import ready_node
from lib.places import Workers, places
from lib.tracking.store import connect
from tests.processes import flows, kill_flow_run, running, wait_for
from tests.small_profile import longer_profile
from tests.team import compare_places, require_one_run_each

pytestmark = [pytest.mark.integration, pytest.mark.stack]
POOL, NODES = "two", ["fc8", "hidden_units"]


def test_chunks_run_side_by_side_and_give_what_an_inline_run_gives_though_two_were_killed(
    prefect_server, tmp_path, monkeypatch
):
    profile = longer_profile()
    (tmp_path / "profile.yaml").write_text(profile.model_dump_json())
    there = prefect_server | {
        "PROBEFLOW_DATA": str(tmp_path / "there"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
        "PROBEFLOW_CHUNK_IMAGES": "8",
    }
    with (
        temporary_settings({PREFECT_API_URL: there["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        flows(there, "deploy", f"--pool={POOL}")
        assert len(client.read_automations_by_name(LOST)) == 1
        assert show_plan(profile, NODES, places(there), Workers(pool=POOL)) == 0

        def runs() -> dict:
            pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
            made = client.read_flow_runs(work_pool_filter=pool)
            assert len({run.name for run in made}) == len(made)
            return {run.name: run for run in made}

        def met(nodes: set[str]) -> str | None:
            """A chunk of one of these nodes that runs now."""
            assert run.poll() is None, (tmp_path / "run.log").read_text()[-3000:]
            begun = (name for name, each in runs().items() if each.state.is_running() and " chunk " in name)
            return next((name for name in begun if name.split()[0] in nodes), None)

        words = [f"--only={name}" for name in NODES]
        command = ("run", *words, f"--pool={POOL}", "--chunks=2", "--profile-file", str(tmp_path / "profile.yaml"))
        with (
            running(there, tmp_path / "one.log", "flows", "work", f"--pool={POOL}"),
            running(there, tmp_path / "two.log", "flows", "work", f"--pool={POOL}"),
        ):
            wait_for(lambda: len(client.read_workers_for_work_pool(POOL)) == 2)
            with running(there, tmp_path / "run.log", "flows", *command) as run:
                left, struck = set(NODES), []
                while left:  # in the order in which the workers take them
                    struck.append(wait_for(lambda: met(left)))
                    left.remove(node := struck[-1].split()[0])
                    if node == "fc8":
                        kept = wait_for(lambda: shards(tmp_path / "there"))
                    kill_flow_run(runs()[struck[-1]].id)
                assert run.wait(300) == 0, (tmp_path / "run.log").read_text()[-3000:]
        done = runs()

        states = {name: each.state.type.value for name, each in done.items()}
        chunks = [f"{node} chunk {number} of 2" for node in NODES for number in (1, 2)]
        again = [f"{name}, attempt 2" for name in struck]
        # The last of each node finds all chunks done, and seals them.
        assert states == dict.fromkeys([*chunks, *again, *NODES], "COMPLETED") | dict.fromkeys(struck, "CRASHED")
        features, sweep = ([each for name, each in done.items() if name.startswith(node)] for node in NODES)
        both = product(features, sweep)
        assert any(min(a.end_time, b.end_time) > max(a.start_time, b.start_time) for a, b in both)
        (parent,) = {client.read_task_run(each.parent_task_run_id).flow_run_id for each in done.values()}
        assert client.read_flow_run(parent).name == "pipeline small · fc8 · hidden_units"

    # What the killed chunk had sealed was not done again.
    assert {path: time for path, time in shards(tmp_path / "there").items() if path in kept} == kept
    where = places(there)
    assert require_one_run_each(connect(where).client, where.data) > 4
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "here"))
    for name in NODES:
        ready_node(profile, name, places()).run()
    compare_places(tmp_path / "there", tmp_path / "here")


def shards(data: Path) -> dict[Path, int]:
    """When each sealed shard below a data folder was written."""
    return {path: path.stat().st_mtime_ns for path in data.glob("features/*/*/part-*.parquet")}
