"""How far a pipeline's run is, as a progress artifact of Prefect."""

from __future__ import annotations

from prefect.artifacts import create_progress_artifact, update_progress_artifact

KEY = "progress"


class NodesDone:
    """A bar in Prefect's pages for the nodes of a run that are done, of `total`."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total
        self._id = create_progress_artifact(0.0, key=KEY, description=f"0 of {total} nodes are done")

    def add(self, name: str) -> None:
        """The node `name` is done and logged."""
        self._done += 1
        update_progress_artifact(
            self._id,
            100 * self._done / self._total,
            description=f"{self._done} of {self._total} nodes are done, {name} last",
        )
