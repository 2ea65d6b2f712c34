"""Make what a work pool needs: the pool, a deployment of what its workers run, and a watch over runs that are lost."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from lib.errors import ConfigError
from tasks.chunks import python_here, require_server, worker_command

if TYPE_CHECKING:
    from prefect.events.schemas.automations import AutomationCore

_HEARTBEAT_SECONDS = 30
_SILENCE_SECONDS = 120
"""Silence after which a running chunk counts as lost: four heartbeats."""


def deploy(pool: str) -> int:
    """Make the pool `pool` (of type process, unless it is there already) and what it needs; again does no harm.

    Raises
    ------
    ConfigError
        Without a Prefect server, or when it refuses.
    """
    require_server(pool)
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
    from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL
    from prefect.types.entrypoint import EntrypointType
    from prefect.workers.process import ProcessWorker

    from flows.sweep_chunk import sweep_chunk

    url = PREFECT_API_URL.value()
    template = ProcessWorker.get_default_base_job_template()
    try:
        with get_client(sync_client=True) as client:
            try:
                client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
                made = "made"
            except ObjectAlreadyExists:
                made = "there already"
        deployment = RunnerDeployment.from_flow(
            sweep_chunk,
            name=pool,
            work_pool_name=pool,
            # A module of the installed package: the workers' own copy, wherever it lies.
            entrypoint_type=EntrypointType.MODULE_PATH,
            enforce_parameter_schema=False,  # the flow validates; a schema of an older version would only refuse
            job_variables={"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(_HEARTBEAT_SECONDS)}},
        )
        deployment_id = deployment.apply()
        assert isinstance(deployment_id, UUID)
        watch = _watch(deployment.full_name, deployment_id)
        with get_client(sync_client=True) as client:
            old = client.read_automations_by_name(watch.name)
            if old:
                client.update_automation(old[0].id, watch)
            else:
                client.create_automation(watch)
    except (PrefectHTTPStatusError, DeploymentApplyError) as error:
        raise ConfigError(f"{url} refused work pool {pool!r}: {' '.join(str(error).split())}") from None
    sys.stdout.write(
        f"work pool  {pool} ({made})\n"
        f"deployment {deployment.full_name}\n"
        f"automation {watch.name}\n"
        f"Next, on every machine that is to work, with PROBEFLOW_DATA naming one shared folder:\n"
        f"  PREFECT_API_URL={url} {worker_command(pool)}\n"
        f"then, here: PREFECT_API_URL={url} {python_here()} -m flows sweep --pool {pool}\n"
    )
    return 0


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
        description=f"A running chunk that is silent for {_SILENCE_SECONDS} s is lost; its sweep does it again.",
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
