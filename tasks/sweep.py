"""Prefect's side of a sweep."""

from __future__ import annotations

from prefect import task

from lib.config import SweepName, SweepStudy, places
from tasks.policy import POLICY


@task(name="train-sweep", task_run_name="{name}", **POLICY)
def train_sweep(name: SweepName, study: SweepStudy) -> str:
    """Train the trials that are missing; returns the study record's folder."""
    from lib.datasets import acquire
    from lib.studies.sweep import run_sweep

    where = places()
    dataset = acquire(study.data, where.data, where.mirror)
    return str(run_sweep(name, study, dataset, where.studies).folder)
