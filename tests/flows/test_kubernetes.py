"""The pool of GPU nodes on Kubernetes: its template as Prefect's kubernetes worker would read it, without a cluster.

Prefect ships what that worker's own template is, though not the worker; ours is held against it and filled in by
Prefect's own functions. What comes of it, and the manifests of the page, are held against Kubernetes' own schemas.
"""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from copy import deepcopy
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import ValidationError, all_versions, validate
from prefect.utilities.templating import find_placeholders
from prefect.workers.base import BaseJobConfiguration

from flows.pools import base_job_template
from lib.errors import ConfigError
from tests.processes import REPOSITORY

FILE = REPOSITORY / "deploy" / "kubernetes" / "gpu-pool.json"
METADATA = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"
PREFECTS = json.loads(METADATA.read_text())["prefect-kubernetes"]["kubernetes"]["default_base_job_configuration"]


class Configuration(BaseJobConfiguration):
    """The fields that the kubernetes worker reads, beside those of all workers."""

    namespace: str
    job_manifest: dict[str, Any]
    cluster_config: Any = None
    job_watch_timeout_seconds: int | None = None
    pod_watch_timeout_seconds: int = 60
    stream_output: bool = True


def filled(**values: Any) -> Configuration:
    return asyncio.run(Configuration.from_template_and_values(base_job_template(FILE), values, client=object()))


def placeholders(part: Any) -> set[str]:
    if isinstance(part, dict):
        return set().union(*map(placeholders, part.values()))
    if isinstance(part, list):
        return set().union(*map(placeholders, part))
    return {found.name for found in find_placeholders(part)} if isinstance(part, str) else set()


def paths(part: Any, here: str = "") -> set[str]:
    """The places in a manifest, without what lies in free-form mappings."""
    steps = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    return {here}.union(*(paths(inner, f"{here}/{step}") for step, inner in steps))


def job(**values: Any) -> dict[str, Any]:
    """A Job as the worker sends it: what it puts into Kubernetes' form is the environment and the command."""
    configuration = filled(name="chunk", command="python -m prefect.engine", labels={"app": "probeflow"}, **values)
    manifest = deepcopy(configuration.job_manifest)
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    container["env"] = [{"name": name, "value": value} for name, value in configuration.env.items()]
    container["args"] = shlex.split(container["args"])
    return manifest


def manifests_of_the_page() -> list[dict[str, Any]]:
    page = (REPOSITORY / "docs" / "kubernetes.md").read_text()
    return [each for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) for each in yaml.safe_load_all(block)]


KUBERNETES = pytest.mark.parametrize("version", [all_versions()[0], all_versions()[-1]])
"""The oldest and the newest whose schemas there are."""


@KUBERNETES
def test_a_job_is_one_that_kubernetes_knows(version):
    validate(job(cpu_limit="8"), version, strict=True)


@KUBERNETES
@pytest.mark.parametrize(
    "manifest", manifests_of_the_page(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}"
)
def test_the_manifests_of_the_page_are_ones_that_kubernetes_knows(manifest, version):
    validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (["spec", "template", "spec"], {"completions": 1}, "'completions' was unexpected"),
        (["spec", "template", "spec", "containers", 0], {"env": {"A": "b"}}, "is not of type 'array'"),
        (["metadata"], {"namspace": "probeflow"}, "'namspace' was unexpected"),
    ],
)
def test_a_job_that_kubernetes_does_not_know_is_refused(place, wrong, message):
    broken = job()
    part: Any = broken
    for step in place:
        part = part[step]
    part.update(wrong)
    with pytest.raises(ValidationError, match=message):
        validate(broken, all_versions()[-1], strict=True)


def test_all_that_the_worker_reads_is_there_and_every_placeholder_is_a_described_variable():
    ours = base_job_template(FILE)
    lacking = paths(PREFECTS["job_configuration"]) - paths(ours["job_configuration"])
    # Prefect has these in the pod's specification, where Kubernetes does not know them; ours are the Job's.
    assert {path.removeprefix("/job_manifest/spec/template/spec/") for path in lacking} == {
        "parallelism",
        "completions",
    }
    assert set(ours["job_configuration"]) == set(PREFECTS["job_configuration"])
    variables = ours["variables"]["properties"]
    assert placeholders(ours["job_configuration"]) == set(variables)
    assert set(PREFECTS["variables"]["properties"]) <= set(variables)
    assert [name for name, told in variables.items() if not told.get("description")] == []


def test_the_variables_are_a_valid_schema_and_their_defaults_fit_it():
    schema = base_job_template(FILE)["variables"]
    Draft202012Validator.check_schema(schema)
    defaults = {name: told["default"] for name, told in schema["properties"].items() if "default" in told}
    Draft202012Validator(schema).validate(defaults)


def test_a_job_has_one_gpu_on_a_gpu_node_a_shared_volume_and_secrets_only_by_reference():
    configuration = filled(env={"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"})
    pod = configuration.job_manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == {"probeflow/pool": "gpu"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (claim,) = [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert claim["persistentVolumeClaim"] == {"claimName": "probeflow-data"}
    assert configuration.env == {
        "PROBEFLOW_DATA": mounted[claim["name"]],
        "PROBEFLOW_LOCKS": f"{mounted[claim['name']]}/locks",  # pods share no /tmp, and may share a GPU by time slices
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    assert container["envFrom"] == [{"secretRef": {"name": "probeflow"}}]
    assert configuration.job_manifest["spec"]["backoffLimit"] == 0  # Prefect counts the attempts
    assert pod["restartPolicy"] == "Never"


def test_a_job_is_not_root_and_has_no_rights():
    pod = filled().job_manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    # That of the image, which has a home there, and whose files those of pool cpu on the shared volume are.
    (user,) = set(re.findall(r"--uid (\d+)", (REPOSITORY / "Dockerfile").read_text()))
    assert [pod["securityContext"][each] for each in ("runAsUser", "runAsGroup", "fsGroup")] == [int(user)] * 3
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_nothing_is_left_to_fill_in_and_a_deployment_may_change_it():
    configuration = filled(image="registry/probeflow:1", gpus=2, memory_limit="64Gi", name="chunk", command="run")
    assert placeholders(configuration.job_manifest) == set()
    (container,) = configuration.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry/probeflow:1"
    assert container["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": 2}


def test_the_manifests_of_the_page_are_yaml_and_name_what_the_template_names():
    page = (REPOSITORY / "docs" / "kubernetes.md").read_text()
    named = {(each["kind"], each["metadata"]["name"]) for each in manifests_of_the_page()}
    variables = base_job_template(FILE)["variables"]["properties"]
    assert ("Namespace", variables["namespace"]["default"]) in named
    assert ("PersistentVolumeClaim", variables["volume_claim"]["default"]) in named
    assert ("ServiceAccount", variables["service_account_name"]["default"]) in named
    assert ("Deployment", "probeflow-gpu-worker") in named
    assert f"generic {variables['secret']['default']} " in page


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("{", "cannot be read"), ('{"variables": {}}', "lacks job_configuration or variables")],
)
def test_a_template_that_cannot_be_used_is_refused_in_one_line(tmp_path, content, message):
    file = tmp_path / "pool.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        base_job_template(file)
