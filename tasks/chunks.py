"""Prefect's side of a sweep on a work pool: chunks of its trials, each done by a worker (see `pool`)."""

from __future__ import annotations

from typing import Any

from prefect import task

from lib.config import SweepName, SweepStudy, places
from lib.gpu import gpu_to_itself
from tasks.policy import POLICY
from tasks.pool import Piece, run_on_worker, workers_online

CHUNK_FLOW = "sweep-chunk"


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
    online = workers_online(pool, CHUNK_FLOW)
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
    minutes: int | None = None,
) -> dict[str, Any]:
    """Have one chunk trained by a worker of `pool` and wait for it; returns the child flow run's name and id.

    `results` are the files that must be there afterwards; a chunk that runs longer than so many `minutes` hangs.

    Raises
    ------
    WorkerError
        When the chunk failed or crashed in each attempt, was cancelled or never begun, or its results are not where they
        should be.
    """
    parameters = {"name": name, "study": study.model_dump(mode="json"), "trials": trials, "key": key}
    title = f"{name} chunk {number} of {of}"
    return run_on_worker(Piece(CHUNK_FLOW, title, parameters, f"{key[:16]}:{number}/{of}", results), pool, minutes)


@task(name="train-chunk", task_run_name="{name}", **{**POLICY, "retries": 0})  # the parent submits it again
def train_chunk(name: SweepName, study: SweepStudy, trials: list[int], key: str) -> dict[str, int]:
    """Train the trials that are missing; returns how many were stored and how many were trained.

    On a GPU it waits until no other chunk computes there.
    """
    from lib.datasets import acquire
    from lib.studies import work

    where = places()
    dataset = acquire(study.data, where.data, where.mirror)
    with gpu_to_itself("auto"):
        return work.train_chunk(name, study, dataset, where.studies, trials, key)
