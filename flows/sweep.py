"""One sweep: many trials over one dataset, compared along one axis (reference study, parts A, B and C)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.settings import chosen, sweep_on_data
from lib.config import ProfileName, SweepName, SweepStudy, Workers, workers_here
from tasks.chunks import CHUNK_FLOW, plan_chunks, train_on_worker
from tasks.ends import ENDS, refuse_endless_restarts
from tasks.pool import await_predecessors, hand_out
from tasks.sweep import train_sweep
from tasks.tracking import show_study


@flow(name="sweep", flow_run_name=sweep_on_data, **ENDS)
def sweep(
    name: SweepName = "hidden_units", study: SweepStudy | ProfileName = "embedded", workers: Workers | None = None
) -> dict[str, Any]:
    """Run a sweep, many trials over one dataset compared along one axis, and record it.

    Args:
        name: Which sweep.
        study: Its settings, or the built-in profile that has them.
        workers: Who trains the trials; what PROBEFLOW_POOL and PROBEFLOW_CHUNKS say where this runs when empty.
    """
    refuse_endless_restarts()
    study = chosen(study).sweep(name) if isinstance(study, str) else study
    workers = workers or workers_here()
    if workers.pool is not None:
        await_predecessors(CHUNK_FLOW, workers.pool)
        chunks = plan_chunks(name, study, workers.pool, workers.chunks)
        given = {"name": name, "study": study, "pool": workers.pool, "minutes": workers.chunk_minutes}
        hand_out(train_on_worker, [given | chunk for chunk in chunks], f"{name} on {workers.pool}")
    return show_study(train_sweep(name, study))  # finds the trials that workers have trained
