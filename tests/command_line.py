"""The command line called in the tests' own process."""

from __future__ import annotations

import os
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


class CommandLine:
    """Called with a command's arguments and variables, and the exit status that is expected."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, expect: int = 0, **environment: str) -> Told:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(FOREIGN)]:
                patch.delenv(name)
            patch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # which `main` would leave behind
            for name, value in environment.items():
                patch.setenv(name, value)
            with temporary_settings({PREFECT_API_URL: environment.get("PREFECT_API_URL")}):
                status = main(arguments)
        told = Told(*self._capsys.readouterr())
        assert status == expect, told.stdout[-2000:] + told.stderr[-3000:]
        return told
