"""Pipelines on the team's stack: cancelled, and failed."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from tasks.ends import descendants
from tests.processes import of_environment, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.stack]
QUICK = [
    "studies.hidden_units.seeds=[0]",
    "studies.hidden_units.variants.study.base.epochs=3",
    "studies.hidden_units.variants.study.grid.hidden=[[5], [20]]",
    "studies.hidden_units.variants.sgd.grid.hidden=[[5], [20]]",
]
ENDLESS = [*QUICK, "studies.hidden_units.variants.sgd.base.epochs=1000000"]


def start(changes: list[str], queue: str = "default") -> UUID:
    parameters = {"profile": "embedded", "only": ["hidden_units"], "changes": changes}
    return run_deployment(
        "pipeline/on-demand", parameters=parameters, timeout=0, work_queue_name=queue, as_subflow=False
    ).id


def yield_the_machine(pids: list[int]) -> None:
    """Let processes that compute for ever stand back behind all others."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)


def test_a_pipeline_that_is_cancelled_ends_with_its_children_and_one_that_fails_says_how_to_go_on(as_user):
    client = as_user

    def below(run_id) -> dict:
        return {run.name: run for run in descendants(client, run_id)}

    def chunk_of(run_id):  # in pieces where a worker of another test is still online
        running = (run for name, run in below(run_id).items() if run.state.is_running())
        return next((run for run in running if run.name.startswith("hidden_units")), None)

    failed, cancelled = start(["features.fc8.layer=fc9"], "urgent"), start(ENDLESS, "urgent")
    wait_for(lambda: chunk_of(cancelled), 300)
    chunk = chunk_of(cancelled)
    assert chunk.work_queue_name == "urgent"  # as its parent
    yield_the_machine(of_environment("PREFECT__FLOW_RUN_ID", str(chunk.id)))

    client.set_flow_run_state(cancelled, Cancelling())
    wait_for(lambda: client.read_flow_run(cancelled).state.is_final())
    wait_for(lambda: {run.state.type for run in below(cancelled).values()} == {StateType.CANCELLED})
    assert client.read_flow_run(cancelled).state.is_cancelled()
    assert of_environment("PREFECT__FLOW_RUN_ID", str(chunk.id)) == []

    wait_for(lambda: client.read_flow_run(failed).state.is_final())
    run = client.read_flow_run(failed)
    assert run.state.is_failed()
    assert run.name == "pipeline embedded · hidden_units"
    notes = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[failed])))
    (note,) = [note.data for note in notes if note.key == "what-failed"]  # Prefect keeps the error too
    assert "fc9" in note
    assert "Start a new run with other parameters" in note
