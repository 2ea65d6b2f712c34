"""Work on a Prefect work pool: jobs as child flow runs, waited for, and submitted again when they are lost.

A job is run by the deployment that is named as its pool. Nothing but names and positions travels: results lie in a shared folder.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import Task, get_client
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, State, WorkPool
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.futures import as_completed
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling, Crashed

from lib import errors
from lib.addresses import without_credentials
from lib.errors import ChangedError, ConfigError, LostProcessError, ProbeflowError, WorkerError, command
from lib.progress import bar
from lib.storage.copies import absent, shown
from tasks.ends import unfinished_children
from tasks.server import require_server

ATTEMPTS = 3
LATE_FILES_SECONDS = 60.0
"""How long a shared file system may take to show a file that another machine wrote."""

_LONGEST_POLL_SECONDS = 5.0

_NO_WORKER_SECONDS = 300.0
"""How long a job may wait while its pool has no worker online."""

_PENDING_SECONDS = 300.0
"""How long a worker may take from accepting a run to running it. One that dies in between leaves no heartbeat to miss."""

_AWAY_SECONDS = 300.0
"""How long Prefect's server may be away, as while it is restarted, before its absence is an error."""

_HUNG_SECONDS = 120.0
"""How long a worker may take to end a run that hangs."""

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

given_up = threading.Event()
"""Set when the parent ends before its children: the threads that wait for them end too, and cancel them."""

_creation = threading.Lock()
"""Prefect numbers a flow's children without one, so two threads could give two children one number."""


@dataclass(frozen=True)
class Job:
    """What one worker does by itself: part of a node's work, or a whole node.

    `flow`: name of the flow that does it.
    `title`: what people read, such as "heads chunk 1 of 2".
    `parameters`: the flow's, as plain JSON.
    `identity`: distinguishes the job from all others of its parent.
    `results`: files that must be there afterwards.
    """

    flow: str
    title: str
    parameters: dict[str, Any]
    identity: str
    results: list[str]


def require_pool(pool: str, flow: str | None = None) -> WorkPool:
    """The work pool, which must be there, with a deployment of `flow` if one is named. Raises ConfigError."""
    require_server(pool)
    deployment = f"{flow}/{pool}"
    with get_client(sync_client=True) as client:
        try:
            found: WorkPool = client.read_work_pool(pool)
            if flow is not None:
                client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            lacking = f" with a deployment {deployment!r}" if flow is not None else ""
            made = "both" if flow is not None else "it"
            raise ConfigError(
                f"no work pool {pool!r}{lacking} on {without_credentials(PREFECT_API_URL.value() or '')}; "
                f"make {made} with {command(f'deploy --pool {pool}')}"
            ) from None
    return found


def workers_online(pool: str, flow: str) -> int:
    """Workers of `pool` that are online and can run jobs of `flow`; a pool that needs none counts as one.

    Raises ConfigError when there is no server, pool, deployment or worker, or this flow is itself in the pool.
    """
    with get_client(sync_client=True) as client:
        end = time.monotonic() + _AWAY_SECONDS
        while PREFECT_API_URL.value() and client.api_healthcheck() and time.monotonic() < end:
            time.sleep(1)  # this flow has a server, so it is coming back
    found = require_pool(pool, flow)
    with get_client(sync_client=True) as client:
        online = _online(client, pool)
        if not online and not (found.is_push_pool or found.is_managed_pool):
            raise ConfigError(
                f"work pool {pool!r} has no worker online; start one with {command(f'work --pool {pool}')}"
            )
        root = client.read_flow_run(UUID(flow_run.get_root_flow_run_id()))
        if root.work_pool_name == pool:
            raise ConfigError(
                f"this flow itself runs in work pool {pool!r}, where it would hold the place that its chunks wait for; "
                "run it in another pool"
            )
    return max(1, online)


def submit_all(run: Task[..., Any], pieces: Sequence[Mapping[str, Any]], label: str) -> None:
    """Submit `run` with each of `pieces`, and wait for all; then raise the first error, a ChangedError before any other."""
    if not pieces:
        return
    show = _progress(label, len(pieces))
    waiting = [run.submit(**piece) for piece in pieces]
    with bar(label, len(waiting), "chunk") as advance:
        for done, _ in enumerate(as_completed(waiting), 1):
            advance(1)
            show(done)
    results = [each.result(raise_on_failure=False) for each in waiting]
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise next((error for error in failed if isinstance(error, ChangedError)), failed[0])


def _progress(label: str, total: int) -> Callable[[int], None]:
    """A bar on the flow run's page, moved by calling this with how many are done; left out when it cannot be written."""
    if flow_run.get_id() is None:
        return lambda _: None
    try:
        key = f"chunks-{re.sub('[^a-z0-9]+', '-', label.lower()).strip('-')}"
        bar_id = create_progress_artifact(0.0, key=key, description=f"{label}: chunks done, of {total}")
    except Exception as error:
        _logger.debug("no progress artifact: %s", error)
        return lambda _: None

    def show(done: int) -> None:
        with suppress(Exception):
            update_progress_artifact(bar_id, 100 * done / total)  # type: ignore[arg-type]

    return show


def await_predecessors(flow: str, pool: str) -> None:
    """Wait for what this run submitted before it crashed, however that ends: what it stored is found by the plan."""
    root = UUID(flow_run.get_root_flow_run_id())
    with get_client(sync_client=True) as client:
        if patiently(lambda: client.read_flow_run(root)).run_count <= 1:
            return
        try:
            deployment = patiently(lambda: client.read_deployment_by_name(f"{flow}/{pool}"))
        except ObjectNotFound:
            return  # the plan says so
        left = patiently(lambda: list(unfinished_children(client, root)))
    for child in left:
        if child.deployment_id == deployment.id:
            _logger.warning("waiting for %s, which was submitted before this run was begun again", child.name)
            with suppress(WorkerError):
                _wait(child.id, pool, child.name)


def patiently(ask: Callable[[], _T]) -> _T:
    """Ask Prefect's server, and again for some minutes while it is away or fails; it may be asked twice for one thing."""
    pause, end = 1.0, time.monotonic() + _AWAY_SECONDS
    while True:
        try:
            return ask()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            refused = isinstance(error, PrefectHTTPStatusError) and error.response.status_code < 500
            if refused or time.monotonic() > end:
                raise
            _logger.warning("Prefect's server does not answer (%s); asking again", type(error).__name__)
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


def run_on_worker(job: Job, pool: str, minutes: int | None = None) -> dict[str, Any]:
    """Have one job done by a worker of `pool` and wait for it; returns the child flow run's name and id.

    `minutes`: a child that runs longer hangs: it is ended, and counts as crashed.

    Raises WorkerError when the job failed or crashed in each attempt, was cancelled or never begun, or its results are
    not where they should be; ChangedError when the worker met an image that is not what it was when it was verified.
    """
    # A task that lost its server finds its child again by this key; another attempt, or another run, has another child.
    root = f"{flow_run.get_root_flow_run_id()}:{flow_run.get_id()}:{flow_run.get_run_count()}"
    key = f"{root}:{job.identity}"
    for attempt in range(1, ATTEMPTS + 1):
        title = job.title if attempt == 1 else f"{job.title}, attempt {attempt}"
        child, state = _wait(_create(job, pool, title, f"{key}:{attempt}"), pool, job.title, minutes)
        if state.is_completed():
            _require_results(job, child)
            return {"flow_run": child.name, "flow_run_id": str(child.id), "attempt": attempt}
        if state.is_cancelled() or _final_error(state.message):
            break
    reason = f": {' '.join(state.message.split()).rstrip('.')}" if state.message else ""
    kind = ChangedError if _final_error(state.message) is ChangedError else WorkerError
    raise kind(
        f"{job.title} ended {state.name} in attempt {attempt} of {ATTEMPTS}{reason}; "
        f"flow run {child.name!r} ({child.id}) on pool {pool!r} has the log; run the same command again to go on"
    )


def _create(job: Job, pool: str, title: str, idempotency_key: str) -> UUID:
    with get_client(sync_client=True) as client:
        root = patiently(lambda: client.read_flow_run(UUID(flow_run.get_root_flow_run_id())))

    def create() -> Any:
        return run_deployment(
            f"{job.flow}/{pool}",
            parameters=job.parameters,
            timeout=0,
            as_subflow=True,
            flow_run_name=title,
            idempotency_key=idempotency_key,  # asked twice, the server gives the same run
            work_queue_name=root.work_queue_name,  # its priority goes with it
        )

    with _creation:
        created = patiently(create)
    assert isinstance(created, FlowRun)
    return created.id


def _wait(child: UUID, pool: str, title: str, minutes: int | None = None) -> tuple[FlowRun, State[Any]]:
    """The flow run and its state once it has ended, however it ended; one that stays pending, or hangs, ends as crashed.

    Raises WorkerError when the parent gives up, or the job was not begun and no worker of the pool is there to begin
    it: it is cancelled, so that no worker works for nobody later.
    """
    pause, lonely_since, pending_since, running_since, hung_since = 0.5, None, None, None, None
    hung: State[Any] = Crashed(message=f"ended, since it ran longer than {minutes} minutes (PROBEFLOW_CHUNK_MINUTES)")
    with get_client(sync_client=True) as client:

        def tell(state: State[Any], force: bool = False) -> None:
            patiently(lambda: client.set_flow_run_state(child, state, force=force))

        def end_as(state: State[Any]) -> None:
            now = patiently(lambda: client.read_flow_run(child)).state
            if now is None or not now.is_final():  # it may have ended well since it was looked at
                tell(state, force=True)

        while True:
            run = patiently(lambda: client.read_flow_run(child))
            if run.state is not None and run.state.is_final():
                return run, hung if hung_since is not None and run.state.is_cancelled() else run.state
            if given_up.wait(pause):
                tell(Cancelling())
                raise WorkerError(
                    f"{title} was cancelled, since its parent was interrupted; run the same command to go on"
                )
            pause = min(1.5 * pause, _LONGEST_POLL_SECONDS)
            now = time.monotonic()
            if hung_since is not None:
                if now - hung_since > _HUNG_SECONDS:  # its worker is gone too
                    end_as(hung)
                continue
            if run.state is not None and run.state.is_running():
                lonely_since = pending_since = None
                running_since = running_since or now
                if minutes is not None and now - running_since > 60 * minutes:
                    hung_since = now
                    tell(Cancelling(message=hung.message))
                continue
            pending = run.state is not None and run.state.is_pending()
            pending_since = (pending_since or now) if pending else None
            waiting = run.state is None or run.state.is_scheduled() or pending
            if not waiting or patiently(lambda: _online(client, pool)):
                lonely_since = None
                if pending_since is not None and now - pending_since > _PENDING_SECONDS:
                    lost: State[Any] = Crashed(
                        message=f"accepted by a worker, but not begun for {_PENDING_SECONDS:.0f} s"
                    )
                    end_as(lost)
                continue
            lonely_since = lonely_since or now
            if now - lonely_since > _NO_WORKER_SECONDS:
                tell(Cancelling())
                raise WorkerError(
                    f"{title} waits, but no worker of pool {pool!r} is online; start one with {command(f'work --pool {pool}')} "
                    "and run the same command again to go on"
                )


def _online(client: SyncPrefectClient, pool: str) -> int:
    only_online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return len(client.read_workers_for_work_pool(pool, only_online))


def _require_results(job: Job, child: FlowRun) -> None:
    end = time.monotonic() + LATE_FILES_SECONDS
    while lacking := absent(Path(file) for file in job.results):
        if time.monotonic() > end:
            raise WorkerError(
                f"{job.title} is done (flow run {child.name!r}, {child.id}), but {shown(lacking[0])} is not there: "
                "let PROBEFLOW_DATA of the workers name the same shared folder or URL as here"
            )
        time.sleep(1)


def _final_error(message: str | None) -> type[ProbeflowError] | None:
    """The class of the error for which a child failed, if it is bad input, which stays bad; its state tells it."""
    found = re.search(r"encountered an exception: (\w+): ", message or "")
    kind = getattr(errors, found[1], None) if found else None
    final = isinstance(kind, type) and issubclass(kind, ProbeflowError) and not issubclass(kind, LostProcessError)
    return kind if final else None
