"""Work pools and their queues: made when they are not there, given the wanted limits and priorities when they are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from lib.errors import ConfigError

_DESCRIPTIONS = {
    "cpu": "Pipelines: they plan, submit chunks, wait, and show results.",
    "gpu": "Nodes and chunks of nodes: one at a time on each GPU.",
}

QUEUES = ("urgent", "default", "nightly")
"""By falling priority: a worker that is free takes runs of the first queue that has some."""


def base_job_template(file: Path | None) -> dict[str, Any]:
    """The base job template in `file`, a JSON object, else that of processes. Raises ConfigError when it is none."""
    if file is None:
        from prefect.workers.process import ProcessWorker

        template: dict[str, Any] = ProcessWorker.get_default_base_job_template()
        return template
    try:
        template = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"base job template {str(file)!r} cannot be read: {error}") from None
    if not isinstance(template, dict) or not {"job_configuration", "variables"} <= set(template):
        raise ConfigError(
            f"base job template {str(file)!r} lacks job_configuration or variables; see docs/kubernetes.md"
        )
    return template


def make_pool(
    client: SyncPrefectClient,
    pool: str,
    limit: int | None,
    first_limit: int | None = None,
    template: Path | None = None,
) -> str:
    """Make the pool, or give the one that is there its limit and template; returns what was done, in words.

    `limit`: runs at once on all workers; None leaves a pool that is there as it is, and gives a new one `first_limit`.
    `template`: a base job template of Kubernetes; a pool of processes when not given.

    Raises ConfigError when the template cannot be used, or the pool that is there is of another type than it needs.
    """
    kind = "process" if template is None else "kubernetes"
    content = base_job_template(template)
    wanted = WorkPoolCreate(
        name=pool,
        type=kind,
        base_job_template=content,
        concurrency_limit=limit or first_limit,
        description=_DESCRIPTIONS.get(pool, "Nodes and chunks of nodes.") + " Made by probeflow's set-up.",
    )
    try:
        client.create_work_pool(wanted)
        made = "made"
    except ObjectAlreadyExists:
        found = client.read_work_pool(pool)
        if template is not None and found.type != kind:
            raise ConfigError(
                f"work pool {pool!r} is of type {found.type!r}, but the template is for {kind!r}: "
                f"delete it (`prefect work-pool delete {pool}`) and run this again"
            ) from None
        if limit is not None:
            client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=limit))
        if template is not None:
            client.update_work_pool(pool, WorkPoolUpdate(base_job_template=content))
        made = "there already"
    limit = client.read_work_pool(pool).concurrency_limit
    return made if limit is None else f"{made}, {limit} at once"


def make_queues(pool: str) -> None:
    """Give the pool its queues, in the order of their priorities; other queues of the pool come after them."""
    asyncio.run(_make_queues(pool))


async def _make_queues(pool: str) -> None:
    async with get_client() as client:
        for name in QUEUES:
            try:
                await client.read_work_queue_by_name(name, work_pool_name=pool)
            except ObjectNotFound:
                await client.create_work_queue(name=name, work_pool_name=pool)
        there = sorted(await client.read_work_queues(work_pool_name=pool), key=lambda queue: queue.priority)
        order = sorted(there, key=lambda queue: QUEUES.index(queue.name) if queue.name in QUEUES else len(QUEUES))
        for priority, queue in enumerate(order, 1):
            if queue.priority != priority:
                await client.update_work_queue(queue.id, priority=priority)
