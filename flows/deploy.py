"""Make what a work pool needs: the pool itself, and a deployment of each flow that its workers run."""

from __future__ import annotations

import sys

from lib.errors import ConfigError
from tasks.chunks import require_server


def deploy(pool: str) -> int:
    """Make the pool `pool` (of type process, unless it is there already) and its deployments; again does no harm.

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
        )
        deployment.apply()
    except (PrefectHTTPStatusError, DeploymentApplyError) as error:
        raise ConfigError(f"{url} refused work pool {pool!r}: {' '.join(str(error).split())}") from None
    sys.stdout.write(
        f"work pool  {pool} ({made})\n"
        f"deployment {deployment.full_name}\n"
        f"Next, on every machine that is to work, with PROBEFLOW_DATA naming one shared folder:\n"
        f"  PREFECT_API_URL={url} prefect worker start --pool {pool} --limit 1\n"
        f"then, here: PREFECT_API_URL={url} python -m flows sweep --pool {pool}\n"
    )
    return 0
