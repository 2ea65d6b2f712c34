"""docker-compose.yml: valid by the Compose Specification's own schema, closed by default, and read as Compose reads it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
import yaml

from flows.stack.compose import Compose, interpolate, read_compose
from flows.stack.secrets import SECRETS
from lib.errors import ConfigError
from tests.conftest import REPOSITORY

FILE = REPOSITORY / "docker-compose.yml"
GIVEN = dict.fromkeys(SECRETS, "given")


@pytest.fixture(scope="module")
def compose() -> Compose:
    return read_compose(FILE, GIVEN)


def every_text(content) -> list[str]:
    if isinstance(content, dict):
        return [text for value in content.values() for text in every_text(value)]
    if isinstance(content, list):
        return [text for value in content for text in every_text(value)]
    return [content] if isinstance(content, str) else []


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


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_secret_is_refused_by_name(name, value):
    given = GIVEN | {name: value} if value is not None else {key: "x" for key in GIVEN if key != name}
    with pytest.raises(ConfigError, match=f"^{name} is not set: run `make secrets` first$"):
        read_compose(FILE, given)


def test_the_file_holds_no_secret_and_no_secret_is_in_a_command_or_an_address(compose):
    for text in every_text(yaml.safe_load(FILE.read_text())):
        for name in SECRETS:
            assert f"${{{name}:-" not in text  # no default
    for service in compose.services.values():
        assert "given" not in " ".join(service.command + (service.healthcheck.test if service.healthcheck else []))
        secret = {key for key, value in service.environment.items() if value and "given" in value}
        assert all(service.environment[key] == "given" for key in secret)
        named = {key for key in service.environment if key.endswith(("PASSWORD", "AUTH_STRING", "SECRET_KEY"))}
        assert secret == named


def test_ports_are_on_loopback_unless_told_otherwise(compose):
    ports = [port for service in compose.services.values() for port in service.ports]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    told = read_compose(FILE, GIVEN | {"PROBEFLOW_BIND": "10.0.0.7"})
    assert all(port.startswith("10.0.0.7:") for service in told.services.values() for port in service.ports)


def test_every_service_is_pinned_unprivileged_and_contained(compose):
    for name, service in compose.services.items():
        image, _, version = service.image.partition(":")
        assert image, name
        assert any(letter.isdigit() for letter in version), name
        assert service.user is not None, name
        assert service.user.split(":")[0] not in ("", "0", "root"), name
        assert service.read_only, name
        assert service.cap_drop == ["ALL"], name
        assert service.security_opt == ["no-new-privileges:true"], name
    assert all(line.split()[1].split(":")[-1][0].isdigit() for line in from_lines() if ":" in line)


def from_lines() -> list[str]:
    """The Dockerfile's FROM lines."""
    return [line for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")]


def test_the_dockerfile_has_the_targets_that_services_name_and_runs_as_their_user(compose):
    targets = {line.split(" AS ")[1] for line in from_lines()}
    built = [service for service in compose.services.values() if service.build]
    assert {service.build["target"] for service in built} <= targets
    # Compose builds side by side, and two builds of one name fail; the others take what one of them built.
    ours = {service.image for service in compose.services.values() if service.image.startswith("probeflow")}
    assert sorted(service.image for service in built) == sorted(ours)
    assert {f"USER {service.user}" for service in built} <= set((REPOSITORY / "Dockerfile").read_text().splitlines())


def test_servers_have_health_checks_and_restart_and_others_wait_for_their_health(compose):
    for name in ("postgres", "prefect", "mlflow"):
        assert compose.services[name].healthcheck is not None
        assert compose.services[name].restart == "unless-stopped"
    conditions = {
        (name, other): dependency.condition
        for name, service in compose.services.items()
        for other, dependency in service.depends_on.items()
    }
    assert conditions["prefect", "postgres"] == conditions["mlflow", "postgres"] == "service_healthy"
    assert conditions["worker-gpu", "setup"] == "service_completed_successfully"
    grace = {name: service.stop_grace_period for name, service in compose.services.items() if name.startswith("worker")}
    assert len(grace) == 3
    assert all(seconds > 30 for seconds in grace.values())  # as long as `flows work` waits for its workers


def test_the_gpu_is_reserved_in_its_profile_alone(compose):
    with_devices = [name for name, service in compose.services.items() if service.deploy]
    assert with_devices == ["worker-gpu"]
    assert compose.select(set()) == ["postgres", "prefect", "mlflow", "setup", "worker-cpu"]
    assert "worker-gpu" in compose.select({"gpu"})
    assert "worker-chunks" in compose.select({"cpu-chunks"})


def test_selected_services_come_with_what_they_need_in_order(compose):
    assert compose.select(set(), ("mlflow",)) == ["postgres", "mlflow"]
    with pytest.raises(ConfigError, match=r"no service 'redis' in docker-compose.yml; known: postgres, prefect, "):
        compose.select(set(), ("redis",))


def test_services_that_wait_for_each_other_are_refused(compose):
    postgres = compose.services["postgres"].model_copy(update={"depends_on": compose.services["mlflow"].depends_on})
    circle = compose.model_copy(update={"services": compose.services | {"postgres": postgres}})
    with pytest.raises(ConfigError, match="services depend on each other: mlflow -> postgres -> postgres"):
        circle.select(set(), ("mlflow",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a ${A} b", "a 1 b"),
        ("${A:-2}${B:-2}${EMPTY:-3}", "123"),
        ("${B:-http://${A}:${C:-80}}/x", "http://1:80/x"),
        ("${A:?needed}", "1"),
        ("$${A} costs 5 $$", "${A} costs 5 $"),
        ("${B}", ""),
    ],
)
def test_variables_are_replaced_as_compose_does(text, value):
    assert interpolate(text, {"A": "1", "EMPTY": ""}) == value


@pytest.mark.parametrize("text", ["$A", "${A", "${}", "${A:+x}", "${A-x}", "$"])
def test_other_forms_of_variables_are_refused(text):
    with pytest.raises(ConfigError, match=r"\$\{NAME\}"):
        interpolate(text, {"A": "1"})


def test_a_key_that_processes_would_not_honour_is_refused(tmp_path):
    file = tmp_path / "docker-compose.yml"
    file.write_text(FILE.read_text().replace("    stop_signal: SIGINT", "    network_mode: host"))
    with pytest.raises(ConfigError, match=r"services\.postgres\.network_mode: there is no such setting"):
        read_compose(file, GIVEN)
