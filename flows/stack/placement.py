"""What a service of docker-compose.yml is as a process of this machine.

Inside containers, services are found by name, listen on all addresses and keep their files in mounted volumes. Here all
of that is on loopback and in the stack's folder; the rest of the file holds as it is written.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.stack.compose import Compose, Service, read_compose
from flows.stack.processes import MARK
from flows.stack.secrets import SECRETS, env_file, read_env
from lib.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"

_FOREIGN = ("PREFECT_", "PROBEFLOW_", "MLFLOW_", "PG", "POSTGRES_", "COMPOSE_", "AWS_")
"""What of this shell's environment does not reach a service, as none of it would reach a container."""

_AS_WRITTEN = ("PASSWORD", "USERNAME", "AUTH_STRING", "SECRET_KEY")
"""Ends of the names of secrets, which may look like an address (`prefect:9…`)."""


@dataclass(frozen=True)
class Placement:
    """A service as a process.

    Attributes
    ----------
    folders : dict of str to Path
        Where the places of the container's files lie here: its volumes, temporary folders and mounted files.
    """

    name: str
    service: Service
    command: list[str]
    environment: dict[str, str]
    check: list[str] | None
    folders: dict[str, Path]
    log: Path

    @property
    def one_shot(self) -> bool:
        """Whether it does its work and ends."""
        return self.service.restart == "no"


@dataclass(frozen=True)
class Stack:
    """The services to run, in the order of their start, and the folder that holds all they keep.

    Attributes
    ----------
    variables : dict of str to str
        What a user of the stack needs in the environment.
    """

    folder: Path
    placements: dict[str, Placement]
    variables: dict[str, str]

    @property
    def state(self) -> Path:
        """Where the supervisor says how it goes."""
        return self.folder / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.folder / "lock"

    @property
    def client(self) -> Path:
        """Variables of whoever uses the stack from this machine."""
        return self.folder / "client.env"

    @property
    def ports(self) -> dict[str, int]:
        """The port that each server listens on, as its address in the others' environment says."""
        return {
            name: port
            for name, placement in self.placements.items()
            if (port := listening_port(placement.service)) is not None
        }


def stack_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`.stack` in the checkout, or what PROBEFLOW_STACK says."""
    return Path(environment.get("PROBEFLOW_STACK") or CHECKOUT / ".stack").resolve()


def read_stack(
    names: tuple[str, ...] = (),
    environment: Mapping[str, str] = os.environ,
    to_start: bool = True,
    file: Path = CHECKOUT / "docker-compose.yml",
) -> Stack:
    """Read docker-compose.yml and place the services `names` (or those that suit this machine) here.

    Parameters
    ----------
    to_start : bool
        False does without the secrets, for who only ends services or looks at them.

    Raises
    ------
    ConfigError
        When a secret or the file itself is missing, or something in it has no meaning for a process.
    """
    variables = read_env(env_file(environment)) | dict(environment)
    if not to_start:
        variables = dict.fromkeys(SECRETS, "-") | {name: value for name, value in variables.items() if value}
    compose = read_compose(file, variables)
    folder = stack_folder(environment)
    chosen = compose.select(_profiles(variables, compose), names)
    inherited = {key: value for key, value in environment.items() if not key.startswith(_FOREIGN)}
    placements = {name: place(name, compose, folder, variables, inherited) for name in chosen}
    return Stack(folder, placements, _client(place("worker-cpu", compose, folder, variables, inherited)))


def _profiles(variables: Mapping[str, str], compose: Compose) -> set[str]:
    given = variables.get("COMPOSE_PROFILES")
    if given is not None:
        wanted = set(filter(None, given.split(",")))
        known = {profile for service in compose.services.values() for profile in service.profiles}
        if unknown := wanted - known:
            raise ConfigError(f"COMPOSE_PROFILES: no profile {min(unknown)!r}; known: {', '.join(sorted(known))}")
        return wanted
    return {"gpu" if Path("/dev/nvidiactl").exists() else "cpu-chunks"}


def place(
    name: str, compose: Compose, folder: Path, variables: Mapping[str, str], inherited: dict[str, str]
) -> Placement:
    """The service `name` as a process with its files in `folder`.

    Parameters
    ----------
    variables : mapping of str to str
        Where variables come from that the file only names.
    inherited : dict of str to str
        What the process has in its environment besides its own.

    Raises
    ------
    ConfigError
        For a port that is another one outside, or a mount that cannot be read.
    """
    service = compose.services[name]
    for port in service.ports:
        parts = port.split(":")
        if len(parts) != 3 or parts[1] != parts[2] or not parts[1].isdigit():
            raise ConfigError(f"{name}: port {port!r}: write ADDRESS:N:N, one number for inside and outside")
    folders = _folders(name, service, folder)
    hosts = "|".join(map(re.escape, compose.services))

    def here(text: str) -> str:
        text = re.sub(rf"(?<![\w.-])({hosts}):(?=\d)", f"{LOOPBACK}:", text)
        text = re.sub(r"(?<![\d.])0\.0\.0\.0(?![\d.])", LOOPBACK, text)
        for inside, outside in folders.items():
            if text == inside or text.startswith(inside + "/"):
                return str(outside) + text.removeprefix(inside)
        return text

    def variable(key: str, value: str | None) -> str | None:
        if value is None:
            return variables.get(key)
        if key.endswith(_AS_WRITTEN):
            return value
        # Elsewhere a service's name may as well be that of a user or a database.
        return LOOPBACK if key.endswith("HOST") and value in compose.services else here(value)

    own = {key: variable(key, value) for key, value in service.environment.items()}
    given = {key: value for key, value in own.items() if value is not None}
    started = inherited | {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"} | given
    check = service.healthcheck.test if service.healthcheck else None
    if check is not None and check[0] != "CMD":
        raise ConfigError(f"{name}: a health check must be [CMD, ...], not {check[0]!r}")
    return Placement(
        name,
        service,
        _program([service.command[0], *map(here, service.command[1:])]),
        started | {MARK: f"{folder}:{name}"},
        _program([check[1], *map(here, check[2:])]) if check else None,
        folders,
        folder / "logs" / f"{name}.log",
    )


def _program(command: list[str]) -> list[str]:
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


def _folders(name: str, service: Service, folder: Path) -> dict[str, Path]:
    found = {}
    for mount in service.volumes:
        source, _, rest = mount.partition(":")
        target = rest.removesuffix(":ro")
        if not target.startswith("/") or ":" in target:
            raise ConfigError(f"{name}: volume {mount!r}: write NAME:/path, or ./file:/path:ro")
        found[target] = (CHECKOUT / source) if source.startswith(".") else folder / "volumes" / source
    for target in service.tmpfs:
        found[target] = folder / "tmp" / name / target.strip("/").replace("/", "-")
    return found


def listening_port(service: Service) -> int | None:
    """The port in a service's command, after `--port` or in `port=`; None for what does not listen."""
    for before, word in zip(["", *service.command], service.command, strict=False):
        number = word if before == "--port" else word.removeprefix("port=") if word.startswith("port=") else ""
        if number.isdigit():
            return int(number)
    return None


def _client(worker: Placement) -> dict[str, str]:
    """What a user of the stack needs in the environment: what a worker is given, but for its own folders."""
    own = tuple(str(folder) for target, folder in worker.folders.items() if target in worker.service.tmpfs)
    given = {name: worker.environment.get(name, "") for name in worker.service.environment}
    return {name: value for name, value in given.items() if value and not value.startswith(own)}


def shell_lines(variables: Mapping[str, str]) -> str:
    """Variables as a file that a POSIX shell reads."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
