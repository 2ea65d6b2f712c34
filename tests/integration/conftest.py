"""Fixtures of the tests against real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_CLIENT_RETRY_EXTRA_CODES,
    temporary_settings,
)


@pytest.fixture
def on_server(prefect_server, tmp_path) -> dict[str, str]:
    """The server's environment, with places of the test's own."""
    return prefect_server | {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
    }


@pytest.fixture
def as_user(stack, monkeypatch) -> Iterator[SyncPrefectClient]:
    """The test's own process as a user of the stack; gives a client of its Prefect server."""
    for variable, value in stack.client.items():
        if variable.startswith("MLFLOW_"):
            monkeypatch.setenv(variable, value)
    settings = {
        setting: stack.client[setting.name]
        for setting in (
            *(PREFECT_API_URL, PREFECT_API_AUTH_STRING),
            *(PREFECT_CLIENT_MAX_RETRIES, PREFECT_CLIENT_RETRY_EXTRA_CODES),
        )
    }
    with temporary_settings(settings), get_client(sync_client=True) as client:
        yield client
