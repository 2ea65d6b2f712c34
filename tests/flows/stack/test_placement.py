"""What a service is as a process: the same command and settings, on loopback, with its files in the stack's folder."""

from __future__ import annotations

import sys

import pytest

from flows.stack.compose import Compose
from flows.stack.placement import CHECKOUT, Stack, place, read_stack, shell_lines
from flows.stack.secrets import SECRETS
from lib.errors import ConfigError


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    return dict.fromkeys(SECRETS, "given") | {
        "COMPOSE_ENV_FILES": str(tmp_path / "absent"),
        "PROBEFLOW_STACK": str(tmp_path / "stack"),
        "COMPOSE_PROFILES": "cpu-chunks",
        "PATH": "/bin",
        "PREFECT_PORT": "4300",
    }


@pytest.fixture
def stack(environment) -> Stack:
    return read_stack(environment=environment)


def test_services_find_each_other_on_loopback_and_keep_their_files_in_the_stacks_folder(stack, tmp_path):
    worker = stack.placements["worker-chunks"].environment
    assert worker["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"
    assert worker["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert worker["PROBEFLOW_DATA"] == str(tmp_path / "stack/volumes/data")
    assert worker["PROBEFLOW_CACHE"] == str(tmp_path / "stack/volumes/data/cache")  # not in /tmp, which is memory there
    assert worker["PREFECT_HOME"] == str(tmp_path / "stack/tmp/worker-chunks/tmp/prefect")
    prefect = stack.placements["prefect"]
    assert prefect.command == [
        *(sys.executable, "-m", "prefect", "server", "start"),
        *("--host", "127.0.0.1", "--port", "4300"),
    ]
    assert prefect.environment["PREFECT_SERVER_DATABASE_HOST"] == "127.0.0.1"
    assert prefect.environment["PREFECT_SERVER_DATABASE_USER"] == "prefect"  # a user, not the host of that name
    mlflow = stack.placements["mlflow"].environment
    assert mlflow["MLFLOW_ARTIFACTS_DESTINATION"] == str(tmp_path / "stack/volumes/artifacts")
    assert "mlflow:" not in mlflow["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert "listen_addresses=127.0.0.1" in stack.placements["postgres"].command
    assert stack.ports == {"postgres": 5432, "prefect": 4300, "mlflow": 5000}


def test_a_secret_that_looks_like_an_address_stays_as_it_is(environment):
    login = {"PREFECT_API_AUTH_STRING": "prefect:9secret", "MLFLOW_TRACKING_USERNAME": "mlflow"}
    stack = read_stack(environment=environment | login)
    assert stack.placements["prefect"].environment["PREFECT_SERVER_API_AUTH_STRING"] == "prefect:9secret"
    assert stack.variables["PREFECT_API_AUTH_STRING"] == "prefect:9secret"


def test_of_the_shell_a_service_sees_only_what_its_file_passes_on(environment):
    shell = {
        "PREFECT_SERVER_DATABASE_NAME": "other", "MLFLOW_EXPERIMENT_NAME": "other", "PGSSLMODE": "require",
        "PREFECT_HOME": "/other", "AWS_ACCESS_KEY_ID": "passed", "AWS_PROFILE": "other", "PROBEFLOW_POOL": "other",
    }  # fmt: skip
    mlflow = read_stack(environment=environment | shell).placements["mlflow"].environment
    assert mlflow["AWS_ACCESS_KEY_ID"] == "passed"
    assert not {"MLFLOW_EXPERIMENT_NAME", "PGSSLMODE", "AWS_PROFILE", "PREFECT_HOME", "PROBEFLOW_POOL"} & set(mlflow)
    assert "AWS_SECRET_ACCESS_KEY" not in mlflow
    assert mlflow["PATH"] == "/bin"


def test_a_user_is_given_what_a_worker_is_given_but_for_its_own_folders(stack):
    worker = stack.placements["worker-cpu"].environment
    assert {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD"} < set(
        stack.variables
    )
    assert all(worker[name] == value for name, value in stack.variables.items())
    assert not {"HOME", "PREFECT_HOME", "PROBEFLOW_MLRUNS", "PROBEFLOW_STACK_SERVICE"} & set(stack.variables)
    assert shell_lines({"A": "it's $1"}) == "A='it'\"'\"'s $1'\n"


def test_to_end_a_stack_no_secret_is_needed(environment):
    for name in SECRETS:
        del environment[name]
    with pytest.raises(ConfigError, match="is not set: run `make secrets` first"):
        read_stack(environment=environment)
    assert "postgres" in read_stack(environment=environment, to_start=False).placements


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("ports", ["127.0.0.1:80:4200"], "one number for inside and outside"),
        ("ports", ["4200"], "one number for inside and outside"),
        ("volumes", ["/data"], "volume '/data': write NAME:/path"),
        ("healthcheck", {"test": ["CMD-SHELL", "true"]}, r"a health check must be \[CMD"),
    ],
)
def test_what_has_no_meaning_for_a_process_is_refused(tmp_path, part, value, message):
    compose = Compose.model_validate(
        {"name": "x", "services": {"x": {"image": "x:1", "command": ["true"], part: value}}}
    )
    with pytest.raises(ConfigError, match=f"x: .*{message}"):
        place("x", compose, tmp_path, {}, {})


def test_a_mounted_file_is_the_checkouts_own(stack):
    scripts = [path for target, path in stack.placements["postgres"].folders.items() if target.endswith(".sql")]
    assert scripts == [CHECKOUT / "deploy/databases.sql"]
    assert scripts[0].exists()
