"""Deployments as prefect.yaml describes them, made by Prefect's own `deploy` command, so that there is one way to them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse

from lib.errors import ConfigError

OURS = "probeflow"
"""Tag of the deployments that are described there."""


def described() -> tuple[Path, dict[str, Any]]:
    """prefect.yaml of this checkout, or else the current folder, as read. Raises ConfigError when there is none usable."""
    places = [Path(__file__).resolve().parent.parent / "prefect.yaml", Path.cwd() / "prefect.yaml"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise ConfigError(
            f"prefect.yaml is neither in {places[0].parent} nor in {places[1].parent}; run this in a checkout"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        list(map(entry_name, content["deployments"]))
    except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"{file} is no list of deployments: {' '.join(str(error).split())}") from None
    return file, content


def entry_name(entry: dict[str, Any]) -> str:
    """A deployment's whole name; the flow's is that of its function, with - for _."""
    module, _, function = str(entry["entrypoint"]).rpartition(".")
    if not module:
        raise ValueError(f"entrypoint {function!r} names no module")
    return f"{function.replace('_', '-')}/{entry['name']}"


def chunk_entries(content: dict[str, Any], pool: str) -> list[dict[str, Any]]:
    """What a pool's workers do for pipelines: the deployments that are named as their pool, for `pool` in its place."""
    return [
        entry | {"name": pool, "work_pool": {**entry["work_pool"], "name": pool}}
        for entry in content["deployments"]
        if entry["name"] == entry["work_pool"]["name"]
    ]


def deploy_entries(content: dict[str, Any], entries: Sequence[dict[str, Any]]) -> list[str]:
    """Have Prefect deploy `entries` of the file; their names. Raises ConfigError with what it says when it refuses one."""
    # A file of its own: `definitions` with anchors and aliases are resolved, and entries may be others than the file's.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content | {"definitions": None, "deployments": list(entries)}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
            env=os.environ | {"NO_COLOR": "1", "PREFECT_LOGGING_LEVEL": "ERROR"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode:
        said = [line.strip(" │╭╮╰╯─") for line in done.stdout.splitlines()]
        raise ConfigError(
            f"Prefect does not deploy prefect.yaml: {next((line for line in reversed(said) if line), '')}"
        )
    return [entry_name(entry) for entry in entries]


def forget_schedules(client: SyncPrefectClient, entries: Sequence[dict[str, Any]]) -> list[str]:
    """Remove the schedules of deployments that are described without any, which Prefect leaves; a line for each."""
    lines = []
    for entry in entries:
        if entry.get("schedules"):
            continue
        name = entry_name(entry)
        deployment = client.read_deployment_by_name(name)
        for schedule in deployment.schedules:
            client.delete_deployment_schedule(deployment.id, schedule.id)
            lines.append(f"removed    schedule {schedule.slug or schedule.id} of {name}")
    return lines


def remove_undescribed(client: SyncPrefectClient, entries: Sequence[dict[str, Any]]) -> list[str]:
    """Delete our deployments in these pools that are not among `entries`, not their runs; a line for each."""
    pools = {entry["work_pool"]["name"] for entry in entries}
    names = {entry_name(entry) for entry in entries}
    lines = []
    for name, deployment in our_deployments(client).items():
        if deployment.work_pool_name in pools and name not in names:
            client.delete_deployment(deployment.id)
            lines.append(f"removed    deployment {name}")
    return lines


def our_deployments(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    found: list[DeploymentResponse] = []
    page = 100
    while len(batch := client.read_deployments(limit=page, offset=len(found))) == page:
        found += batch
    found += batch
    ours = [deployment for deployment in found if OURS in deployment.tags]
    flows = {deployment.flow_id: client.read_flow(deployment.flow_id).name for deployment in ours}
    return {f"{flows[deployment.flow_id]}/{deployment.name}": deployment for deployment in ours}
