"""A part of a sweep, as a work pool's worker runs it: `python -m flows deploy --pool POOL` makes it a deployment."""

from __future__ import annotations

from prefect import flow

from lib.config import SweepName, SweepStudy
from tasks.chunks import CHUNK_FLOW, train_chunk
from tasks.ends import while_wanted


@flow(name=CHUNK_FLOW)
def sweep_chunk(name: SweepName, study: SweepStudy, trials: list[int], key: str) -> dict[str, int]:
    """Train some trials of the sweep `name` and keep their results in the study's folder, which is shared.

    Args:
        name: Which sweep.
        study: The sweep's settings.
        trials: Positions in the study's list of trials.
        key: The study's key where it was cut; data or a version that differs here is refused.
    """
    with while_wanted():
        return train_chunk(name, study, trials, key)
