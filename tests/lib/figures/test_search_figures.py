"""What is drawn of the settings that vary, held against slow loops on made-up losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from lib.figures.search import Attempt, parallel_coordinates
from lib.figures.vector import describe, svg_bytes
from lib.search.space import Dimension

UNITS = tuple(map(str, (5, 10, 20, 50, 100, 200, 400)))
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SPACE = {"hidden": UNITS, "activation": ("relu", "sigmoid", "tanh"), "learning_rate": RATES, "l2": (0.0, 0.001, 0.01)}
DIMENSIONS = tuple(Dimension(name, choices) for name, choices in SPACE.items())


def attempts(found: Iterable[tuple[Mapping[str, Any], float]]) -> list[Attempt]:
    """Configurations of these values and objectives, in this order."""
    return [Attempt(f"#{number}", values, objective) for number, (values, objective) in enumerate(found, 1)]


def lowest_of(many: list[Attempt]) -> Attempt:
    return min((each for each in many if each.finished), key=lambda each: each.objective)


@pytest.fixture(scope="module")
def many() -> list[Attempt]:
    """A grid of 504 configurations: the rate decides most, then the width; the highest rate diverges with ReLU."""
    noise = np.random.default_rng(0)
    found = []
    for values in itertools.product(*SPACE.values()):
        point = dict(zip(SPACE, values, strict=True))
        loss = 0.1 + 0.3 / int(point["hidden"]) + 0.2 * (math.log10(point["learning_rate"]) + 1) ** 2
        diverged = point["learning_rate"] == 1 and point["activation"] == "relu"
        found.append((point, math.inf if diverged else loss + 0.02 * noise.random()))
    return attempts(found)


def test_parallel_coordinates_of_500_say_whose_loss_is_lowest_and_stay_small(many):
    figure = parallel_coordinates(many, DIMENSIONS, "Title")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) in (4, 5)]
    assert len(lines) == 504
    assert f"lowest validation loss {lowest_of(many).objective:.3g}: {lowest_of(many).label}" in describe(figure)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["lowest validation loss", "lowest tenth (48)", "others", "halved or diverged"]
    assert len(svg_bytes(figure)) < 600_000  # the report draws no larger one


def test_parallel_coordinates_of_10_000_are_drawn_of_some_evenly_and_say_so():
    tried = attempts([({"a": 1 + step % 7, "b": step}, 1.0 + step) for step in range(10_000)])
    figure = parallel_coordinates(tried, (Dimension("a", tuple(range(1, 8))), Dimension("b", (), 0, 10_000)), "Title")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["lowest validation loss", "lowest tenth (500 of 1,000)", "others (500 of 9,000)"]
    assert len(figure.axes[0].lines) < 1_010
    assert len(svg_bytes(figure)) < 600_000
