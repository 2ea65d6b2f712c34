"""Prefect's side of getting data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from prefect import task

from lib.config import places
from lib.datasets.sources import Source
from tasks.policy import POLICY


@task(name="acquire", task_run_name="acquire {source.source}", **POLICY)
def acquire_source(source: Source) -> dict[str, Any]:
    """Fetch and verify one source, refuse leakage, and describe it."""
    from lib.datasets import acquire, require_no_leakage
    from lib.studies.record import DatasetNote

    where = places()
    dataset = acquire(source, where.data, where.mirror)
    require_no_leakage(dataset)
    return asdict(DatasetNote.of(dataset))
