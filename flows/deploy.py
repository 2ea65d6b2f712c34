"""Make what a Prefect server needs: a pool of its own that pipelines submit chunks to, or all that prefect.yaml describes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lib.addresses import without_credentials
from lib.errors import ConfigError, program
from tasks.server import require_server

_CPU_RUNS = 16
"""Runs at once that a new pool of parents is given: they plan and wait, and hold some hundred MB each."""


def deploy(pool: str, limit: int | None = None, template: Path | None = None) -> int:
    """Make the pool `pool` and the deployments of what its workers do for pipelines; again does no harm.

    `limit`: how many chunks the pool may run at once, on all its workers; what it was before when not given.
    `template`: a base job template, which makes it a pool of Kubernetes; of processes when not given.

    Raises ConfigError without a Prefect server, when it refuses, or when the limit is not a positive number.
    """
    _require_positive("--limit", limit)
    require_server(pool)
    from flows.automations import lost_runs, make_automations
    from flows.deployments import chunk_entries, deploy_entries, described
    from flows.pools import make_pool, make_queues

    _, content = described()
    with _client(f"work pool {pool!r}") as client:
        lines = [f"work pool  {pool} ({make_pool(client, pool, limit, template=template)})"]
        make_queues(pool)
        lines += [f"deployment {name}" for name in deploy_entries(content, chunk_entries(content, pool))]
        lines += make_automations(client, [lost_runs()], all_of_them=False)
    url = _server()
    start = f"PREFECT_API_URL={url} {program()} work --pool {pool}"
    if template is not None:
        start = f"prefect worker start --pool {pool} --type kubernetes"
    _print(
        lines,
        "Next, on every machine that is to work, with PROBEFLOW_DATA naming one shared folder:",
        f"  {start}",
        f"then, here: PREFECT_API_URL={url} {program()} run --pool {pool}",
    )
    return 0


def set_up(
    cpu_limit: int | None = None,
    gpu_limit: int | None = None,
    schedules: bool = True,
    template: Path | None = None,
    webhook: str | None = None,
) -> int:
    """Make pools, queues, deployments, automations and the webhook's block, and remove ours that are described no more.

    It may be run again at any time: runs under way are not touched.

    `cpu_limit`, `gpu_limit`: runs at once in pool cpu and gpu; what they were before when not given.
    `schedules`: False leaves the schedules inactive.
    `template`: a base job template, which makes `gpu` a pool of Kubernetes.
    `webhook`: address that failures and lateness are reported to.

    Raises ConfigError without a Prefect server, when it refuses, or for a limit, template, address or prefect.yaml that
    cannot be used.
    """
    _require_positive("--cpu-limit", cpu_limit)
    _require_positive("--gpu-limit", gpu_limit)
    require_server("cpu")
    from flows import automations
    from flows.deployments import (
        chunk_entries,
        deploy_entries,
        described,
        entry_name,
        forget_schedules,
        remove_undescribed,
    )
    from flows.pools import base_job_template, make_pool, make_queues

    base_job_template(template)  # before anything is made
    file, content = described()
    entries: list[dict[str, Any]] = content["deployments"]
    if not schedules:
        entries = [_without_activity(entry) for entry in entries]
    with _client(str(file)) as client:
        block = automations.save_webhook(client, webhook)
        lines = []
        for pool, limit, first, form in (("cpu", cpu_limit, _CPU_RUNS, None), ("gpu", gpu_limit, None, template)):
            lines.append(f"work pool  {pool} ({make_pool(client, pool, limit, first, form)})")
            make_queues(pool)
        lines += [f"deployment {name}" for name in deploy_entries(content, entries)]
        lines += forget_schedules(client, entries)
        lines += remove_undescribed(client, entries)
        chunks = set(map(entry_name, chunk_entries(content, "gpu")))
        parents = [client.read_deployment_by_name(name).id for name in set(map(entry_name, entries)) - chunks]
        lines += automations.make_automations(client, automations.described(parents, block))
        if block:
            lines.append(f"block      webhook/{automations.WEBHOOK}")
    url = _server()
    _print(
        lines,
        f"Next: PREFECT_API_URL={url} {program()} work --pool cpu --limit 8",
        f"and on each machine with GPUs: PREFECT_API_URL={url} {program()} work --pool gpu",
    )
    return 0


def _without_activity(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"schedules": [each | {"active": False} for each in entry.get("schedules", [])]}


def _require_positive(option: str, limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ConfigError(f"{option} {limit}: a pool must be let run one at least; give 1 or more")


@contextmanager
def _client(what: str) -> Iterator[Any]:
    from prefect import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        with get_client(sync_client=True) as client:
            yield client
    except PrefectHTTPStatusError as error:
        raise ConfigError(f"{_server()} refused {what}: {' '.join(str(error).split())}") from None


def _server() -> str:
    from prefect.settings import PREFECT_API_URL

    return without_credentials(str(PREFECT_API_URL.value()))


def _print(lines: list[str], *last: str) -> None:
    sys.stdout.write("\n".join((*lines, *last)) + "\n")
