"""`make secrets`: random, for their owner alone, never made twice, and with no package but Python's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY
from tests.stack import SECRETS, read_env


def make_secrets(file: Path, expect: int = 0) -> str:
    """What `make secrets` says, run by Python alone: `-S` leaves out every installed package, `-E` our path."""
    environment = os.environ | {"COMPOSE_ENV_FILES": str(file), "MAKEFLAGS": ""}
    done = subprocess.run(
        ["make", "--no-print-directory", "secrets", f"PYTHON='{sys.executable}' -S -E -s"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode != 0) == (expect != 0), done.stderr
    return done.stdout if expect == 0 else done.stderr


def test_every_secret_is_made_at_random_and_for_its_owner_alone(tmp_path):
    files = [tmp_path / "one.env", tmp_path / "two.env"]
    told = [make_secrets(file) for file in files]
    assert all(name in each for name in SECRETS for each in told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.env", "two.env"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    values = [value for file in files for value in read_env(file).values()]
    assert len(set(values)) == 2 * len(SECRETS)
    assert all(len(value) >= 43 for value in values)  # 32 random bytes
    assert all(read_env(file)["PREFECT_API_AUTH_STRING"].startswith("probeflow:") for file in files)
    assert not any(value in each for value in values for each in told)


def test_what_is_there_stays_and_only_what_is_missing_is_added(tmp_path):
    file = tmp_path / ".env"
    given = "# mine\nPREFECT_PORT=4300\nPOSTGRES_PASSWORD=chosen\nexport MLFLOW_POSTGRES_PASSWORD = 'own' # kept\n"
    file.write_text(f"{given}MLFLOW_TRACKING_PASSWORD=\nPREFECT_POSTGRES_PASSWORD='' # none\n")
    file.chmod(0o644)
    told = set(make_secrets(file).partition(": made ")[2].strip().split(", "))
    assert told == {*SECRETS} - {"POSTGRES_PASSWORD", "MLFLOW_POSTGRES_PASSWORD"}
    made = file.read_text()
    assert made.startswith(given)
    assert made.count("MLFLOW_TRACKING_PASSWORD=") == made.count("PREFECT_POSTGRES_PASSWORD=") == 1
    assert file.stat().st_mode & 0o777 == 0o600
    assert "all secrets are there already" in make_secrets(file)
    assert file.read_text() == made


@pytest.mark.parametrize("place", ["absent/.env", "."])
def test_a_file_that_cannot_be_written_is_named_in_one_line(tmp_path, place):
    told = make_secrets(tmp_path / place, expect=2)
    assert [line for line in told.splitlines() if line.startswith(f"cannot write {(tmp_path / place).resolve()}: ")]
    assert "Traceback" not in told


def test_git_and_images_leave_the_file_out_and_its_example_names_every_secret_without_a_value():
    assert "/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()
    assert (REPOSITORY / ".dockerignore").read_text().splitlines()[1] == "*"
    assert read_env(REPOSITORY / ".env.example") == dict.fromkeys(SECRETS, "")
