"""Pipelines on the team's stack: cancelled, failed, killed and begun again, redeployed under way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment
from prefect.states import Cancelling

from tasks.ends import descendants
from tests.processes import flows, of_environment, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(600)]
QUICK = [
    "studies.hidden_units.seeds=[0]",
    "studies.hidden_units.variants.study.base.epochs=3",
    "studies.hidden_units.variants.study.grid.hidden=[[5], [20]]",
    "studies.hidden_units.variants.sgd.grid.hidden=[[5], [20]]",
]
SOME_TIME, ENDLESS = (
    [*QUICK, f"studies.hidden_units.variants.sgd.base.epochs={epochs}"] for epochs in (10_000, 1_000_000)
)


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

    def chunk_of(run_id):
        return next(
            (run for name, run in below(run_id).items() if name == "hidden_units" and run.state.is_running()), None
        )

    failed, cancelled = start(["features.fc8.layer=fc9"], "urgent"), start(ENDLESS, "urgent")
    wait_for(lambda: chunk_of(cancelled))
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


def test_a_pipeline_that_is_killed_is_begun_again_and_waits_for_its_chunks_though_set_up_ran_meanwhile(as_user, stack):
    client = as_user
    run_id = start(SOME_TIME)

    def chunks() -> list:
        return [run for run in descendants(client, run_id) if run.name == "hidden_units"]  # one worker does it whole

    wait_for(lambda: any(run.state.is_running() for run in chunks()))
    flows(stack.client, "set-up", "--no-schedules")  # a new version, say, while all of this runs
    submitted = {run.id for run in chunks()}
    for pid in of_environment("PREFECT__FLOW_RUN_ID", str(run_id)):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: client.read_flow_run(run_id).run_count == 2, 120)
    wait_for(lambda: client.read_flow_run(run_id).state.is_final(), 240)
    assert client.read_flow_run(run_id).state.is_completed()
    assert {run.id for run in chunks()} == submitted  # none was submitted twice
    assert all(run.state.is_completed() for run in chunks())
