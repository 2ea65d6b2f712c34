"""Reads `docker-compose.yml`: the part of the Compose Specification that ours uses, typed; anything else is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lib.errors import ConfigError
from lib.validation import describe

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _seconds(text: object) -> object:
    """Such as "1m30s" in seconds."""
    if not isinstance(text, str):
        return text
    parts = re.findall(r"(\d+)(ms|[hms])", text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        raise ValueError(f"{text!r} is no duration; write such as 90s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


Seconds = Annotated[float, BeforeValidator(_seconds)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Healthcheck(_Part):
    """A command that succeeds when the service is fit."""

    test: list[str]
    interval: Seconds = 30
    timeout: Seconds = 30
    retries: int = 3
    start_period: Seconds = 0
    start_interval: Seconds = 5


class Dependency(_Part):
    """What must be true of another service first."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(_Part):
    """One service. What only a container engine can do is read and kept, so that it is checked, too."""

    image: str
    command: list[str] = Field(min_length=1)
    environment: dict[str, str | None] = {}
    depends_on: dict[str, Dependency] = {}
    healthcheck: Healthcheck | None = None
    restart: Literal["no", "always", "unless-stopped", "on-failure"] = "no"
    profiles: list[str] = []
    ports: list[str] = []
    volumes: list[str] = []
    tmpfs: list[str] = []
    stop_signal: str = "SIGTERM"
    stop_grace_period: Seconds = 10
    user: str | None = None
    build: dict[str, str] | None = None
    init: bool = False
    read_only: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []
    shm_size: str | None = None
    deploy: dict[str, Any] | None = None


class Compose(_Part):
    """The whole file."""

    name: str
    services: dict[str, Service]
    volumes: dict[str, dict[str, Any]] = {}

    def select(self, profiles: set[str], names: tuple[str, ...] = ()) -> list[str]:
        """Names of the services to start, each after those that it depends on.

        Parameters
        ----------
        profiles : set of str
            Services of other profiles are left out.
        names : tuple of str
            Only these, with what they depend on; of any profile.

        Raises
        ------
        ConfigError
            For a service that is not there, or services that depend on each other.
        """
        ordered: list[str] = []

        def add(name: str, trail: tuple[str, ...]) -> None:
            if name not in self.services:
                raise ConfigError(f"no service {name!r} in docker-compose.yml; known: {', '.join(self.services)}")
            if name in trail:
                raise ConfigError(f"services depend on each other: {' -> '.join((*trail, name))}")
            for other in self.services[name].depends_on:
                add(other, (*trail, name))
            if name not in ordered:
                ordered.append(name)

        wanted = names or [
            name for name, service in self.services.items() if not service.profiles or profiles & set(service.profiles)
        ]
        for name in wanted:
            add(name, ())
        return ordered


def read_compose(file: Path, environment: Mapping[str, str]) -> Compose:
    """Read a compose file, with its variables replaced by what `environment` says.

    Raises
    ------
    ConfigError
        When the file cannot be read, has a key that this project does not use, or needs a variable that is not set.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {file}: {' '.join(str(error).split())}") from None
    content = {key: value for key, value in content.items() if not key.startswith("x-")}
    try:
        return Compose.model_validate(_interpolate(content, environment))
    except ValidationError as error:
        raise ConfigError(f"{file}: {describe(error)}") from None


def _interpolate(content: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(content, dict):
        return {key: _interpolate(value, environment) for key, value in content.items()}
    if isinstance(content, list):
        return [_interpolate(value, environment) for value in content]
    return interpolate(content, environment) if isinstance(content, str) else content


def interpolate(text: str, environment: Mapping[str, str]) -> str:
    """Replace `${NAME}`, `${NAME:-default}` (which may hold others), `${NAME:?message}`, and `$$` by a dollar.

    Raises
    ------
    ConfigError
        When a variable that must be set is not or is empty, or for another form.
    """
    result, at = "", 0
    while (dollar := text.find("$", at)) >= 0:
        result += text[at:dollar]
        if text.startswith("$$", dollar):
            result, at = result + "$", dollar + 2
            continue
        end = _closing(text, dollar)
        result, at = result + _value(text[dollar + 2 : end], environment), end + 1
    return result + text[at:]


def _closing(text: str, dollar: int) -> int:
    """Position of the brace that closes the one after `dollar`."""
    depth = 0
    for position in range(dollar + 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            if position > dollar + 1:
                return position
            break
    raise ConfigError(f"{text!r}: write variables as ${{NAME}}, and a dollar as $$")


def _value(inner: str, environment: Mapping[str, str]) -> str:
    found = _NAME.match(inner)
    name = found[0] if found else ""
    rest = inner.removeprefix(name)
    given = environment.get(name, "")
    if name and (not rest or (given and rest.startswith((":-", ":?")))):
        return given
    if name and rest.startswith(":-"):
        return interpolate(rest[2:], environment)
    if name and rest.startswith(":?"):
        raise ConfigError(f"{name} is not set: {rest[2:]}")
    raise ConfigError(
        f"'${{{inner}}}': of variables, only ${{NAME}}, ${{NAME:-default}} and ${{NAME:?message}} are known"
    )
