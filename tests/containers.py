"""The team's stack in containers, started as a team does: `make stack`, in a project of its own, on free ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import REPOSITORY, free_port, wait_for
from tests.stack import FOREIGN, read_env

_FIRST = "kill -9 $(cat /proc/1/task/1/children)"
"""Kills the process that a container is for, which the first one (`init: true`) only waits for."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say how long a step took."""
    begun = time.monotonic()
    yield
    sys.stdout.write(f"{time.monotonic() - begun:6.0f} s  {title}\n")
    sys.stdout.flush()


@dataclass
class Containers:
    """The project's containers.

    Attributes
    ----------
    environment : dict of str to str
        Of the commands that manage it.
    said : str
        What its first start said.
    """

    environment: dict[str, str]
    ports: dict[str, int]
    said: str = ""

    @classmethod
    def new(cls, folder: Path) -> Containers:
        """A project that is not up, with secrets in `folder`."""
        ports = {name: free_port() for name in ("postgres", "prefect", "mlflow")}
        foreign = (*FOREIGN, "MAKE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
        own |= {"COMPOSE_PROJECT_NAME": f"probeflow-test-{os.getpid()}", "COMPOSE_ENV_FILES": str(folder / ".env")}
        return cls(clean | own, ports)

    def make(self, target: str, *options: str) -> str:
        """What `make TARGET` says."""
        return "".join(self._run("make", "--no-print-directory", target, "PROFILE=cpu-chunks", *options))

    def compose(self, *arguments: str) -> str:
        """What `docker compose` says."""
        return self._run("docker", "compose", "--profile", "*", *arguments)[0]

    def inside(self, service: str, *command: str) -> str:
        """What a command in a service's container says."""
        return self.compose("exec", "--no-TTY", service, *command)

    def config(self) -> dict[str, Any]:
        """The services as Compose reads them."""
        return dict(json.loads(self.compose("config", "--format", "json"))["services"])

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        identity = self.compose("ps", "--all", "--quiet", service).strip()
        (found,) = json.loads(self._run("docker", "inspect", identity)[0])
        return found

    def kill(self, service: str) -> None:
        """Kill -9 a service's own process; the engine starts the container again. Returns when it is healthy."""
        before = self.inspect(service)["State"]["StartedAt"]
        with suppress(AssertionError):  # its container may be gone before the command's own end
            self.inside(service, "sh", "-c", _FIRST)
        wait_for(lambda: self.inspect(service)["State"]["StartedAt"] != before, 60)
        self.wait_healthy(service)

    def restart(self, service: str) -> None:
        """Have the engine end a container and start it again. Returns when it is healthy."""
        self.compose("restart", service)
        self.wait_healthy(service)

    def wait_healthy(self, service: str) -> None:
        """Wait until the engine says so."""
        wait_for(lambda: self.inspect(service)["State"]["Health"]["Status"] == "healthy", 300)

    def copy(self, place: str, folder: Path) -> Path:
        """A copy of what lies at SERVICE:/path in a volume."""
        self.compose("cp", place, str(folder))
        return folder

    @property
    def secrets(self) -> dict[str, str]:
        """The passwords, by name."""
        return read_env(Path(self.environment["COMPOSE_ENV_FILES"]))

    @property
    def client(self) -> dict[str, str]:
        """What a user on this machine needs in the environment."""
        return {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.ports['prefect']}/api",
            "PREFECT_API_AUTH_STRING": self.secrets["PREFECT_API_AUTH_STRING"],
            "PREFECT_CLIENT_MAX_RETRIES": "6",
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.ports['mlflow']}",
            "MLFLOW_TRACKING_USERNAME": "probeflow",
            "MLFLOW_TRACKING_PASSWORD": self.secrets["MLFLOW_TRACKING_PASSWORD"],
        }

    def _run(self, *command: str) -> tuple[str, str]:
        done = subprocess.run(command, cwd=REPOSITORY, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout, done.stderr
