"""One sweep: many trials over one dataset, compared along one axis (reference study, parts A, B and C)."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.futures import as_completed

from lib.config import SweepName, SweepStudy, Workers, workers_here
from lib.progress import bar
from tasks.chunks import begin, give_up, plan_chunks, train_on_worker
from tasks.sweep import train_sweep
from tasks.tracking import show_study


@flow(name="sweep", flow_run_name="{name} on {study.data.source}")
def sweep(name: SweepName, study: SweepStudy, workers: Workers | None = None) -> dict[str, Any]:
    """Run the sweep `name` and record it.

    Parameters
    ----------
    workers : Workers
        Who trains the trials; what PROBEFLOW_POOL and PROBEFLOW_CHUNKS say when not given.
    """
    workers = workers or workers_here()
    if workers.pool is not None:
        _train_on_workers(name, study, workers.pool, workers.chunks)
    return show_study(train_sweep(name, study))  # finds the trials that workers have trained


def _train_on_workers(name: SweepName, study: SweepStudy, pool: str, count: int | None) -> None:
    chunks = plan_chunks(name, study, pool, count)
    begin()
    try:
        waiting = [train_on_worker.submit(name, study, pool, **chunk) for chunk in chunks]
        with bar(f"{name} on {pool}", len(waiting), "chunk") as advance:
            for _ in as_completed(waiting):
                advance(1)
    except BaseException:
        give_up()
        raise
    for done in waiting:
        done.result()
