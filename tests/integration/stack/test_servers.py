"""The team's servers with the commands and environment of docker-compose.yml: closed to strangers, and waited for."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import httpx
import pytest
from mlflow import MlflowClient
from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from lib.errors import ConfigError, StorageError
from lib.places import places
from lib.tracking.store import connect
from tasks.server import require_server
from tests.processes import alive, children
from tests.team import require_closed

pytestmark = [pytest.mark.integration, pytest.mark.stack]


def test_both_servers_refuse_strangers_foreign_hosts_and_origins_and_serve_who_knows_the_password(stack):
    require_closed(stack.secrets, stack.ports)


def test_a_wrong_password_gets_one_line_that_names_the_variables_and_no_password(stack, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "probeflow")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-word")
    with pytest.raises(
        StorageError, match=r"refuses this user.*MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASS"
    ) as no:
        connect(places({"MLFLOW_TRACKING_URI": stack.client["MLFLOW_TRACKING_URI"]}))
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


def test_no_secret_is_in_a_log_or_on_a_command_line(stack):
    secrets = [value.removeprefix("probeflow:") for value in stack.secrets.values()]
    said = [stack.log(name) for name in stack.processes]
    pids = [pid for name in stack.processes for pid in (stack.pid(name), *children(stack.pid(name))) if alive(pid)]
    said += [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
    assert len(pids) > 8
    assert not [secret for secret in secrets for text in said if secret in text]
    assert "/health" not in stack.log("mlflow")  # a line for each health check would hide the others


def test_a_place_under_a_limit_of_prefect_outlives_the_server_that_gave_it(as_user, stack):
    name, client = "of-one", as_user
    client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    try:
        held = client.increment_concurrency_slots_with_lease([name], 1, "concurrency", 60).json()["lease_id"]
        with stack.killed("prefect"):
            pass
        client.renew_concurrency_lease(UUID(held), 60)  # which fails for a lease that the server does not know
        assert client.read_global_concurrency_limit_by_name(name).active_slots == 1
        client.release_concurrency_slots_with_lease(UUID(held))
        with pytest.raises(httpx.HTTPStatusError, match="410"):
            client.renew_concurrency_lease(UUID(held), 60)
    finally:
        client.delete_global_concurrency_limit_by_name(name)


@pytest.mark.long
def test_clients_wait_while_killed_servers_are_started_again_and_what_was_written_is_still_there(as_user, stack):
    before, after = "before all servers were killed", "while they were started again"
    with get_client(sync_client=True) as prefect:
        mlflow = MlflowClient(stack.client["MLFLOW_TRACKING_URI"])
        prefect.create_flow_from_name(before)
        kept = mlflow.create_experiment(before)
        with stack.killed("postgres", "prefect", "mlflow"):
            assert prefect.read_flow_by_name(before).name == before
            assert mlflow.get_experiment(kept).name == before
            prefect.create_flow_from_name(after)
            mlflow.create_experiment(after)
