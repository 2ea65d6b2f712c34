"""Pipelines on the team's stack: killed, begun again and redeployed. SQLite loses events under such load."""

from __future__ import annotations

import os
import signal

import pytest
from prefect import get_client
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tasks.ends import descendants
from tests.processes import flows, of_environment, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.stack]
QUICK = [
    "hidden_units.seeds=[0]",
    "hidden_units.arms.study.base.epochs=3",
    "hidden_units.arms.study.grid.hidden=[[5], [20]]",
    "hidden_units.arms.sgd.grid.hidden=[[5], [20]]",
    "hidden_units.arms.sgd.base.epochs=20000",
]


def test_a_pipeline_that_is_killed_is_begun_again_and_waits_for_its_chunks_though_set_up_ran_meanwhile(stack):
    """`stack.client` is the environment of its users, on this machine, where its workers run."""
    environment = stack.client
    settings = {
        PREFECT_API_URL: environment["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: environment.get("PREFECT_API_AUTH_STRING"),
    }
    with temporary_settings(settings), get_client(sync_client=True) as client:
        parameters = {"profile": "embedded", "only": "hidden_units", "changes": QUICK}
        run_id = run_deployment("pipeline/on-demand", parameters=parameters, timeout=0, as_subflow=False).id

        def chunks() -> list:
            return [run for run in descendants(client, run_id) if "chunk" in run.name]

        wait_for(lambda: any(run.state.is_running() for run in chunks()))
        flows(environment, "set-up", "--no-schedules")  # a new version, say, while all of this runs
        handed_out = {run.id for run in chunks()}
        for pid in of_environment("PREFECT__FLOW_RUN_ID", str(run_id)):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: client.read_flow_run(run_id).run_count == 2, 120)
        wait_for(lambda: client.read_flow_run(run_id).state.is_final(), 240)
        assert client.read_flow_run(run_id).state.is_completed()
        assert {run.id for run in chunks()} == handed_out  # none was handed out twice
        assert all(run.state.is_completed() for run in descendants(client, run_id))
