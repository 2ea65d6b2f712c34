"""Stacks of a test's own: ended and begun again, partly up, and refused in one line when they cannot start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from tests.processes import alive, children, free_port, listens
from tests.stack import Stack, new_stack, stack_up

pytestmark = [pytest.mark.integration, pytest.mark.stack]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Stack]:
    """A stack of PostgreSQL alone."""
    with stack_up("postgres") as own:
        yield own


def test_up_names_what_is_not_up_when_others_are(postgres):
    done = postgres.manage("up", "postgres", "mlflow")
    assert done.returncode == 2
    assert done.stderr == "probeflow: the stack is up without mlflow; end it first: `make stack-down`\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only when this is root")
def test_a_folder_that_postgres_cannot_reach_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o700)
    own = new_stack({"PROBEFLOW_STACK": str(tmp_path / "closed" / "stack")})
    done = own.manage("up", "postgres")
    shutil.rmtree(own.folder)
    assert done.returncode == 2
    assert "PostgreSQL runs as user 'postgres' (it refuses root), who cannot reach" in done.stdout
    assert "closed/stack" in done.stdout


def test_down_leaves_no_process_and_no_port_and_up_again_keeps_the_data():
    with stack_up("postgres", "mlflow") as own:
        login = {
            "MLFLOW_TRACKING_USERNAME": "probeflow",
            "MLFLOW_TRACKING_PASSWORD": own.client["MLFLOW_TRACKING_PASSWORD"],
        }
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in login.items():
                patch.setenv(variable, value)
            client = MlflowClient(own.client["MLFLOW_TRACKING_URI"])
            kept = client.create_experiment("kept")
            supervisor = own.supervisor
            processes = children(own.supervisor)
            assert len(processes) > 3

            assert own.manage("down").returncode == 0
            assert not any(map(alive, [supervisor, *processes]))
            assert not any(listens(own.port(name)) for name in ("postgres", "mlflow"))
            assert own.manage("status").returncode == 1

            assert own.manage("up", "postgres", "mlflow").returncode == 0
            assert client.get_experiment(kept).name == "kept"

            # and when the supervisor is killed, which leaves its services to themselves
            processes = children(own.supervisor)
            os.kill(own.supervisor, signal.SIGKILL)
            assert all(map(alive, processes))
            assert own.manage("down").returncode == 0
            assert not any(map(alive, processes))
            assert not any(listens(own.port(name)) for name in ("postgres", "mlflow"))


def test_a_service_that_does_not_start_is_named_with_what_it_said_and_all_is_ended():
    own = new_stack({"MLFLOW_ARTIFACTS_DESTINATION": "nowhere://", "MLFLOW_WORKERS": "none"})
    try:
        done = own.manage("up", "mlflow")
        assert done.returncode == 2
        assert "'none' is not a valid integer" in done.stdout
        log = own.folder / "logs" / "mlflow.log"
        assert done.stderr == f"probeflow: mlflow did not start, and all was ended again; {log} says why\n"
        assert not listens(own.port("postgres"))
    finally:
        own.manage("down")
        shutil.rmtree(own.folder)


def test_a_taken_port_is_named_before_anything_starts():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        own = new_stack({"PREFECT_PORT": port})
        try:
            done = own.manage("up", "prefect")
            assert done.returncode == 2
            assert done.stderr == f"probeflow: port {port} is taken; choose another for prefect with PREFECT_PORT\n"
            assert not (own.folder / "volumes").exists()
        finally:
            shutil.rmtree(own.folder)


def test_up_with_other_ports_than_the_stack_has_is_refused_and_status_tells_those_it_has(postgres):
    port, other = postgres.port("postgres"), {"POSTGRES_PORT": str(free_port())}
    elsewhere = replace(postgres, environment=postgres.environment | other)
    before = (postgres.folder / "client.env").read_text()
    done = elsewhere.manage("up", "postgres")
    assert done.returncode == 2
    assert f"the stack is up with postgres on port {port}, not {other['POSTGRES_PORT']}; end it first" in done.stderr
    assert (postgres.folder / "client.env").read_text() == before
    assert f"127.0.0.1:{port}" in elsewhere.manage("status").stdout


def test_an_unknown_profile_is_named():
    own = new_stack({"COMPOSE_PROFILES": "cpu"})
    done = own.manage("up")
    shutil.rmtree(own.folder)
    assert done.returncode == 2
    assert done.stderr == "probeflow: COMPOSE_PROFILES: no profile 'cpu'; known: cpu-chunks, gpu\n"
