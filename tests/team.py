"""The team's stack from outside: whom its servers refuse, and what pipelines left in Prefect, in MLflow and on disk."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from mlflow import MlflowClient
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_RETRY_EXTRA_CODES,
    temporary_settings,
)

from lib.profile import Profile
from lib.studies.record import open_record
from lib.studies.study import Record
from lib.tracking.store import KEY_TAG
from tests.processes import children, wait_for
from tests.stack import Stack
from tests.sweeps import require_alike


@contextmanager
def user_of(environment: Mapping[str, str]) -> Iterator[SyncPrefectClient]:
    """The test's own process as a user of these servers, for the block; gives a client of Prefect's."""
    settings = {
        setting: environment[setting.name]
        for setting in (
            *(PREFECT_API_URL, PREFECT_API_AUTH_STRING),
            *(PREFECT_CLIENT_MAX_RETRIES, PREFECT_CLIENT_RETRY_EXTRA_CODES),
        )
    }
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            if variable.startswith("MLFLOW_"):
                patch.setenv(variable, value)
        with temporary_settings(settings), get_client(sync_client=True) as client:
            yield client


def start(name: str, profile: Profile, only: list[str] | None = None, **more: Any) -> UUID:
    """Start a run of the deployment `pipeline/on-demand` on a profile; returns its id."""
    parameters = {"profile": profile.model_dump(mode="json"), "only": only, **more}
    run = run_deployment("pipeline/on-demand", parameters=parameters, timeout=0, flow_run_name=name)
    return run.id


def all_runs(client: SyncPrefectClient, **filters: Any) -> list[FlowRun]:
    """Every flow run of the server, also beyond a page."""
    found: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=FlowRunFilter(**filters), offset=len(found), limit=200):
        found += page
    return found


def wait_ended(client: SyncPrefectClient, runs: Sequence[UUID], seconds: float) -> dict[UUID, FlowRun]:
    """Wait until these runs have ended; returns them."""
    ended: dict[UUID, FlowRun] = {}

    def done() -> bool:
        for run in runs:
            if run not in ended:
                found = client.read_flow_run(run)
                if found.state.is_final() and not restarts(found):
                    ended[run] = found
        return len(ended) == len(runs)

    wait_for(done, seconds)
    return ended


def restarts(run: FlowRun) -> bool:
    """Whether the set-up's automation is about to begin a crashed run again."""
    return run.state.is_crashed() and run.run_count <= 2


def running_chunk(
    client: SyncPrefectClient, nodes: Collection[str], parent: UUID, but: UUID | None = None
) -> FlowRun | None:
    """A running chunk of one of the nodes that this pipeline submitted, another than `but`, if there is one now."""
    for run in all_runs(client, state={"type": {"any_": ["RUNNING"]}}, deployment_id={"is_null_": False}):
        node, chunk, _ = run.name.partition(" chunk ")
        if chunk and node in nodes and run.id != but and under(client, run, parent):
            return run
    return None


def under(client: SyncPrefectClient, run: FlowRun, ancestor: UUID) -> bool:
    """Whether `ancestor` started `run`, or what started it."""
    while run.parent_task_run_id is not None:
        run = client.read_flow_run(client.read_task_run(run.parent_task_run_id).flow_run_id)
        if run.id == ancestor:
            return True
    return False


def prefect_worker(pid: int) -> int:
    """Id of the Prefect worker that the process `pid` (`flows work`) keeps running."""
    for child in children(pid):
        with suppress(OSError):
            if b"worker\0start" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    raise AssertionError(f"process {pid} keeps no worker")


def records(data: Path) -> dict[tuple[str, str], Record]:
    """The finished studies of a data folder, by name and key."""
    found = [open_record(path.parent) for path in (data / "studies").glob("[!.]*/*/record.json")]
    return {(record.name, record.key): record for record in found}


def content(record: Record) -> Any:
    """All that a study found, without what tells of time and place."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            times = ("folder", "speeds", "profile")
            return {name: plain(item) for name, item in value.items() if name not in times and "second" not in name}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return plain(json.loads(record.result.model_dump_json()))


def compare_places(there: Path, here: Path) -> None:
    """The results and feature sets `here` are `there` as well, and the same."""
    theirs, ours = records(there), records(here)
    assert ours
    for identity, record in ours.items():  # the stack may have studies of other tests
        require_alike(content(theirs[identity]), content(record), identity[0], rel=1e-4)
    shards = sorted(here.glob("features/*/*/part-*"))
    assert shards
    for shard in shards:
        assert (there / shard.relative_to(here)).read_bytes() == shard.read_bytes()


def require_one_run_each(mlflow: MlflowClient, data: Path) -> int:
    """MLflow shows each trial and each study of a data folder exactly once, and finished; returns how many runs."""
    expected = Counter()
    for record in records(data).values():
        shown = record.present()
        expected.update([shown.parent.key, *(run.key for run in shown.runs)])
    experiments = [each for each in mlflow.search_experiments() if each.name.startswith("probeflow/")]
    logged, token = [], None
    while token != "":
        page = mlflow.search_runs([each.experiment_id for each in experiments], max_results=1000, page_token=token)
        logged += page
        token = page.token or ""
    assert Counter(run.data.tags[KEY_TAG] for run in logged) == expected
    assert {run.info.status for run in logged} == {"FINISHED"}
    assert not [tag for each in experiments for tag in each.tags if tag.startswith("probeflow.turn")]
    return len(logged)


def require_closed(secrets: Mapping[str, str], ports: Mapping[str, int]) -> None:
    """Both servers refuse strangers, and a browser's requests that another site makes; they serve who has the password."""
    prefect, mlflow = (f"http://127.0.0.1:{ports[name]}" for name in ("prefect", "mlflow"))
    experiments = f"{mlflow}/api/2.0/mlflow/experiments"
    user, administrator = secrets["PREFECT_API_AUTH_STRING"], f"probeflow:{secrets['MLFLOW_TRACKING_PASSWORD']}"
    for url, right in (
        (f"{prefect}/api/admin/version", user),
        (f"{experiments}/search?max_results=1", administrator),
    ):
        name = right.partition(":")[0]
        assert [answer(url), answer(url, f"{name}:wrong"), answer(url, "admin:password1234")] == [401] * 3
        assert answer(url, right) == 200
    assert answer(f"{prefect}/api/flows/count", user, {}) == 403  # a change without Prefect's token
    assert answer(f"{experiments}/search?max_results=1", administrator, Host="evil.example") == 403
    assert answer(f"{experiments}/create", administrator, {"name": "foreign"}, Origin="http://evil.example") == 403


def answer(url: str, login: str | None = None, body: object = None, **headers: str) -> int:
    """The status of an HTTP answer."""
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} | headers)
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def dump(stack: Stack, database: str) -> bytes:
    """All that a database of the stack holds, as SQL."""
    program = shutil.which("pg_dump")
    assert program, "pg_dump is not on PATH (Debian: apt install postgresql-client)"
    place = ["--host=127.0.0.1", f"--port={stack.ports['postgres']}", f"--username={database}", database]
    password = {"PGPASSWORD": stack.secrets[f"{database.upper()}_POSTGRES_PASSWORD"]}
    return subprocess.run([program, *place], env=os.environ | password, capture_output=True, check=True).stdout


def traces(stack: Stack) -> dict[str, list[str]]:
    """Where the stack's secrets stand, in clear or as basic authentication: log files, data, artifacts, databases."""
    login = f"{stack.client['MLFLOW_TRACKING_USERNAME']}:{stack.secrets['MLFLOW_TRACKING_PASSWORD']}"
    wanted = {
        **{
            name: [value.rpartition(":")[2]]
            for name, value in stack.secrets.items()
            if name != "MLFLOW_TRACKING_USERNAME"
        },
        "basic authentication": [
            base64.b64encode(each.encode()).decode() for each in (login, stack.secrets["PREFECT_API_AUTH_STRING"])
        ],
    }
    texts: dict[str, bytes] = {name: dump(stack, name) for name in ("prefect", "mlflow")}
    for folder in ("logs", "volumes/data", "volumes/artifacts"):
        for path in (stack.folder / folder).rglob("*"):
            if path.is_file():
                texts[str(path.relative_to(stack.folder))] = path.read_bytes()
    return {
        name: found
        for name, values in wanted.items()
        if (found := [where for where, text in texts.items() if any(value.encode() in text for value in values)])
    }
