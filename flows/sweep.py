"""One sweep: many trials over one dataset, compared along one axis (reference study, parts A, B and C)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from lib.config import SweepName, SweepStudy, Workers, workers_here
from tasks.chunks import plan_chunks, train_on_worker
from tasks.pool import hand_out
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
        chunks = plan_chunks(name, study, workers.pool, workers.chunks)
        given = {"name": name, "study": study, "pool": workers.pool}
        hand_out(train_on_worker, [given | chunk for chunk in chunks], f"{name} on {workers.pool}")
    return show_study(train_sweep(name, study))  # finds the trials that workers have trained
