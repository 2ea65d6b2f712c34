"""Real servers that the command line starts, and ends again. What `flows ui` shows is in test_browser.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import flows
from tests.processes import REPOSITORY, alive, children, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    own = {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    foreign = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | own


def test_ui_names_a_taken_port_and_a_missing_record(environment):
    def refused(*options: str) -> str:
        return flows("ui", *options, expect=2, **environment).stderr

    assert "nothing to show yet" in refused()
    record = Path(environment["PROBEFLOW_MLRUNS"]) / "mlflow.db"
    record.parent.mkdir(exist_ok=True)
    record.touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is taken; choose another with --mlflow-port" in refused(f"--mlflow-port={port}")


_RUN = """
from flows.servers import temporary_prefect

with temporary_prefect() as ready:
    ready(lambda: None)
    print("ready", flush=True)
    input()
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_server_behind(environment):
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN], cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert run.stdout.readline() == b"ready\n"
    started = children(run.pid)
    assert len(started) >= 2  # the shell and the server
    run.kill()
    run.communicate()
    wait_for(lambda: not any(map(alive, started)))


@pytest.mark.slow
def test_two_runs_may_make_prefect_s_database_at_once(environment):
    command = [sys.executable, "-c", _RUN]
    both = [
        subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [each.stdout.readline() for each in both] == [b"ready\n"] * 2
    for each in both:
        each.communicate(b"\n", timeout=240)
    assert [each.returncode for each in both] == [0, 0]
    assert not list(Path(environment["PREFECT_HOME"]).glob(".*.lock"))


def test_a_prefect_api_that_cannot_start_gets_one_line(environment):
    environment |= {"PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////absent/prefect.db"}
    told = flows("run", "--only", "activations", expect=2, **environment)
    assert told.stderr.startswith("probeflow: Prefect's local API did not start (")
    assert len(told.stderr.splitlines()) == 1
