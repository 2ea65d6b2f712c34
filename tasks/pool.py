"""Work on a Prefect work pool: pieces as child flow runs, waited for, and submitted again when they are lost.

A piece is run by a deployment that is named as its pool; `python -m flows deploy` makes it. Nothing but names and
positions travels: results lie in a folder that all machines share. What the pieces are is told in `chunks` and `extract`.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import Task, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun, State, WorkPool
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.futures import as_completed
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling, Crashed

from lib import errors
from lib.errors import ChangedError, ConfigError, ProbeflowError, WorkerError
from lib.progress import bar
from lib.storage.copies import absent, shown

ATTEMPTS = 3
LATE_FILES_SECONDS = 60.0
"""How long a shared file system may take to show a file that another machine wrote."""

_LONGEST_POLL_SECONDS = 5.0

_NO_WORKER_SECONDS = 60.0
"""How long a piece may wait while its pool has no worker online."""

_PENDING_SECONDS = 300.0
"""How long a worker may take from accepting a run to running it. One that dies in between leaves no heartbeat to miss."""

_given_up = threading.Event()
"""Set when the parent ends before its pieces: the threads that wait for them end too, and cancel them."""

_creation = threading.Lock()
"""Prefect numbers a flow's children without one, so two threads could give two children one number."""


@dataclass(frozen=True)
class Piece:
    """A part of some work that a worker does by itself.

    Attributes
    ----------
    flow : str
        Name of the flow that does it.
    title : str
        What people read, such as "hidden_units chunk 1 of 2".
    parameters : dict
        The flow's, as plain JSON.
    identity : str
        Tells the piece from all others of its parent.
    results : list of str
        Files that must be there afterwards.
    """

    flow: str
    title: str
    parameters: dict[str, Any]
    identity: str
    results: list[str]


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
                f"no work pool {pool!r}{lacking} on {PREFECT_API_URL.value()}; "
                f"make {made} with `python -m flows deploy --pool {pool}`"
            ) from None
    return found


def workers_online(pool: str, flow: str) -> int:
    """Workers of `pool` that are online and can run pieces of `flow`; a pool that needs none counts as one.

    Raises
    ------
    ConfigError
        When there is no server, pool, deployment or worker, or this flow is itself in the pool.
    """
    found = require_pool(pool, flow)
    with get_client(sync_client=True) as client:
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


def hand_out(run: Task[..., Any], pieces: Sequence[Mapping[str, Any]], label: str) -> None:
    """Submit the task `run` with each of `pieces` as its arguments, all at once, and wait for all of them.

    Ending this early (Ctrl-C, an error) cancels the pieces that are not done.

    Raises
    ------
    Exception
        That of the first piece that failed, after all have ended; a ChangedError before any other.
    """
    begin()
    try:
        waiting = [run.submit(**piece) for piece in pieces]
        with bar(label, len(waiting), "chunk") as advance:
            for _ in as_completed(waiting):
                advance(1)
    except BaseException:
        give_up()
        raise
    results = [done.result(raise_on_failure=False) for done in waiting]
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise next((error for error in failed if isinstance(error, ChangedError)), failed[0])


def run_on_worker(piece: Piece, pool: str) -> dict[str, Any]:
    """Have one piece done by a worker of `pool` and wait for it; returns the child flow run's name and id.

    Raises
    ------
    WorkerError
        When the piece failed or crashed in each attempt, was cancelled or never begun, or its results are not where they
        should be.
    ChangedError
        When the worker met an image that is not what it was when it was verified.
    """
    # A task that lost its server finds its child again by this key; another attempt, or another run, has another child.
    root = f"{flow_run.get_root_flow_run_id()}:{flow_run.get_id()}:{flow_run.get_run_count()}"
    key = f"{root}:{piece.identity}"
    for attempt in range(1, ATTEMPTS + 1):
        title = piece.title if attempt == 1 else f"{piece.title}, attempt {attempt}"
        child, state = _wait(_create(piece, pool, title, f"{key}:{attempt}"), pool, piece.title)
        if state.is_completed():
            _require_results(piece, child)
            return {"flow_run": child.name, "flow_run_id": str(child.id), "attempt": attempt}
        if state.is_cancelled() or _final_error(state.message):
            break
    told = f": {' '.join(state.message.split()).rstrip('.')}" if state.message else ""
    kind = ChangedError if _final_error(state.message) is ChangedError else WorkerError
    raise kind(
        f"{piece.title} ended {state.name} in attempt {attempt} of {ATTEMPTS}{told}; "
        f"flow run {child.name!r} ({child.id}) on pool {pool!r} has the log; run the same command again to go on"
    )


def give_up() -> None:
    """End all waiting for pieces, and cancel them."""
    _given_up.set()


def begin() -> None:
    """Forget an earlier `give_up`."""
    _given_up.clear()


def worker_command(pool: str) -> str:
    """What starts this machine's workers of `pool`, as pasted into a shell in the current folder."""
    return f"{python_here()} -m flows work --pool {pool}"


def python_here() -> str:
    """This Python, as called from the current folder."""
    python = os.path.relpath(sys.executable)
    return sys.executable if python.startswith("..") else python


def _create(piece: Piece, pool: str, title: str, idempotency_key: str) -> UUID:
    with _creation:
        created = run_deployment(
            f"{piece.flow}/{pool}",
            parameters=piece.parameters,
            timeout=0,
            as_subflow=True,
            flow_run_name=title,
            idempotency_key=idempotency_key,
        )
    assert isinstance(created, FlowRun)
    return created.id


def _wait(child: UUID, pool: str, title: str) -> tuple[FlowRun, State[Any]]:
    """The flow run and its state once it has ended, however it ended; one that stays pending is ended as crashed.

    Raises
    ------
    WorkerError
        When the parent gives up, or the piece was not begun and no worker of the pool is there to begin it. The piece is
        cancelled, so that no worker works for nobody later.
    """
    pause, lonely_since, pending_since = 0.5, None, None
    with get_client(sync_client=True) as client:
        while True:
            run = client.read_flow_run(child)
            if run.state is not None and run.state.is_final():
                return run, run.state
            if _given_up.wait(pause):
                client.set_flow_run_state(child, Cancelling())
                raise WorkerError(
                    f"{title} was cancelled, since its parent was interrupted; run the same command to go on"
                )
            pause = min(1.5 * pause, _LONGEST_POLL_SECONDS)
            now = time.monotonic()
            pending = run.state is not None and run.state.is_pending()
            pending_since = (pending_since or now) if pending else None
            waiting = run.state is None or run.state.is_scheduled() or pending
            if not waiting or _online(client, pool):
                lonely_since = None
                if pending_since is not None and now - pending_since > _PENDING_SECONDS:
                    lost: State[Any] = Crashed(
                        message=f"accepted by a worker, but not begun for {_PENDING_SECONDS:.0f} s"
                    )
                    client.set_flow_run_state(child, lost, force=True)
                continue
            lonely_since = lonely_since or now
            if time.monotonic() - lonely_since > _NO_WORKER_SECONDS:
                client.set_flow_run_state(child, Cancelling())
                raise WorkerError(
                    f"{title} waits, but no worker of pool {pool!r} is online; start one with `{worker_command(pool)}` "
                    "and run the same command again to go on"
                )


def _online(client: SyncPrefectClient, pool: str) -> int:
    only_online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return len(client.read_workers_for_work_pool(pool, only_online))


def _require_results(piece: Piece, child: FlowRun) -> None:
    end = time.monotonic() + LATE_FILES_SECONDS
    while lacking := absent(Path(file) for file in piece.results):
        if time.monotonic() > end:
            raise WorkerError(
                f"{piece.title} is done (flow run {child.name!r}, {child.id}), but {shown(lacking[0])} is not there: "
                "let PROBEFLOW_DATA of the workers name the same shared folder or URL as here"
            )
        time.sleep(1)


def _final_error(message: str | None) -> type[ProbeflowError] | None:
    """The class of the error for which a child failed, if it is bad input, which stays bad; its state tells it."""
    found = re.search(r"encountered an exception: (\w+): ", message or "")
    kind = getattr(errors, found[1], None) if found else None
    return kind if isinstance(kind, type) and issubclass(kind, ProbeflowError) else None
