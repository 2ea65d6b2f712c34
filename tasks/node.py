"""Prefect's side of a profile's nodes: checked, then each run here or by the workers of a pool (see `pool`).

A record is what a task returns, as the folder that it lies in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from prefect import task
from prefect.artifacts import create_markdown_artifact

from lib.errors import ChangedError, DataError
from lib.graph import check_graph, ready_node, summarise
from lib.graph.history import history
from lib.graph.inputs import ReadyNode
from lib.locks import gpu_to_itself
from lib.places import Places, Workers, places
from lib.profile import Profile, parse_profile
from lib.progress import running
from lib.storage.copies import shown
from lib.studies.presentation import escaped
from lib.studies.record import RECORD, open_record
from lib.studies.study import Record, Work
from tasks.policy import POLICY
from tasks.pool import Job, run_on_worker, submit_all, workers_online

CHUNK_FLOW = "chunk"
_AGAIN = 3

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@task(name="check", task_run_name="data and studies", **POLICY)
def check(profile: Profile, names: Sequence[str], workers: Workers) -> list[str]:
    """Fetch, verify and refuse ahead; the nodes that are to compute. What was understood is logged, and an artifact."""
    with running("data") as log:
        ahead = check_graph(profile, names, places(), here=workers.pool is None)
        left = [node.name for node in ahead.nodes if node.forecast is not None]
        if workers.pool is not None and left:
            workers_online(workers.pool, CHUNK_FLOW)
        lines = list(ahead.lines())
        for line in lines:
            _logger.info("%s", line)
        text = "\n".join(f"- {escaped(line)}" for line in lines)
        create_markdown_artifact(
            text, key="preflight", description="What was understood of the data, and what is to do"
        )
        log(f"{len(ahead.data)} checked")
    return left


@task(name="node", task_run_name="{name}", **POLICY)
def run_here(profile: Profile, name: str) -> str:
    """Run one node in this process, or find its record; returns the record's folder."""

    def step() -> Record[Any]:
        where = places()
        node = ready_node(profile, name, where)
        with _sampled(node, where):
            return node.run()

    with running(name, profile.graph[name].kind) as log:
        record = while_data_changes(step)
        log(record.present().headline)
    return str(record.folder)


@task(name="node", task_run_name="{name} on {workers.pool}", **POLICY)
def run_on_pool(profile: Profile, name: str, workers: Workers) -> str:
    """Have one node run by workers of a pool; returns the record's folder.

    First the missing pieces of its work side by side, if its kind can cut it; then one worker does the whole, which finds
    what the pieces stored. Nothing is computed here.

    Raises ConfigError when there is no server, pool, deployment or worker, or this flow is itself in the pool;
    WorkerError when a child ended otherwise than well in each attempt.
    """

    def step() -> Record[Any]:
        node = ready_node(profile, name, places())
        if record := node.finished():
            return record
        given: dict[str, Any] = {"profile": dict(node.profile), "node": name, "pool": workers.pool}
        given["minutes"] = workers.chunk_minutes
        pieces = _cut(name, node.work(), workers)
        submit_all(on_worker, [given | piece for piece in pieces], f"{name} on {workers.pool}")
        whole = [str(node.folder.path / RECORD)]
        on_worker(**given, title=name, positions=None, key=node.folder.key, results=whole)
        return open_record(node.folder.path)

    with running(name, profile.graph[name].kind) as log:
        record = while_data_changes(step)
        log(record.present().headline)
    return str(record.folder)


def _cut(name: str, work: Work | None, workers: Workers) -> list[dict[str, Any]]:
    """Pieces with something not stored yet, as parameters of `on_worker`; none for one, which the whole node's worker does."""
    assert workers.pool is not None
    online = workers_online(workers.pool, CHUNK_FLOW)
    if work is None:
        return []
    pieces = [
        {
            "title": f"{name} chunk {piece.number} of {piece.of}",
            "positions": list(piece.positions),
            "key": work.key,
            "results": [str(file) for file in work.results(piece.positions)],
        }
        for piece in work.pieces(workers.chunks or online, workers.chunk_images)
        if work.missing(piece.positions)
    ]
    return pieces if len(pieces) > 1 else []


@task(name="on-worker", task_run_name="{title}", **POLICY)
def on_worker(
    profile: dict[str, Any],
    node: str,
    pool: str,
    title: str,
    positions: list[int] | None,
    key: str,
    results: list[str],
    minutes: int | None = None,
) -> dict[str, Any]:
    """Have a worker of `pool` do some positions of a node's work, or the whole node, and wait for it.

    `results`: files that must be there afterwards.
    `minutes`: a child that runs longer hangs.

    Raises WorkerError when the child failed or crashed in each attempt, was cancelled or never begun, or its results
    are not there; ChangedError when the worker met a file that is not what it was when it was verified.
    """
    parameters = {"profile": profile, "node": node, "positions": positions, "key": key}
    part = "whole" if positions is None else title.removeprefix(node).strip()
    return run_on_worker(Job(CHUNK_FLOW, title, parameters, f"{node}:{key[:16]}:{part}", results), pool, minutes)


@task(name="do", task_run_name="{node}", **{**POLICY, "retries": 0})  # the parent submits it again
def do(profile: dict[str, Any], node: str, positions: list[int] | None, key: str) -> dict[str, int]:
    """Do those of a node's `positions` that are missing, or the whole node; returns how many these were.

    On a GPU it waits until no other chunk computes there.

    Raises DataError when the data or the version of probeflow is another here than where the work was cut.
    """
    where = places()
    found = ready_node(parse_profile(profile), node, where)
    with gpu_to_itself(getattr(found.settings, "device", "auto"), where.locks), _sampled(found, where):
        if positions is None:
            _require_key(node, found.folder.key, key)
            found.run()
            return {"done": 1}
        work = found.work()
        if work is None:
            return {"done": 0}  # another run of it has sealed the record since
        _require_key(node, work.key, key)
        return {"done": work.do(positions)}


def _sampled(node: ReadyNode, where: Places) -> AbstractContextManager[None]:
    """Sample the machine while the node computes, if PROBEFLOW_SYSTEM_METRICS says so."""
    if not where.system_metrics:
        return nullcontext()
    from lib.tracking.system_metrics import sampled

    return sampled(node.folder.path)


def _require_key(node: str, here: str, there: str) -> None:
    if here != there:
        raise DataError(
            f"{node} has key {here[:16]} on this worker and {there[:16]} where its work was cut: their data, weights or "
            "versions of probeflow differ; give both the same"
        )


@task(name="summarise", **POLICY)
def summarise_run(profile: Profile, folders: dict[str, str]) -> str:
    """The run's own record over the records in `folders`, with report and history beside it; returns its folder."""
    from lib.report import write_report
    from lib.report.history import HISTORY, write_history

    with running("report") as log:
        records = {name: open_record(Path(folder)) for name, folder in folders.items()}
        record = summarise(profile, records, places())
        log(shown(write_report(record, records)))
        if not (record.folder / HISTORY).exists():  # it is of this run and those before, whose records stay
            write_history(history(record.folder.parent.parent, profile.name))
    return str(record.folder)


def while_data_changes(step: Callable[[], _T]) -> _T:
    """Do `step`, and again up to three times when a file changed since it was verified; then raise ChangedError."""
    for _ in range(_AGAIN):
        try:
            return step()
        except ChangedError as error:
            _logger.warning("%s; verifying the data again", error)
    return step()
