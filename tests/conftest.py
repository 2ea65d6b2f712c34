"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.config import Profile
from tests.processes import REPOSITORY, free_port, listens, running, wait_for
from tests.small_profile import small_profile
from tests.stack import Stack, stack_up


def pytest_addoption(parser):
    parser.addoption("--stack", action="store_true", help="run the tests on the team's stack as well (make test-stack)")
    parser.addoption("--chaos-rounds", type=int, default=1, metavar="N", help="rounds of the chaos test, 10 at most")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--stack"):
        for item in items:
            if item.get_closest_marker("stack"):
                item.add_marker(pytest.mark.skip(reason="starts the whole stack: `make test-stack` runs it (--stack)"))


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The team's stack, up for the whole session: servers and two workers."""
    with stack_up() as running_stack:
        yield running_stack


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data (MNIST, letters, CIFAR-10 subsets) laid out as a mirror."""
    folder = Path(os.environ.get("PROBEFLOW_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(
            f"real data not found in {folder}: set PROBEFLOW_TEST_DATA to a folder with mnist/, letters/, images/"
        )
    return folder


@pytest.fixture(scope="session")
def small() -> Profile:
    """A profile that runs in seconds, on real data."""
    return small_profile()


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
