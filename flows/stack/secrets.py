"""The stack's passwords: made at random into `.env`, which Docker Compose and `make stack` read."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from lib.errors import ConfigError
from lib.files import atomic_path

SECRETS = {
    "POSTGRES_PASSWORD": "PostgreSQL's superuser, who makes the databases",
    "PREFECT_POSTGRES_PASSWORD": "the Prefect server at PostgreSQL",
    "MLFLOW_POSTGRES_PASSWORD": "the MLflow server at PostgreSQL",
    "PREFECT_API_AUTH_STRING": "user:password of Prefect's API and UI",
    "MLFLOW_TRACKING_PASSWORD": "MLflow's API and UI, user MLFLOW_TRACKING_USERNAME (probeflow)",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs MLflow's forms",
}
"""Every secret that docker-compose.yml asks for, and whose it is."""


def env_file(environment: Mapping[str, str] = os.environ) -> Path:
    """`.env` of the checkout, or the file that Docker Compose's own COMPOSE_ENV_FILES names."""
    named = environment.get("COMPOSE_ENV_FILES")
    return Path(named).resolve() if named else Path(__file__).resolve().parents[2] / ".env"


def make_secrets() -> int:
    """Write the secrets that are missing in `.env` into it, readable by its owner alone, and say which."""
    file = env_file()
    added = add_secrets(file)
    sys.stdout.write(f"{file}: " + (f"made {', '.join(added)}\n" if added else "all secrets are there already\n"))
    return 0


def add_secrets(file: Path) -> list[str]:
    """Add a random value for each secret that `file` lacks; what is there stays. Returns the names added.

    Raises
    ------
    ConfigError
        When a line of the file is no NAME=value.
    StorageError
        When it cannot be written.
    """
    present = read_env(file)
    missing = [name for name in SECRETS if not present.get(name)]
    if not missing:
        file.chmod(0o600)
        return []
    old = file.read_text(encoding="utf-8") if file.exists() else "# Made by `make secrets`. Never commit this file.\n"
    kept = [line for line in old.splitlines() if line.partition("=")[0].strip() not in missing]
    with atomic_path(file) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text("\n".join(kept + [f"{name}={_random(name)}" for name in missing]) + "\n", encoding="utf-8")
    return missing


def _random(name: str) -> str:
    token = secrets.token_urlsafe(32)
    return f"probeflow:{token}" if name == "PREFECT_API_AUTH_STRING" else token


def read_env(file: Path) -> dict[str, str]:
    """Variables of a file of NAME=value lines; none when there is no such file. Raises ConfigError."""
    if not file.exists():
        return {}
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        name, separator, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            continue
        if not separator:
            raise ConfigError(f"{file}, line {number} is no NAME=value")  # without the line: it may be half a secret
        found[name.strip().removeprefix("export ").strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    """A value as Docker Compose reads it: what a pair of quotes holds, or what is before a comment."""
    if value[:1] in ("'", '"') and (end := value.find(value[0], 1)) > 0:
        return value[1:end]
    return re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
