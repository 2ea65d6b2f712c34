"""`make secrets`: the passwords that docker-compose.yml asks for, at random, into `.env`; what is there stays.

Runs with the system's own Python, 3.8 or newer: who has Docker alone needs no environment of this project.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

SECRETS = {
    "POSTGRES_PASSWORD": "PostgreSQL's superuser, who makes the databases",
    "PREFECT_POSTGRES_PASSWORD": "the Prefect server at PostgreSQL",
    "MLFLOW_POSTGRES_PASSWORD": "the MLflow server at PostgreSQL",
    "PREFECT_API_AUTH_STRING": "user:password of Prefect's API and UI",
    "MLFLOW_TRACKING_PASSWORD": "MLflow's API and UI, user MLFLOW_TRACKING_USERNAME (probeflow)",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs MLflow's forms",
}
"""Every secret that docker-compose.yml asks for, and whose it is."""

CHECKOUT = Path(__file__).resolve().parent.parent


def env_file() -> Path:
    """`.env` of the checkout, or the file that Docker Compose's own COMPOSE_ENV_FILES names."""
    return Path(os.environ.get("COMPOSE_ENV_FILES") or CHECKOUT / ".env").resolve()


def add_secrets(file: Path) -> list[str]:
    """Add a random value for each secret that `file` lacks, for its owner's eyes alone; returns the names added."""
    old = file.read_text(encoding="utf-8") if file.exists() else "# Made by `make secrets`. Never commit this file.\n"
    given = set(re.findall(r"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(?!#|''|"")\S""", old, re.MULTILINE))
    missing = [name for name in SECRETS if name not in given]
    kept = [line for line in old.splitlines() if line.partition("=")[0].strip() not in missing]
    new = "\n".join(kept + [f"{name}={_random(name)}" for name in missing]) + "\n"
    temporary = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        temporary.touch(mode=0o600)
        temporary.write_text(new, encoding="utf-8")
        temporary.replace(file)
    finally:
        if temporary.exists():
            temporary.unlink()
    return missing


def _random(name: str) -> str:
    token = secrets.token_urlsafe(32)
    return f"probeflow:{token}" if name == "PREFECT_API_AUTH_STRING" else token


if __name__ == "__main__":
    place = env_file()
    try:
        added = add_secrets(place)
    except (OSError, UnicodeError) as error:
        sys.exit(f"cannot write {place}: {error}; check its permissions, or name another file in COMPOSE_ENV_FILES")
    sys.stdout.write(f"{place}: " + (f"made {', '.join(added)}\n" if added else "all secrets are there already\n"))
