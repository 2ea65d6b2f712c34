"""`flows set-up` on a real server. What runs do on the workers of a team is in stack/test_pipelines.py."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from prefect import flow, get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import DoNothing
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Late, Pending, Running

from flows.automations import LOST, OURS, WEBHOOK, lost_runs
from flows.deployments import entry_name
from flows.plan import show_plan
from flows.pools import QUEUES
from lib.errors import ConfigError, program
from lib.places import Workers, places
from tasks.node import CHUNK_FLOW
from tasks.pool import require_pool, workers_online
from tests.command_line import flows
from tests.processes import REPOSITORY, wait_for

pytestmark = pytest.mark.integration
ENTRIES = {
    entry_name(entry): entry for entry in yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
}
TOKEN = "T0ken-in-the-address"


@pytest.fixture(scope="module")
def told():
    """What the webhook was sent, as texts; its address is `told.address`."""

    class Texts(list):
        address: str

    texts = Texts()

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        texts.address = f"http://127.0.0.1:{server.server_port}/{TOKEN}"
        yield texts
        server.shutdown()


@pytest.fixture(scope="module")
def team(prefect_server, told, tmp_path_factory):
    """The environment of a team's machines, on whose server `set-up` was run; what it said is in `said`."""
    folder = tmp_path_factory.mktemp("team")
    environment = prefect_server | {
        "PROBEFLOW_DATA": str(folder / "data"),
        "PROBEFLOW_MLRUNS": str(folder / "mlruns"),
        "PROBEFLOW_WEBHOOK": told.address,
    }
    with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
        yield environment | {"said": flows("set-up", **environment).stdout}  # a variable that nobody reads


@pytest.fixture
def client(team):
    with get_client(sync_client=True) as client:
        yield client


def queues(pool: str) -> dict[str, int]:
    async def read():
        async with get_client() as client:
            return await client.read_work_queues(work_pool_name=pool)

    return {queue.name: queue.priority for queue in asyncio.run(read())}


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
                     "report failures")
    }  # fmt: skip
    assert TOKEN not in team["said"]
    block = client.read_block_document_by_name(WEBHOOK, "webhook", include_secrets=False)
    assert TOKEN not in str(block.data)
    assert TOKEN in str(client.read_block_document_by_name(WEBHOOK, "webhook", include_secrets=True).data)


def test_a_failed_night_tells_the_webhook_why_and_no_password(team, client, told):
    nightly = client.read_deployment_by_name("pipeline/nightly-reference")
    run = client.create_flow_run_from_deployment(nightly.id)
    why = (
        'Flow run encountered an exception: DataError: "pets"\nnot found at https://user:secret@host/pets: correct path'
    )
    client.set_flow_run_state(run.id, Failed(message=why), force=True)
    wait_for(lambda: told)
    said = f"probeflow: pipeline run {run.name} ended: Failed. {why.replace('user:secret@', '')}"
    assert set(told) == {said}  # it may come twice
    client.delete_flow_run(run.id)


def scheduled(client, deployment, before: datetime) -> list:
    """The runs of a deployment that a worker of its pool is given, the earliest first."""

    async def read():
        async with get_client() as client:
            return await client.get_scheduled_flow_runs_for_work_pool("cpu", scheduled_before=before)

    runs = [each.flow_run for each in asyncio.run(read()) if each.flow_run.deployment_id == deployment.id]
    return sorted(runs, key=lambda run: run.next_scheduled_start_time)


def test_nights_that_are_late_run_when_a_worker_is_there_one_at_a_time(team, client):
    nightly = client.read_deployment_by_name("pipeline/nightly-reference")
    now = datetime.now(UTC)

    def plan(**span) -> None:
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": nightly.id}, json=span)

    plan()
    ahead = scheduled(client, nightly, now + timedelta(days=9))
    assert len(ahead) == 3  # so that many nights are remembered while the server is away
    plan(start_time=(now - timedelta(days=3)).isoformat(), end_time=now.isoformat())  # as they were before it went away
    first, second, third = scheduled(client, nightly, now)
    assert {f"{run.next_scheduled_start_time:%H:%M}" for run in (first, second, third)} == {"01:30"}

    def become(run, state, **options):
        return client.set_flow_run_state(run.id, state, **options).state

    for run in (first, second, third):  # as Prefect's service does within seconds; in CI it once did not in a minute
        assert become(run, Late(), force=True).name == "Late"
    assert become(first, Pending()).is_pending()
    assert become(first, Running()).is_running()
    left_out = become(second, Pending())
    assert left_out.is_cancelled()
    assert "concurrency limit" in left_out.message
    assert become(first, Completed()).is_completed()
    assert become(third, Pending()).is_pending()
    for run in (first, second, third, *ahead):
        client.delete_flow_run(run.id)


@pytest.mark.slow
def test_a_pool_of_one_s_own_is_made_once_and_what_lacks_is_named(team, small):
    command = rf"make both with `{program()} deploy --pool few"
    with pytest.raises(ConfigError, match=rf"no work pool 'few' with a deployment 'chunk/few' on .*; {command}"):
        workers_online("few", CHUNK_FLOW)
    with pytest.raises(ConfigError, match=rf"no work pool 'few' on .*; make it with `{program()} deploy"):
        require_pool("few")
    plan = (small, ["hidden_units"], places(team), Workers(pool="few"))
    with pytest.raises(ConfigError, match="no work pool 'few' with a deployment 'chunk/few'"):
        show_plan(*plan)
    for limit, state in (
        ([], "made"),
        (["--limit=2"], "there already, 2 at once"),
        ([], "there already, 2 at once"),
    ):
        assert f"work pool  few ({state})\n" in flows("deploy", "--pool=few", *limit, **team).stdout
    assert show_plan(*plan) == 0
    with pytest.raises(ConfigError, match=r"no worker online; start one with `.*work --pool few"):
        workers_online("few", CHUNK_FLOW)


def test_set_up_again_changes_nothing_but_removes_what_is_ours_and_described_no_more(team, client):
    @flow
    def stray() -> None: ...

    def deployed(name: str, *tags: str) -> None:
        flow_id = client.create_flow(stray)
        client.create_deployment(flow_id, name, work_pool_name="cpu", tags=list(tags))

    deployed("old", "probeflow")
    deployed("others")
    ours = lost_runs()
    for name in (f"{OURS}of an earlier version", "somebody else's"):
        client.create_automation(ours.model_copy(update={"name": name, "actions": [DoNothing()]}))
    manual = client.read_deployment_by_name("pipeline/on-demand").id
    client.create_deployment_schedules(manual, [(CronSchedule(cron="0 0 * * *"), False)])
    before = {name: client.read_deployment_by_name(name).id for name in ENTRIES}
    watches = {each.name: each for each in client.read_automations()}

    said = flows("set-up", "--cpu-limit=5", "--no-schedules", **team).stdout

    assert "work pool  cpu (there already, 5 at once)" in said
    removed = [line.removeprefix("removed    ") for line in said.splitlines() if line.startswith("removed")]
    assert len(removed) == 3
    assert {line for line in removed if "schedule" not in line} == {
        "deployment stray/old",
        f"automation {OURS}of an earlier version",
    }
    assert {name: client.read_deployment_by_name(name).id for name in ENTRIES} == before
    assert client.read_deployment_by_name("stray/others")
    assert client.read_deployment(manual).schedules == []
    assert [each.active for each in client.read_deployment_by_name("pipeline/nightly-reference").schedules] == [False]
    after = {each.name: each for each in client.read_automations()}
    assert set(watches) - set(after) == {f"{OURS}of an earlier version"}
    assert after[LOST] == watches[LOST]
    for pool in ("cpu", "gpu"):
        assert list(queues(pool)) == list(QUEUES)


def test_prefect_s_own_command_deploys_the_file_as_it_is(team, client):
    before = {name: client.read_deployment_by_name(name) for name in ENTRIES}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=REPOSITORY, env=team, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name, old in before.items():
        new = client.read_deployment_by_name(name)
        same = ("id", "entrypoint", "path", "parameters", "job_variables", "tags", "work_queue_name", "pull_steps")
        assert {each: getattr(new, each) for each in same} == {each: getattr(old, each) for each in same}
        assert new.updated > old.updated
