"""The team's servers as processes, from docker-compose.yml: healthy, closed to strangers, started again, ended."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import pytest

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
    assert {told["state"] for told in stack.services.values()} <= {"healthy", "done"}
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
