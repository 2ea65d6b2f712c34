"""Which configurations an arm trains: all of a grid, or rounds that a sampler proposes. A loop asks, trains and tells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lib.config import Arm
from lib.mlp.training import TrialResult
from lib.storage.copies import fetch_file


class Search(Protocol):
    """Proposes configurations, round by round."""

    def ask(self) -> list[dict[str, Any]]:
        """Trial settings of the next round's configurations; none when the search is over."""

    def tell(self, results: Sequence[Sequence[TrialResult]]) -> None:
        """What came of the round asked for last: each configuration's results, one a seed."""


class GridSearch:
    """Every combination, in one round."""

    def __init__(self, arm: Arm) -> None:
        self._left = arm.combinations()

    def ask(self) -> list[dict[str, Any]]:
        """All at first, then none."""
        asked, self._left = self._left, []
        return asked

    def tell(self, results: Sequence[Sequence[TrialResult]]) -> None:
        """Nothing depends on it."""


def objective(results: Sequence[TrialResult]) -> float:
    """Best validation loss, in nats, as a mean over seeds; infinite when any seed diverged."""
    if any(result.ended == "diverged" for result in results):
        return math.inf
    loss = float(np.mean([result.best_validation_loss for result in results]))
    return loss if math.isfinite(loss) else math.inf


def open_search(arm: Arm, folder: Path, name: str) -> Search:
    """The search of the arm `name`; its journal, if it needs one, lies in `folder` as `search-<name>.log`."""
    if arm.search is None:
        return GridSearch(arm)
    from lib.studies.optuna_search import OptunaSearch

    journal = folder / f"search-{name}.log"
    fetch_file(journal)
    return OptunaSearch(arm.search, journal, name)
