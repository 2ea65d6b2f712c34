"""docker-compose.yml: valid by the Compose Specification's schema, and closed by default. It runs in test_containers.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.docs.pages import blocks
from tests.processes import REPOSITORY
from tests.stack import FILE, SECRETS, read_compose

GIVEN = dict.fromkeys(SECRETS, "given")
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return read_compose(GIVEN)


def test_the_file_is_valid_by_the_compose_specification():
    package = find_spec("check_jsonschema")  # which carries the specification's schema
    assert package is not None
    assert package.origin is not None
    schema = json.loads((Path(package.origin).parent / "builtin_schemas/vendor/compose-spec.json").read_text())
    content = yaml.safe_load(FILE.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert not list(validator.iter_errors(content))
    content["services"]["mlflow"]["restrat"] = "always"
    assert list(validator.iter_errors(content))  # so it does look at services


def test_secrets_have_no_default_and_are_in_no_command_or_address(services):
    text = FILE.read_text()
    assert len(SECRETS) == 6
    assert not [name for name in SECRETS if f"${{{name}:-" in text or f"${{{name}}}" in text]
    for service in services.values():
        assert "given" not in " ".join(service["command"] + service.get("healthcheck", {}).get("test", []))
        secret = {key for key, value in service["environment"].items() if value and "given" in value}
        assert all(service["environment"][key] == "given" for key in secret)
        assert secret == {
            key for key in service["environment"] if key.endswith(("PASSWORD", "AUTH_STRING", "SECRET_KEY"))
        }


def test_ports_are_on_loopback_unless_told_otherwise_and_the_same_inside(services):
    told = read_compose(GIVEN | {"PROBEFLOW_BIND": "10.0.0.7"})
    for content, address in ((services, "127.0.0.1"), (told, "10.0.0.7")):
        ports = [port.split(":") for service in content.values() for port in service.get("ports", [])]
        assert ports == [[address, "4200", "4200"], [address, "5000", "5000"]]


def test_every_service_is_pinned_unprivileged_contained_and_its_log_is_bounded(services):
    for name, service in services.items():
        image, _, version = service["image"].partition(":")
        assert image, name
        assert any(letter.isdigit() for letter in version), name
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
    assert all(re.search(r":\d", image) for image in re.findall(r"^FROM (\S+:\S+)", DOCKERFILE, re.MULTILINE))


def test_one_service_builds_each_of_our_images_and_no_other_asks_a_registry_for_it(services):
    targets = re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE)
    ours = [service for service in services.values() if service["image"].startswith("probeflow")]
    built = [service for service in ours if "build" in service]
    # Compose builds side by side, and two builds of one name fail; the others take what one of them built.
    assert sorted(service["image"] for service in built) == sorted({service["image"] for service in ours})
    assert {service["build"]["target"] for service in built} <= set(targets)
    assert {service.get("pull_policy") for service in built} == {None}  # else Compose pulls before it builds
    assert {service["pull_policy"] for service in ours if service not in built} == {"never"}
    assert {f"USER {service['user']}" for service in built} <= set(DOCKERFILE.splitlines())


def test_make_stack_builds_images_that_know_their_commit():
    for target in ("cpu", "gpu"):
        stage = DOCKERFILE.partition(f"AS {target}\n")[2].partition("FROM ")[0]
        assert "ARG COMMIT\nENV PROBEFLOW_COMMIT=$COMMIT\n" in stage
    built = read_compose(GIVEN | {"PROBEFLOW_COMMIT": "0a1b2c"})
    assert all(service["build"]["args"] == {"COMMIT": "0a1b2c"} for service in built.values() if "build" in service)
    command = ["make", "--dry-run", "stack", "PROFILE=cpu-chunks"]
    environment = os.environ | {"MAKEFLAGS": ""}
    recipe = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout
    (given,) = re.findall(r"PROBEFLOW_COMMIT=(.*?) *\\?$", recipe, re.MULTILINE)
    told = subprocess.run(["sh", "-c", f"echo {given}"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    assert told in (head, f"{head}, with changes that are not committed")
    assert "docker compose --profile cpu-chunks up --detach --build --wait" in recipe


def test_without_docker_make_stack_says_so_in_one_line(tmp_path):
    for program in ("sh", "make"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    for target in ("stack", "stack-down"):
        done = subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=REPOSITORY, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2
        told, end = done.stderr.splitlines()
        assert told.startswith("docker is not on PATH: install Docker Engine 25 or newer")
        assert end.startswith("make: ***")
        assert done.stdout == ""


def test_chunks_of_several_containers_find_one_lock_on_a_gpu(services):
    for worker in ("worker-gpu", "worker-chunks"):
        locks = services[worker]["environment"]["PROBEFLOW_LOCKS"]
        assert any(locks.startswith(f"{volume.split(':')[1]}/") for volume in services[worker]["volumes"])


def test_leases_of_prefect_outlive_its_container(services):
    prefect = services["prefect"]
    assert prefect["environment"]["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith(".filesystem")
    assert f"prefect:{prefect['environment']['PREFECT_HOME']}" in prefect["volumes"]
    assert (
        f"mkdir /data /artifacts {prefect['environment']['PREFECT_HOME']} " in DOCKERFILE
    )  # with the user as its owner


def test_servers_have_health_checks_and_restart_and_others_wait_for_their_health(services):
    for name in ("postgres", "prefect", "mlflow"):
        assert services[name]["healthcheck"]
        assert services[name]["restart"] == "unless-stopped"
    conditions = {
        (name, other): needed["condition"]
        for name, service in services.items()
        for other, needed in service.get("depends_on", {}).items()
    }
    assert conditions["prefect", "postgres"] == conditions["mlflow", "postgres"] == "service_healthy"
    assert conditions["worker-gpu", "setup"] == "service_completed_successfully"
    grace = [service["stop_grace_period"] for name, service in services.items() if name.startswith("worker")]
    assert grace == ["60s"] * 3  # longer than `flows work` waits for its workers


def test_without_docker_the_commands_are_those_of_the_services(services):
    (block,) = [each for each in blocks("sh", REPOSITORY / "docs" / "team.md") if "-m mlflow server" in each]
    told = re.findall(r"^\.venv/bin/python (.*?)(?:  +#.*)?$", block, re.MULTILINE)
    ours = [service["command"] for name, service in services.items() if name not in ("postgres", "worker-chunks")]
    assert told == [" ".join(command[1:]).replace("0.0.0.0", "127.0.0.1") for command in ours]
    assert services["worker-chunks"]["command"] == services["worker-gpu"]["command"]
    assert "psql -f deploy/databases.sql" in block
    assert any(volume.startswith("./deploy/databases.sql:") for volume in services["postgres"]["volumes"])
    unit = blocks("ini", REPOSITORY / "docs" / "team.md")[0]
    assert f"ExecStart=/srv/probeflow/.venv/bin/python {told[0]}\n" in unit


def test_the_gpu_is_reserved_in_its_profile_alone(services):
    assert [name for name, service in services.items() if "deploy" in service] == ["worker-gpu"]
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    assert profiles == {"worker-gpu": ["gpu"], "worker-chunks": ["cpu-chunks"]}
