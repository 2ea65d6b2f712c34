"""The team's servers as processes, from docker-compose.yml: healthy, closed to strangers, started again."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    temporary_settings,
)

from lib.errors import ConfigError, StorageError
from lib.places import places
from lib.tracking.store import connect
from tasks.server import require_server
from tests.processes import alive, children, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.stack]


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


def experiments(stack) -> str:
    return f"http://127.0.0.1:{stack.port('mlflow')}/api/2.0/mlflow/experiments"


def mlflow_login(stack) -> str:
    return f"probeflow:{stack.secrets['MLFLOW_TRACKING_PASSWORD']}"


def test_every_service_is_up(stack):
    up = {name: told["state"] for name, told in stack.services.items()}
    assert up == {
        **dict.fromkeys(["postgres", "prefect", "mlflow"], "healthy"),
        "setup": "done",
        **dict.fromkeys(["worker-cpu", "worker-chunks"], "healthy"),
    }
    done = stack.manage("status")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(stack.services)


def test_both_servers_refuse_strangers_and_serve_who_knows_the_password(stack):
    prefect = f"http://127.0.0.1:{stack.port('prefect')}/api/admin/version"
    mlflow = f"{experiments(stack)}/search?max_results=1"
    for url, right in ((prefect, stack.secrets["PREFECT_API_AUTH_STRING"]), (mlflow, mlflow_login(stack))):
        user = right.partition(":")[0]
        assert [answer(url), answer(url, f"{user}:wrong"), answer(url, "admin:password1234")] == [401] * 3
        assert answer(url, right) == 200


def test_prefect_refuses_a_change_without_its_token(stack):
    url = f"http://127.0.0.1:{stack.port('prefect')}/api/flows/count"
    assert answer(url, stack.secrets["PREFECT_API_AUTH_STRING"], {}) == 403


def test_mlflow_refuses_a_foreign_host_and_a_foreign_origin(stack):
    login = mlflow_login(stack)
    assert answer(f"{experiments(stack)}/search?max_results=1", login, Host="evil.example") == 403
    assert answer(f"{experiments(stack)}/create", login, {"name": "foreign"}, Origin="http://evil.example") == 403


def test_a_wrong_password_gets_one_line_that_names_the_variables_and_no_password(stack, monkeypatch):
    url = f"http://127.0.0.1:{stack.port('mlflow')}"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "probeflow")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-word")
    with pytest.raises(
        StorageError, match=r"refuses this user.*MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASS"
    ) as no:
        connect(places({"MLFLOW_TRACKING_URI": url}))
    assert "not-the-word" not in str(no.value)
    settings = {PREFECT_API_URL: stack.client["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: "probeflow:not-the-word"}
    with (
        temporary_settings(settings),
        pytest.raises(ConfigError, match=r"refuses this user.*PREFECT_API_AUTH_STRING") as no,
    ):
        require_server("gpu")
    assert "not-the-word" not in str(no.value)
    right = settings | {PREFECT_API_AUTH_STRING: stack.secrets["PREFECT_API_AUTH_STRING"]}
    with temporary_settings(right):
        require_server("gpu")


@pytest.mark.parametrize("name", ["prefect", "mlflow", "postgres"])
def test_clients_wait_while_a_killed_server_is_started_again_and_what_was_written_is_still_there(as_user, stack, name):
    flow, experiment = f"before {name} was killed", f"after {name} was killed"
    with get_client(sync_client=True) as prefect:
        mlflow = MlflowClient(stack.client["MLFLOW_TRACKING_URI"])
        prefect.create_flow_from_name(flow)
        kept = mlflow.create_experiment(flow)
        starts, pid = stack.services[name]["starts"], stack.pid(name)
        stack.kill(name)
        wait_for(lambda: not alive(pid))
        assert prefect.read_flow_by_name(flow).name == flow
        assert mlflow.get_experiment(kept).name == flow
        prefect.create_flow_from_name(experiment)
        mlflow.create_experiment(experiment)
    stack.wait_started_again(name, starts)
    assert stack.pid(name) != pid


def test_a_killed_worker_is_started_again_and_online_in_its_pool(as_user, stack):
    starts, pid = stack.services["worker-chunks"]["starts"], stack.pid("worker-chunks")
    begun = children(pid)
    stack.kill("worker-chunks")
    stack.wait_started_again("worker-chunks", starts)
    assert not any(map(alive, [pid, *begun]))  # as in a container, nothing outlives the first process
    with get_client(sync_client=True) as client:
        online = [
            worker
            for worker in client.read_workers_for_work_pool("gpu")
            if str(stack.pid("worker-chunks")) in worker.name
        ]
    assert len(online) == 1


def test_no_secret_is_in_a_log_or_on_a_command_line(stack):
    secrets = [value.removeprefix("probeflow:") for value in stack.secrets.values()]
    said = [stack.log(name) for name in (*stack.services, "stack")]
    pids = [stack.supervisor, *children(stack.supervisor)]
    said += [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids if alive(pid)]
    assert len(said) > 15
    assert not [secret for secret in secrets for text in said if secret in text]


def test_up_again_starts_nothing_twice(stack):
    before = stack.services
    done = stack.manage("up")
    assert done.returncode == 0
    assert stack.services == before
