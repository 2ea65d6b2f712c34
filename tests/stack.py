"""The team's stack for tests: started by the real command in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import REPOSITORY, free_port, wait_for

FOREIGN = ("PREFECT_", "PROBEFLOW_", "MLFLOW_", "PG", "POSTGRES_", "COMPOSE_", "AWS_")


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes
    ----------
    environment : dict of str to str
        Of the commands that manage it.
    """

    folder: Path
    environment: dict[str, str]

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m flows stack` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "flows", "stack", *arguments],
            cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, timeout=200,
        )  # fmt: skip

    @property
    def client(self) -> dict[str, str]:
        """The environment of a user of the stack: `.stack/client.env` over a clean one."""
        lines = (self.folder / "client.env").read_text().splitlines()
        clean = {name: value for name, value in self.environment.items() if not name.startswith(FOREIGN)}
        return clean | dict(line.split("=", 1) for line in lines) | {"PYTHONPATH": str(REPOSITORY)}

    @property
    def secrets(self) -> dict[str, str]:
        """The passwords, by name."""
        lines = Path(self.environment["COMPOSE_ENV_FILES"]).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    @property
    def services(self) -> dict[str, dict]:
        """What the supervisor says of each service: state, process, starts."""
        return json.loads((self.folder / "state.json").read_text())["services"]

    @property
    def supervisor(self) -> int:
        """Id of the process that keeps the services running."""
        return json.loads((self.folder / "state.json").read_text())["supervisor"][0]

    def port(self, name: str) -> int:
        """The port that a server listens on."""
        return int(self.environment[f"{name.upper()}_PORT"])

    def pid(self, name: str) -> int:
        """Id of the service's first process."""
        return self.services[name]["process"][0]

    def kill(self, name: str) -> None:
        """Kill the first process of a service; the supervisor kills the rest, and starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def wait_started_again(self, name: str, starts: int, seconds: float = 90) -> None:
        """Wait until a service that had been started `starts` times is up once more."""
        wait_for(
            lambda: self.services[name]["starts"] > starts and self.services[name]["state"] in ("healthy", "running"),
            seconds,
        )

    def log(self, name: str) -> str:
        """What a service said."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")


def new_stack(more: Mapping[str, str] | None = None) -> Stack:
    """A stack that is not up, with a folder and ports of its own."""
    # Not pytest's folder: PostgreSQL runs as another user when this is root, and may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="probeflow-stack-", dir="/tmp"))
    folder.chmod(0o755)
    own = {
        "PROBEFLOW_STACK": str(folder),
        "COMPOSE_ENV_FILES": str(folder / ".env"),
        **{f"{name}_PORT": str(free_port()) for name in ("POSTGRES", "PREFECT", "MLFLOW")},
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return Stack(folder, clean | own | dict(more or {}))


@contextmanager
def stack_up(*services: str) -> Iterator[Stack]:
    """A stack that is up for the block, with these services and what they need (all, when none), and then gone."""
    stack = new_stack()
    try:
        done = stack.manage("up", *services)
        assert done.returncode == 0, done.stdout + done.stderr
        yield stack
    finally:
        stack.manage("down")
        shutil.rmtree(stack.folder, ignore_errors=True)
