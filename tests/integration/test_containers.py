"""The team's stack in real containers: built, confined, used, restarted and killed under way, taken down and up again.

Each step is a test, in this order; `make test-containers` runs them and says how long each took.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient

from lib.datasets import acquire
from lib.features import extract, open_feature_set
from tests.containers import Containers, step
from tests.processes import REPOSITORY, wait_for
from tests.small_profile import longer_profile, small_profile
from tests.stack import read_compose
from tests.team import (
    all_runs,
    records,
    require_closed,
    require_one_run_each,
    running_chunk,
    start,
    user_of,
    wait_ended,
)

pytestmark = [pytest.mark.integration, pytest.mark.containers, pytest.mark.timeout(3600)]

SERVERS = ("postgres", "prefect", "mlflow")
WORKERS = ("worker-cpu", "worker-chunks")
DOCUMENTED = "prefect deployment run pipeline/on-demand --param profile=embedded --watch"
"""What docs/team.md has people run in worker-cpu."""


NODES = ("fc8", "hidden_units")
CUT = {"pool": "gpu", "chunks": 2, "chunk_images": 8}
"""Two chunks of each extraction and sweep, one after the other by the one worker there is."""


@pytest.fixture(scope="module")
def containers(tmp_path_factory) -> Iterator[Containers]:
    """The project, up."""
    if shutil.which("docker") is None:
        pytest.skip("docker is not on PATH")
    project = Containers.new(tmp_path_factory.mktemp("project"))
    print()  # noqa: T201 - steps below pytest's own line
    try:
        with step("images built, all services up"):
            project.said = project.make("stack")
        yield project
    finally:
        project.make("stack-down", "ARGS=--volumes")


@pytest.fixture(scope="module")
def client(containers) -> Iterator[SyncPrefectClient]:
    """The test's own process as a user of the servers."""
    with user_of(containers.client) as client:
        yield client


@pytest.fixture(scope="module")
def mlflow(client, containers) -> MlflowClient:
    return MlflowClient(containers.client["MLFLOW_TRACKING_URI"])


def test_all_services_come_up_and_no_registry_is_asked_for_an_image_that_is_built(containers):
    assert {name: containers.inspect(name)["State"]["Health"]["Status"] for name in (*SERVERS, *WORKERS)} == (
        dict.fromkeys((*SERVERS, *WORKERS), "healthy")
    )
    assert containers.inspect("setup")["State"]["ExitCode"] == 0
    assert "pull access denied" not in containers.said
    assert not re.findall(
        r"^ *\S* *(?:mlflow|setup|worker-\w+) +(?:Pulling|Warning|Error).*", containers.said, re.MULTILINE
    )


def test_the_process_stack_of_other_tests_reads_the_file_as_compose_does(containers):
    variables = containers.secrets | {f"{name.upper()}_PORT": str(port) for name, port in containers.ports.items()}
    theirs = containers.config()
    for name, service in read_compose(variables).items():
        assert service["command"] == theirs[name]["command"]
        given = {key: value for key, value in service["environment"].items() if value is not None}
        assert given == {key: value for key, value in theirs[name]["environment"].items() if value is not None}
        assert service.get("healthcheck", {}).get("test") == theirs[name].get("healthcheck", {}).get("test")


@pytest.mark.parametrize("name", [*SERVERS, *WORKERS])
def test_a_service_is_confined_and_its_log_is_bounded(containers, name):
    status = dict(line.split(":\t", 1) for line in containers.inside(name, "cat", "/proc/self/status").splitlines())
    user = "999" if name == "postgres" else "10001"
    assert status["Uid"].split() == status["Gid"].split() == [user] * 4
    assert {status[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    told = containers.inspect(name)
    assert told["HostConfig"]["ReadonlyRootfs"]
    assert containers.inside(name, "sh", "-c", "touch /etc/mine /usr/mine 2>/dev/null || echo refused") == "refused\n"
    bound = [each["HostIp"] for port in told["NetworkSettings"]["Ports"].values() for each in port or []]
    assert set(bound) == ({"127.0.0.1"} if name in ("prefect", "mlflow") else set())
    assert told["HostConfig"]["LogConfig"] == {"Type": "local", "Config": {"max-size": "20m", "max-file": "5"}}


def test_servers_refuse_strangers_foreign_hosts_and_origins(containers):
    require_closed(containers.secrets, containers.ports)


def test_the_documented_command_runs_a_profile_and_shows_its_end(containers):
    with step("exploration of the embedded profile, by the documented command"):
        containers.inside("worker-cpu", *DOCUMENTED.split(), "--param", 'only=["exploration"]')


def test_a_profile_runs_through_the_pools_though_every_server_restarts_meanwhile(containers, client):
    with step("small profile through the pools, each server restarted on the way"):
        run = start("every server restarts", small_profile())
        wait_for(
            lambda: any(each.work_pool_name == "gpu" and each.state.is_running() for each in all_runs(client)), 300
        )
        for name in SERVERS:
            assert not client.read_flow_run(run).state.is_final()
            with step(f"  {name} restarted, and healthy again"):
                containers.restart(name)
        (ended,) = wait_ended(client, [run], 600).values()
        assert ended.state.is_completed(), ended.state.message


def test_whatever_is_killed_a_run_completes_and_its_features_are_those_of_an_undisturbed_one(
    containers, client, tmp_path
):
    profile = longer_profile()
    with step("small profile through the pools, all servers and workers killed on the way"):
        run = start("killed often", profile, ["hidden_units", "promote"], workers=CUT)
        lost = wait_for(lambda: running_chunk(client, NODES, run), 300)
        before = {each.name for each in client.read_workers_for_work_pool("gpu")}
        with step("  worker-chunks killed, and healthy again"):
            containers.kill("worker-chunks")
        assert {each.name for each in client.read_workers_for_work_pool("gpu")} - before  # healthy: it has registered
        struck = wait_for(lambda: running_chunk(client, NODES, run, but=lost.id), 300)
        with step("  worker-chunks restarted, and healthy again"):
            containers.restart("worker-chunks")
        assert client.read_flow_run(struck.id).state.is_crashed()  # its worker told the server as it ended
        for name in (*SERVERS, "worker-cpu"):
            with step(f"  {name} killed, and healthy again"):
                containers.kill(name)
        with step("  the lost chunk and the lost pipeline noticed, the pipeline begun again"):
            wait_for(lambda: client.read_flow_run(lost.id).state.is_crashed(), 300)
            wait_for(lambda: begun_again(client, run), 300)
        (ended,) = wait_ended(client, [run], 600).values()
        assert ended.state.is_completed(), ended.state.message

    containers.copy("worker-cpu:/data/features", tmp_path / "features")
    undisturbed = extract(acquire(profile.data["patches"], tmp_path), profile.features["fc8"].extraction, tmp_path)
    (made,) = [
        found
        for path in tmp_path.glob("features/*/*/manifest.json")
        if (found := open_feature_set(path.parent)).digest == undisturbed.digest
    ]
    assert made.manifest == undisturbed.manifest


def begun_again(client, run) -> bool:
    """Whether a pipeline was begun for the second time; it must not have ended before."""
    found = client.read_flow_run(run)
    if found.run_count >= 2:
        return True
    if found.state.is_failed() or found.state.is_completed():
        states = client.read_flow_run_states(run)
        pytest.fail("; ".join(f"{state.timestamp:%H:%M:%S} {state.name}: {state.message}" for state in states))
    return False


def test_records_know_their_commit_and_version_and_mlflow_has_each_run_once(containers, client, mlflow, tmp_path):
    data = containers.copy("worker-cpu:/data", tmp_path / "data")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    made = [record.made for record in records(data).values()]
    assert len(made) >= 10
    assert {each["commit"].partition(",")[0] for each in made} == {head}
    assert {each["probeflow"] for each in made} == {version}
    require_one_run_each(mlflow, data)
    left = [each.name for each in all_runs(client) if not each.state.is_final() and not each.state.is_scheduled()]
    assert left == []


def test_logs_hold_no_secret_no_health_check_and_no_complaint_about_git(containers):
    logs = containers.compose("logs", "--no-color")
    assert len(logs.splitlines()) > 100
    secrets = [value.removeprefix("probeflow:") for value in containers.secrets.values()]
    assert not [line for line in logs.splitlines() if any(secret in line for secret in secrets)]
    assert "/health" not in logs
    assert "Bad git executable" not in logs


def test_down_and_up_again_loses_nothing_and_a_run_that_is_done_computes_nothing(containers, client, mlflow):
    named = ("(", "-name", "record.json", "-o", "-name", "part-*", ")")
    files = ("find", "/data/features", "/data/studies", *named, "-printf", "%p %s %T@\n")

    def kept() -> tuple[set, ...]:
        experiments = [each.experiment_id for each in mlflow.search_experiments()]
        models = mlflow.search_registered_models()
        return (
            {(each.id, each.state.type) for each in all_runs(client) if not each.auto_scheduled},
            {run.info.run_id for run in mlflow.search_runs(experiments, max_results=5000)},
            {(model.name, *sorted(model.aliases.items())) for model in models},
            set(containers.inside("worker-cpu", *files).splitlines()),
        )

    before = kept()
    assert all(before)
    assert ("champion", "1") in {alias for model in before[2] for alias in model[1:]}
    with step("down"):
        containers.make("stack-down")
    assert containers.compose("ps", "--all", "--quiet") == ""
    with step("up again"):
        containers.make("stack")
    assert kept() == before
    with step("small profile again, which computes nothing"):
        (ended,) = wait_ended(client, [start("again", small_profile())], 300).values()
    assert ended.state.is_completed()
    assert kept()[1:] == before[1:]
