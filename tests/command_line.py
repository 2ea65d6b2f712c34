"""The command line called in the tests' own process, where the process itself is not what is tested: no imports to wait for."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.__main__ import main

FOREIGN = ("PROBEFLOW_", "PREFECT_API", "MLFLOW_")


@dataclass(frozen=True)
class Told:
    """What a command printed."""

    stdout: str
    stderr: str


def flows(*arguments: str, expect: int = 0, **environment: str) -> Told:
    """Run a command with these variables; its exit status must be as expected."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        patch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # which `main` would leave behind
        for name, value in environment.items():
            patch.setenv(name, value)
        with temporary_settings({PREFECT_API_URL: environment.get("PREFECT_API_URL")}):
            status = main(arguments)
    told = Told(out.getvalue(), err.getvalue())
    assert status == expect, told.stdout[-2000:] + told.stderr[-3000:]
    return told
