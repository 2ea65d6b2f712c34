"""Part of a node, or a whole one, as a work pool's worker runs it: `deploy --pool POOL` makes it a deployment."""

from __future__ import annotations

from typing import Any

from prefect import flow

from tasks.ends import while_wanted
from tasks.node import CHUNK_FLOW, do


@flow(name=CHUNK_FLOW)
def chunk(profile: dict[str, Any], node: str, positions: list[int] | None, key: str) -> dict[str, int]:
    """Do part of a node's work and store it in the data folder, which is shared; or do the whole node and seal its record.

    Args:
        profile: The part of a profile that the node and what it needs form.
        node: The node's name.
        positions: Which units of the node's work; empty does the whole node, which finds the units that are stored.
        key: The work's key where it was cut; data or a version that differs here is refused.
    """
    with while_wanted():
        return do(profile, node, positions, key)
