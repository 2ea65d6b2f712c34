"""Make what a work pool needs: the pool, deployments of what its workers run, and a watch over runs that are lost."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from lib.errors import ConfigError
from tasks.pool import python_here, require_server, worker_command

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

_HEARTBEAT_SECONDS = 30
_SILENCE_SECONDS = 120
"""Silence after which a running chunk counts as lost: four heartbeats."""


def deploy(pool: str, limit: int | None = None) -> int:
    """Make the pool `pool` (of type process, unless it is there already) and what it needs; again does no harm.

    Parameters
    ----------
    limit : int, optional
        How many chunks the pool may run at once, on all its workers; what it was before when not given.

    Raises
    ------
    ConfigError
        Without a Prefect server, when it refuses, or when the limit is not a positive number.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: a pool must be let run one chunk at least; give 1 or more")
    require_server(pool)
    from prefect import get_client
    from prefect.deployments.runner import DeploymentApplyError
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL

    from flows.extract_unit import extract_unit
    from flows.sweep_chunk import sweep_chunk

    url = PREFECT_API_URL.value()
    lines = []
    try:
        with get_client(sync_client=True) as client:
            lines.append(f"work pool  {pool} ({_make_pool(client, pool, limit)})")
            for flow in (sweep_chunk, extract_unit):
                deployment, watch = _deploy(client, flow, pool)
                lines += [f"deployment {deployment}", f"automation {watch}"]
    except (PrefectHTTPStatusError, DeploymentApplyError) as error:
        raise ConfigError(f"{url} refused work pool {pool!r}: {' '.join(str(error).split())}") from None
    sys.stdout.write(
        "\n".join(lines) + "\n"
        f"Next, on every machine that is to work, with PROBEFLOW_DATA naming one shared folder:\n"
        f"  PREFECT_API_URL={url} {worker_command(pool)}\n"
        f"then, here: PREFECT_API_URL={url} {python_here()} -m flows run --pool {pool}\n"
    )
    return 0


def _make_pool(client: SyncPrefectClient, pool: str, limit: int | None) -> str:
    """Make the pool, or give the one that is there its limit; returns what was done, in words."""
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    wanted = WorkPoolCreate(name=pool, type="process", base_job_template=template, concurrency_limit=limit)
    try:
        client.create_work_pool(wanted)
        made = "made"
    except ObjectAlreadyExists:
        if limit is not None:
            client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=limit))
        made = "there already"
    limit = client.read_work_pool(pool).concurrency_limit
    return made if limit is None else f"{made}, {limit} at once"


def _deploy(client: SyncPrefectClient, flow: Flow[..., Any], pool: str) -> tuple[str, str]:
    """Deploy `flow` to the pool and watch over its runs; returns the deployment's and the automation's name."""
    from prefect.deployments.runner import RunnerDeployment
    from prefect.types.entrypoint import EntrypointType

    deployment = RunnerDeployment.from_flow(
        flow,
        name=pool,
        work_pool_name=pool,
        # A module of the installed package: the workers' own copy, wherever it lies.
        entrypoint_type=EntrypointType.MODULE_PATH,
        enforce_parameter_schema=False,  # the flow validates; a schema of an older version would only refuse
        job_variables={
            "env": {
                "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(_HEARTBEAT_SECONDS),
                "PREFECT_LOGGING_EXTRA_LOGGERS": "lib",  # as in flows/__init__, for workers started without it
            }
        },
    )
    deployment_id = deployment.apply()
    assert isinstance(deployment_id, UUID)
    watch = _watch(deployment.full_name, deployment_id)
    old = client.read_automations_by_name(watch.name)
    if old:
        client.update_automation(old[0].id, watch)
    else:
        client.create_automation(watch)
    return deployment.full_name, watch.name


def _watch(deployment: str, deployment_id: UUID) -> AutomationCore:
    """Marks a run of the deployment as crashed when its heartbeats end without its end.

    Prefect has no such watch by itself: a run whose machine or worker is gone would stay "running", and be waited for.
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    heartbeat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=f"crash lost runs of {deployment}",
        description=f"A running chunk that is silent for {_SILENCE_SECONDS} s is lost; its parent does it again.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification({"prefect.resource.id": [f"prefect.deployment.{deployment_id}"]}),
            for_each={"prefect.resource.id"},
            after={heartbeat},
            expect={heartbeat} | ends,
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=_SILENCE_SECONDS),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {_SILENCE_SECONDS} s")],
    )
