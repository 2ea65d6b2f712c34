"""What a search is to the loop that asks it for configurations, trains them, and tells it what came of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from lib.mlp.course import Course
from lib.search.space import Dimension, Point


class Search(Protocol):
    """Proposes configurations, round by round.

    Attributes
    ----------
    dimensions : tuple of Dimension
        What varies.
    """

    @property
    def dimensions(self) -> tuple[Dimension, ...]: ...

    def ask(self) -> list[dict[str, Any]]:
        """Trial settings of the next round's configurations; none when the search is over."""

    def tell(self, results: Sequence[Sequence[Course]]) -> None:
        """What came of the round asked for last: each configuration's results, one a seed."""

    def points(self) -> list[Point]:
        """Where in the dimensions each configuration lies, in the order asked for."""


def objective(results: Sequence[Course]) -> float:
    """Best validation loss, in nats, as a mean over seeds; infinite when any seed diverged."""
    if any(result.ended == "diverged" for result in results):
        return math.inf
    loss = float(np.mean([result.best_validation_loss for result in results]))
    return loss if math.isfinite(loss) else math.inf
