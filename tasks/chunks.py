"""Prefect's side of a sweep on a work pool: chunks as child flow runs, submitted again when they are lost.

A deployment of the flow `sweep-chunk`, named as its pool, runs one chunk; `python -m flows deploy` makes it.
Nothing but names and positions travels: results lie in the study's folder, which all machines share.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_client, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, State, WorkPool
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from lib import errors
from lib.config import SweepName, SweepStudy, places
from lib.errors import ConfigError, ProbeflowError, WorkerError
from tasks.policy import POLICY

CHUNK_FLOW = "sweep-chunk"
ATTEMPTS = 3
_LONGEST_POLL_SECONDS = 5.0
_LATE_FILES_SECONDS = 60.0
"""How long a shared file system may take to show a file that another machine wrote."""

_NO_WORKER_SECONDS = 60.0
"""How long a chunk may wait while its pool has no worker online."""

_given_up = threading.Event()
"""Set when the parent ends before its chunks: the threads that wait for them end too, and cancel them."""

_creation = threading.Lock()
"""Prefect numbers a flow's children without one, so two threads could give two children one number."""


def require_server(pool: str) -> None:
    """Refuse to hand out work without a server that the workers can reach. Raises ConfigError."""
    url = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(
            f"work pool {pool!r} needs a Prefect server that its workers share: start one with `prefect server start` "
            "and set PREFECT_API_URL=http://HOST:4200/api here and for the workers"
        )
    with get_client(sync_client=True) as client:
        if problem := client.api_healthcheck():
            raise ConfigError(f"Prefect server {url} does not answer ({problem}); check PREFECT_API_URL and the server")


@task(name="plan-chunks", task_run_name="{name} on {pool}", **POLICY)
def plan_chunks(name: SweepName, study: SweepStudy, pool: str, count: int | None) -> list[dict[str, Any]]:
    """The chunks of a sweep that hold trials not yet stored, each as the parameters of `train_on_worker`.

    `count` is the number of chunks in all; None makes one for each worker that is online.

    Raises
    ------
    ConfigError
        When the study cannot be cut, there is no server, pool, deployment or worker, or this flow is itself in the pool.
    """
    from lib.datasets import acquire
    from lib.studies.work import require_separable, sweep_work

    where = places()
    require_separable(name, study)
    work = sweep_work(name, study, acquire(study.data, where.data, where.mirror), where.studies)
    if work is None or not work.missing():
        return []
    online = _workers_online(pool)
    return [
        {
            "number": chunk.number,
            "of": chunk.of,
            "trials": list(chunk.trials),
            "key": work.folder.key,
            "results": [str(file) for file in work.results(chunk.trials)],
        }
        for chunk in work.chunks(count or online)
        if work.missing(chunk.trials)
    ]


@task(name="train-on-worker", task_run_name="{name} chunk {number} of {of}", **POLICY)
def train_on_worker(
    name: SweepName,
    study: SweepStudy,
    pool: str,
    number: int,
    of: int,
    trials: list[int],
    key: str,
    results: list[str],
) -> dict[str, Any]:
    """Have one chunk trained by a worker of `pool` and wait for it; returns the child flow run's name and id.

    `results` are the files that must be there afterwards.

    Raises
    ------
    WorkerError
        When the chunk failed or crashed in each attempt, was cancelled or never begun, or its results are not where they
        should be.
    """
    parameters = {"name": name, "study": study.model_dump(mode="json"), "trials": trials, "key": key}
    chunk = f"{name} chunk {number} of {of}"
    # A task that lost its server finds its child again by this key; another attempt, or another run, has another child.
    root = f"{flow_run.get_root_flow_run_id()}:{flow_run.get_id()}:{flow_run.get_run_count()}"
    unit = f"{root}:{key[:16]}:{number}/{of}"
    for attempt in range(1, ATTEMPTS + 1):
        title = chunk if attempt == 1 else f"{chunk}, attempt {attempt}"
        child, state = _wait(_create(pool, title, parameters, f"{unit}:{attempt}"), pool, chunk)
        if state.is_completed():
            _require_results(results, chunk, child)
            return {"flow_run": child.name, "flow_run_id": str(child.id), "attempt": attempt}
        if state.is_cancelled() or _is_final(state.message):
            break
    told = f": {' '.join(state.message.split()).rstrip('.')}" if state.message else ""
    raise WorkerError(
        f"{chunk} ended {state.name} in attempt {attempt} of {ATTEMPTS}{told}; "
        f"flow run {child.name!r} ({child.id}) on pool {pool!r} has the log; run the same command again to go on"
    )


@task(name="train-chunk", task_run_name="{name}", **{**POLICY, "retries": 0})  # the parent submits it again
def train_chunk(name: SweepName, study: SweepStudy, trials: list[int], key: str) -> dict[str, int]:
    """Train the trials that are missing; returns how many were stored and how many were trained."""
    from lib.datasets import acquire
    from lib.studies import work

    where = places()
    return work.train_chunk(name, study, acquire(study.data, where.data, where.mirror), where.studies, trials, key)


def _workers_online(pool: str) -> int:
    """Workers of `pool` that are online; a pool that needs none counts as one. Raises ConfigError when nothing can run."""
    require_server(pool)
    deployment = f"{CHUNK_FLOW}/{pool}"
    with get_client(sync_client=True) as client:
        try:
            found: WorkPool = client.read_work_pool(pool)
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            raise ConfigError(
                f"no work pool {pool!r} with a deployment {deployment!r} on {PREFECT_API_URL.value()}; "
                f"make both with `python -m flows deploy --pool {pool}`"
            ) from None
        online = _online(client, pool)
        if not online and not (found.is_push_pool or found.is_managed_pool):
            raise ConfigError(f"work pool {pool!r} has no worker online; start one with `{worker_command(pool)}`")
        root = client.read_flow_run(UUID(flow_run.get_root_flow_run_id()))
        if root.work_pool_name == pool:
            raise ConfigError(
                f"this flow itself runs in work pool {pool!r}, where it would hold the place that its chunks wait for; "
                "run it in another pool"
            )
    return max(1, online)


def _create(pool: str, title: str, parameters: dict[str, Any], idempotency_key: str) -> UUID:
    with _creation:
        created = run_deployment(
            f"{CHUNK_FLOW}/{pool}",
            parameters=parameters,
            timeout=0,
            as_subflow=True,
            flow_run_name=title,
            idempotency_key=idempotency_key,
        )
    assert isinstance(created, FlowRun)
    return created.id


def give_up() -> None:
    """End all waiting for chunks, and cancel them."""
    _given_up.set()


def begin() -> None:
    """Forget an earlier `give_up`."""
    _given_up.clear()


def _wait(child: UUID, pool: str, chunk: str) -> tuple[FlowRun, State[Any]]:
    """The flow run and its state once it has ended, however it ended.

    Raises
    ------
    WorkerError
        When the parent gives up, or the chunk was not begun and no worker of the pool is there to begin it. The chunk is
        cancelled, so that no worker trains for nobody later.
    """
    pause, lonely_since = 0.5, None
    with get_client(sync_client=True) as client:
        while True:
            run = client.read_flow_run(child)
            if run.state is not None and run.state.is_final():
                return run, run.state
            if _given_up.wait(pause):
                client.set_flow_run_state(child, Cancelling())
                raise WorkerError(
                    f"{chunk} was cancelled, since its sweep was interrupted; run the same command to go on"
                )
            pause = min(1.5 * pause, _LONGEST_POLL_SECONDS)
            waiting = run.state is None or run.state.is_scheduled() or run.state.is_pending()
            if not waiting or _online(client, pool):
                lonely_since = None
                continue
            lonely_since = lonely_since or time.monotonic()
            if time.monotonic() - lonely_since > _NO_WORKER_SECONDS:
                client.set_flow_run_state(child, Cancelling())
                raise WorkerError(
                    f"{chunk} waits, but no worker of pool {pool!r} is online; start one with `{worker_command(pool)}` "
                    "and run the same command again to go on"
                )


def worker_command(pool: str) -> str:
    """What starts a worker of `pool`, as pasted into a shell in the current folder."""
    return f"{python_here()} -m prefect worker start --pool {pool} --limit 1"


def python_here() -> str:
    """This Python, as called from the current folder."""
    python = os.path.relpath(sys.executable)
    return sys.executable if python.startswith("..") else python


def _online(client: SyncPrefectClient, pool: str) -> int:
    only_online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return len(client.read_workers_for_work_pool(pool, only_online))


def _require_results(results: list[str], chunk: str, child: FlowRun) -> None:
    end = time.monotonic() + _LATE_FILES_SECONDS
    while absent := [file for file in results if not Path(file).exists()]:
        if time.monotonic() > end:
            raise WorkerError(
                f"{chunk} is done (flow run {child.name!r}, {child.id}), but {absent[0]} is not there: "
                "let PROBEFLOW_DATA of the workers name the same shared folder as here"
            )
        time.sleep(1)


def _is_final(message: str | None) -> bool:
    """Whether a child failed for bad input, which stays bad; its state tells the exception's class."""
    found = re.search(r"encountered an exception: (\w+): ", message or "")
    kind = getattr(errors, found[1], None) if found else None
    return isinstance(kind, type) and issubclass(kind, ProbeflowError)
