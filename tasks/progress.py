"""How far a pipeline's run is, as a progress artifact of Prefect."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

KEY = "progress"


class NodesDone:
    """A bar in Prefect's pages for the nodes of a run that are done, of `total`."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total
        made: Any = create_progress_artifact(0.0, key=KEY, description=f"0 of {total} nodes are done")
        self._id: UUID = made  # called in a flow's own thread, where it is no coroutine

    def add(self, name: str) -> None:
        """The node `name` is done and logged."""
        self._done += 1
        update_progress_artifact(
            self._id,
            100 * self._done / self._total,
            description=f"{self._done} of {self._total} nodes are done, {name} last",
        )
