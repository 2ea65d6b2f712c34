"""When a run ends other than well: its children are cancelled, what happened is shown in the UI, restarts have an end.

Prefect calls these hooks in the run's process, or in its worker's when that process is gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run as current
from prefect.states import Cancelled, Cancelling, Crashed

from lib.addresses import without_credentials
from lib.errors import WorkerError

RESTARTS = 2
RESTARTING = "Restarting"
"""Name of the state in which the set-up's automation schedules a crashed run again."""

_logger = logging.getLogger(__name__)

_PAGE = 200
"""Runs that the server lists at once, at most."""

_UNFINISHED = [state for state in StateType if state not in TERMINAL_STATES]


def refuse_endless_restarts() -> None:
    """Raise WorkerError for a deployed run that crashed more than twice: what ends its process would end it again."""
    identity = current.get_id()
    if identity is None or (current.get_run_count() or 0) <= RESTARTS or current.get_parent_flow_run_id():
        return
    with get_client(sync_client=True) as client:
        restarts = sum(state.name == RESTARTING for state in client.read_flow_run_states(UUID(identity)))
    if restarts > RESTARTS:
        raise WorkerError(
            f"this run crashed {restarts} times and is not begun again: see its log for what ended it (memory? machine?), "
            "then start a new one, which goes on from what is done"
        )


def descendants(client: SyncPrefectClient, run: UUID) -> Iterator[FlowRun]:
    """The flow runs that `run` started, and theirs, of any state."""
    ours = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]))
    children: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=ours, sort=FlowRunSort.ID_DESC, limit=_PAGE, offset=len(children)
    ):
        children += page
        if len(page) < _PAGE:
            break
    for child in children:
        yield child
        yield from descendants(client, child.id)


def unfinished_children(client: SyncPrefectClient, run: UUID) -> Iterator[FlowRun]:
    """The flow runs under `run` that have not ended, wherever they run; those that have ended may have such children."""
    for child in descendants(client, run):
        if child.state is None or child.state.type in _UNFINISHED:
            yield child


def cancel_children(run: FlowRun) -> list[FlowRun]:
    """Cancel what `run` started and nobody waits for: a worker ends a deployment's process; others ended with it."""
    cancelled = []
    with get_client(sync_client=True) as client:
        for child in unfinished_children(client, run.id):
            said = f"its parent {run.name!r} ended"
            state: State[Any] = Cancelling(message=said) if child.deployment_id else Cancelled(message=said)
            client.set_flow_run_state(child.id, state)
            cancelled.append(child)
    return cancelled


def crash_lost(runs: Iterable[UUID], why: str) -> None:
    """Mark runs whose process is gone as crashed, and with each what ran in its process; one that has ended stays so."""
    with get_client(sync_client=True) as client:
        for run in runs:
            inside = [child.id for child in unfinished_children(client, run) if child.deployment_id is None]
            for each in (*inside, run):
                client.set_flow_run_state(each, Crashed(message=why))


@contextmanager
def while_wanted(poll: float = 60.0) -> Iterator[None]:
    """Cancel this run of a deployment during the block when the run at its root has ended, other than by a crash.

    The root cancels it by itself, but for when its own worker is gone: then no hook of it runs, and this would compute for
    nobody, as long as it likes.
    """
    own, root = current.get_id(), current.get_root_flow_run_id()
    if own is None or root is None or own == root:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(poll):
            with suppress(Exception), get_client(sync_client=True) as client:  # a server that is away says nothing
                state = client.read_flow_run(UUID(root)).state
                if state is not None and state.is_final() and not state.is_crashed():
                    _logger.warning("the run that submitted this has ended (%s); ending too", state.name)
                    client.set_flow_run_state(UUID(own), Cancelling(message=f"its pipeline ended {state.name}"))
                    return

    threading.Thread(target=watch, name="while-wanted", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def cancel_with_parent(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect's own clean-up would do this too, some time later."""
    cancel_children(flow_run)


def end_with_failure(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the children that are left, and report what failed and how to go on."""
    cancel_children(flow_run)
    _report(flow_run, state)


def end_with_crash(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Report the crash. Children of a deployed run go on: it is restarted, and waits for them. Others are cancelled."""
    if flow_run.parent_task_run_id is None and flow_run.deployment_id is None:
        cancel_children(flow_run)
    _report(flow_run, state)


def _report(run: FlowRun, state: State[Any]) -> None:
    if run.parent_task_run_id is not None:  # its parent reports
        return
    said = " ".join(without_credentials(state.message or "no message").split())
    if run.deployment_id is None:
        onward = "Run the same command again: it goes on from what is done."
    elif state.is_crashed():
        onward = (
            f"It is begun again by itself, {RESTARTS} times at most, and goes on from what is done. If it stays crashed, "
            "press *Retry*."
        )
    elif "ConfigError" in said:
        onward = (
            "Start a new run with other parameters (*Copy to new run* in the run's menu): this one would fail again."
        )
    else:
        onward = "Fix what the message names, then press *Retry*: it goes on from what is done."
    text = f"## {run.name}: {state.name}\n\n> {said}\n\n{onward}\n"
    with get_client(sync_client=True) as client:
        client.create_artifact(
            ArtifactCreate(
                key="what-failed",
                type="markdown",
                description=f"{run.name}: {said[:200]}",
                data=text,
                flow_run_id=run.id,
            )
        )


ENDS: dict[str, Any] = {
    "on_cancellation": [cancel_with_parent],
    "on_failure": [end_with_failure],
    "on_crashed": [end_with_crash],
}
"""Hooks shared by all flows that start others."""
