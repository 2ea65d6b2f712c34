"""`flows set-up` on a real server, and pipelines as deployments on real workers: killed, cancelled, failed, redeployed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments import run_deployment
from prefect.events.actions import DoNothing
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from flows.automations import LOST, OURS, WEBHOOK, lost_runs
from flows.deployments import entry_name
from flows.pools import QUEUES
from tests.processes import REPOSITORY, flow_runs, flows, of_environment, running, wait_for

pytestmark = pytest.mark.integration
ENTRIES = {
    entry_name(entry): entry for entry in yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
}
TOKEN = "T0ken-in-the-address"
SMALL = [
    "hidden_units.seeds=[0]",
    "hidden_units.arms.study.base.epochs=3",
    "hidden_units.arms.study.grid.hidden=[[5], [20]]",
    "hidden_units.arms.sgd.grid.hidden=[[5], [20]]",
]
QUICK = [*SMALL, "hidden_units.arms.sgd.base.epochs=3"]
ENDLESS = [*SMALL, "hidden_units.arms.sgd.base.epochs=1000000"]


@pytest.fixture(scope="module")
def told():
    """A webhook's address, and what it was told."""
    said: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/{TOKEN}", said
        http.shutdown()


@pytest.fixture(scope="module")
def team(prefect_server, told, tmp_path_factory):
    """The environment of a team's machines, on whose server `set-up` was run; what it said is in `said`."""
    folder = tmp_path_factory.mktemp("team")
    environment = prefect_server | {
        "PROBEFLOW_DATA": str(folder / "data"),
        "PROBEFLOW_MLRUNS": str(folder / "mlruns"),
        "PROBEFLOW_WEBHOOK": told[0],
    }
    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        yield environment | {"said": flows(environment, "set-up").stdout}


@pytest.fixture
def client(team):
    with get_client(sync_client=True) as client:
        yield client


def queues(pool: str) -> dict[str, int]:
    async def read():
        async with get_client() as client:
            return await client.read_work_queues(work_pool_name=pool)

    return {queue.name: queue.priority for queue in asyncio.run(read())}


def yield_the_machine(pids: list[int]) -> None:
    """Let processes that compute for ever stand back behind all others."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)


def test_set_up_makes_all_that_prefect_yaml_describes_and_says_so(team, client):
    assert client.read_work_pool("cpu").concurrency_limit == 16
    assert client.read_work_pool("gpu").type == "process"
    for pool in ("cpu", "gpu"):
        assert queues(pool) == {name: priority for priority, name in enumerate(QUEUES, 1)}
    for name, entry in ENTRIES.items():
        made = client.read_deployment_by_name(name)
        assert f"deployment {name}\n" in team["said"]
        assert made.entrypoint == entry["entrypoint"]
        assert not made.path
        assert not made.pull_steps
        assert (made.work_pool_name, made.work_queue_name) == (
            entry["work_pool"]["name"],
            entry["work_pool"]["work_queue_name"],
        )
        assert made.job_variables == entry["work_pool"]["job_variables"]
        assert made.parameters == entry.get("parameters", {})
        assert made.tags == entry["tags"]
        assert made.version == entry["version"]
        assert made.description == entry["description"]
        assert made.enforce_parameter_schema is entry.get("enforce_parameter_schema", True)
        wanted = [(each["slug"], each["cron"], each["timezone"], True) for each in entry.get("schedules", [])]
        assert [(s.slug, s.schedule.cron, s.schedule.timezone, s.active) for s in made.schedules] == wanted
        if limit := entry.get("concurrency_limit"):
            assert made.global_concurrency_limit.limit == limit["limit"]
            assert made.concurrency_options.collision_strategy == limit["collision_strategy"]
        assert all(value["description"] for value in made.parameter_openapi_schema["properties"].values())


def test_the_watches_are_there_and_the_webhooks_address_is_shown_nowhere(team, client):
    names = {each.name for each in client.read_automations() if each.name.startswith(OURS)}
    assert names == {
        OURS + name
        for name in ("crash lost runs", "restart crashed runs", "crash stuck runs", "cancel endless runs", "late runs",
                     "tell of failures")
    }  # fmt: skip
    assert TOKEN not in team["said"]
    block = client.read_block_document_by_name(WEBHOOK, "webhook", include_secrets=False)
    assert TOKEN not in str(block.data)
    assert TOKEN in str(client.read_block_document_by_name(WEBHOOK, "webhook", include_secrets=True).data)


def test_set_up_again_changes_nothing_but_removes_what_is_ours_and_described_no_more(team, client):
    @flow
    def stray() -> None: ...

    def deployed(name: str, *tags: str) -> None:
        flow_id = client.create_flow(stray)
        client.create_deployment(flow_id, name, work_pool_name="cpu", tags=list(tags))

    deployed("old", "probeflow")
    deployed("others")
    ours = lost_runs()
    for name in (f"{OURS}of an earlier version", "crash lost runs of sweep-chunk/gpu", "somebody else's"):
        client.create_automation(ours.model_copy(update={"name": name, "actions": [DoNothing()]}))
    manual = client.read_deployment_by_name("sweep/manual").id
    client.create_deployment_schedules(manual, [(CronSchedule(cron="0 0 * * *"), False)])
    before = {name: client.read_deployment_by_name(name).id for name in ENTRIES}
    watches = {each.name: each for each in client.read_automations()}

    said = flows(team, "set-up", "--cpu-limit=5", "--no-schedules").stdout

    assert "work pool  cpu (there already, 5 at once)" in said
    removed = [line.removeprefix("removed    ") for line in said.splitlines() if line.startswith("removed")]
    assert len(removed) == 4
    assert {line for line in removed if "schedule" not in line} == {
        "deployment stray/old",
        "automation crash lost runs of sweep-chunk/gpu",
        f"automation {OURS}of an earlier version",
    }
    assert {name: client.read_deployment_by_name(name).id for name in ENTRIES} == before
    assert client.read_deployment_by_name("stray/others")
    assert client.read_deployment(manual).schedules == []
    assert [each.active for each in client.read_deployment_by_name("pipeline/nightly-reference").schedules] == [False]
    after = {each.name: each for each in client.read_automations()}
    assert set(watches) - set(after) == {f"{OURS}of an earlier version", "crash lost runs of sweep-chunk/gpu"}
    assert after[LOST] == watches[LOST]
    for pool in ("cpu", "gpu"):
        assert list(queues(pool)) == list(QUEUES)


def test_pipelines_on_workers_survive_being_killed_and_redeployed_and_end_whole_when_cancelled(
    team, client, told, tmp_path
):
    begun = datetime.now(UTC)
    team = team | {"PREFECT_CLIENT_MAX_RETRIES": "7"}

    def start(changes, queue: str = "default"):
        parameters = {"profile": "embedded", "only": "hidden_units", "changes": changes}
        return run_deployment(
            "pipeline/on-demand", parameters=parameters, timeout=0, work_queue_name=queue, as_subflow=False
        ).id

    def state(run_id) -> StateType:
        return client.read_flow_run(run_id).state.type

    def below(run_id) -> dict[str, object]:
        from tasks.ends import descendants

        return {run.name: run for run in descendants(client, run_id)}

    def chunk_of(run_id, *states: StateType):
        chunks = [run for name, run in below(run_id).items() if "chunk" in name]
        return next((run for run in chunks if not states or run.state.type in states), None)

    with (
        running(team, tmp_path / "cpu.log", "flows", "work", "--pool=cpu", "--limit=4") as cpu,
        running(team, tmp_path / "gpu.log", "flows", "work", "--pool=gpu"),
    ):
        wait_for(lambda: client.read_workers_for_work_pool("cpu") and client.read_workers_for_work_pool("gpu"))
        failed = start(["features.layer=fc9"])
        wait_for(lambda: client.read_flow_run(failed).state.is_final())
        cancelled = start(ENDLESS, "urgent")
        wait_for(lambda: chunk_of(cancelled, StateType.RUNNING))
        ours = chunk_of(cancelled)
        assert ours.work_queue_name == "urgent"  # as its parent
        yield_the_machine(of_environment("PREFECT__FLOW_RUN_ID", str(ours.id)))
        killed = start(QUICK)
        wait_for(lambda: chunk_of(killed))  # it waits for the one worker, which the other's chunk holds
        flows(team, "deploy", "--pool=gpu")  # new code, say, while all of this runs
        for pid in of_environment("PREFECT__FLOW_RUN_ID", str(killed)):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: client.read_flow_run(killed).run_count == 2)

        client.set_flow_run_state(cancelled, Cancelling())
        wait_for(lambda: state(cancelled) == StateType.CANCELLED, 30)
        wait_for(lambda: {run.state.type for run in below(cancelled).values()} == {StateType.CANCELLED}, 30)
        assert of_environment("PREFECT__FLOW_RUN_ID", str(ours.id)) == []

        assert state(failed) == StateType.FAILED
        (note,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[failed]))
        )
        assert "fc9" in note.data
        assert "press *Retry*" in note.data
        wait_for(lambda: any("pipeline run" in text and text.endswith("Failed") for text in told[1]), 30)

        wait_for(lambda: client.read_flow_run(killed).state.is_final())
        assert state(killed) == StateType.COMPLETED, (tmp_path / "cpu.log").read_text()[-3000:]
        done = below(killed)
        assert {name: run.state.type for name, run in done.items()} == {
            "hidden_units on digits": StateType.COMPLETED,
            "hidden_units chunk 1 of 1": StateType.COMPLETED,  # once: the run begun again waited for it
        }
        assert "waiting for hidden_units chunk 1 of 1" in (tmp_path / "cpu.log").read_text()
        assert client.read_flow_run(killed).name == "pipeline embedded · hidden_units"
        cpu.send_signal(signal.SIGTERM)
        assert cpu.wait(40) == 0
    assert TOKEN not in (tmp_path / "cpu.log").read_text() + (tmp_path / "gpu.log").read_text()
    assert not [name for name, run in flow_runs(client, begun).items() if not run.state.is_final()]
