"""Fixtures of the tests against real servers."""

from __future__ import annotations

import os

import pytest

from tests.conftest import REPOSITORY
from tests.integration.prefect_server import running
from tests.integration.test_servers import free_port, listens, wait_for


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory) -> dict[str, str]:
    """A Prefect server, as the environment of its clients, where this checkout's code comes first."""
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    foreign = ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    server = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui")
    with running(environment, folder / "server.log", *server):
        wait_for(lambda: listens(port))
        yield environment


@pytest.fixture
def on_server(prefect_server, tmp_path) -> dict[str, str]:
    """The server's environment, with places of the test's own."""
    return prefect_server | {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
    }
