"""Fixtures of the tests against real servers."""

from __future__ import annotations

import pytest


@pytest.fixture
def on_server(prefect_server, tmp_path) -> dict[str, str]:
    """The server's environment, with places of the test's own."""
    return prefect_server | {
        "PROBEFLOW_DATA": str(tmp_path / "data"),
        "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns"),
    }
