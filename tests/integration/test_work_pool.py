"""A sweep in chunks on a real Prefect server and a real worker, one chunk killed on the way, and the same sweep inline."""

from __future__ import annotations

import json

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import LOST
from flows.plan import show_plan
from lib.errors import ConfigError, program
from lib.graph import ready_node
from lib.places import Workers, places
from lib.studies.record import open_record
from lib.tracking.store import connect
from tasks.node import CHUNK_FLOW
from tasks.pool import require_pool, workers_online
from tests.processes import flow_runs, flows, kill_flow_run, running, wait_for
from tests.small_profile import SMALL
from tests.team import content

pytestmark = [pytest.mark.integration, pytest.mark.stack]
STUDY = "hidden_units"


def test_a_sweep_in_chunks_equals_the_same_sweep_inline_though_a_chunk_was_killed(
    on_server, tmp_path, small, monkeypatch
):
    monkeypatch.setenv("PROBEFLOW_DATA", on_server["PROBEFLOW_DATA"])
    url = on_server["PREFECT_API_URL"]
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps(SMALL))
    with temporary_settings({PREFECT_API_URL: url}):
        with pytest.raises(ConfigError, match=rf"no work pool 'few' with .*; make both with `{program()} deploy"):
            workers_online("few", CHUNK_FLOW)
        with pytest.raises(ConfigError, match=rf"no work pool 'few' on .*; make it with `{program()} deploy"):
            require_pool("few")
        with pytest.raises(ConfigError, match="no work pool 'few' with a deployment 'chunk/few'"):
            show_plan(small, [STUDY], places(), Workers(pool="few"))
        for limit, state in (
            ([], "made"),
            (["--limit=2"], "there already, 2 at once"),
            ([], "there already, 2 at once"),
        ):
            assert f"work pool  few ({state})\n" in flows(on_server, "deploy", "--pool=few", *limit).stdout
        assert show_plan(small, [STUDY], places(), Workers(pool="few")) == 0
        with pytest.raises(ConfigError, match=r"no worker online; start one with `.*work --pool few"):
            workers_online("few", CHUNK_FLOW)
    with (
        running(on_server, tmp_path / "worker.log", "prefect", "worker", "start", "--pool=few"),
        temporary_settings({PREFECT_API_URL: url}),
        get_client(sync_client=True) as client,
    ):
        assert len(client.read_automations_by_name(LOST)) == 1
        wait_for(lambda: client.read_workers_for_work_pool("few"))
        command = ("flows", "run", "--only", STUDY, "--pool=few", "--chunks=2", "--profile-file", str(file))
        with running(on_server, tmp_path / "sweep.log", *command) as sweep:

            def runs():
                return flow_runs(client, "few")

            first = f"{STUDY} chunk 1 of 2"
            wait_for(lambda: sweep.poll() is not None or (first in runs() and runs()[first].state.is_running()))
            kill_flow_run(runs()[first].id)
            assert sweep.wait(120) == 0, (tmp_path / "sweep.log").read_text()[-3000:]
        done = runs()

        assert {name: run.state.type.value for name, run in done.items()} == {
            first: "CRASHED",
            f"{first}, attempt 2": "COMPLETED",
            f"{STUDY} chunk 2 of 2": "COMPLETED",
            STUDY: "COMPLETED",  # which finds all trials trained
        }
        (parent,) = {client.read_task_run(run.parent_task_run_id).flow_run_id for run in done.values()}
        assert client.read_flow_run(parent).name == f"pipeline small · {STUDY}"

    where = places(on_server)
    (folder,) = (where.studies / STUDY).iterdir()
    record = open_record(folder)
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "inline"))
    inline = ready_node(small, STUDY, places()).run()
    assert record.key == inline.key
    assert content(record) == content(inline)

    tracked = connect(where).client
    experiment = tracked.get_experiment_by_name(f"probeflow/{STUDY}").experiment_id
    logged = tracked.search_runs([experiment])
    above = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in logged}
    (parent,) = [run for run in above if above[run] is None]
    beside = {run.info.run_id for run in logged if run.data.tags.get("probeflow.role") == "baseline"}
    configurations = [run for run in above if above[run] == parent and run not in beside]
    trials = [run for run in above if above[run] in configurations]
    assert len(logged) == 1 + len(configurations) + len(trials) + len(beside)
    assert len(beside) == 1  # the majority class
    study = small.studies[STUDY]
    wanted = sum(len(variant.trials(study.seeds)) for variant in study.variants.values())
    assert len(configurations) == len(trials) == wanted  # one seed
