"""One sweep: many trials over one dataset, compared along one axis (reference study, parts A, B and C)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from lib.config import SweepName, SweepStudy
from tasks.sweep import train_sweep
from tasks.tracking import show_study


@flow(name="sweep", flow_run_name="{name} on {study.data.source}")
def sweep(name: SweepName, study: SweepStudy) -> dict[str, Any]:
    """Run the sweep `name` and record it."""
    return show_study(train_sweep(name, study))
