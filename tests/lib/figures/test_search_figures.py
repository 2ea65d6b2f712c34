"""What is drawn of the settings that vary, held against slow loops on made-up losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from lib.figures.heat_map import heat_map
from lib.figures.search import Attempt, importance_bars, parallel_coordinates, search_history
from lib.figures.vector import describe, svg_bytes
from lib.search.space import Dimension

UNITS = tuple(map(str, (5, 10, 20, 50, 100, 200, 400)))
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SPACE = {"hidden": UNITS, "activation": ("relu", "sigmoid", "tanh"), "learning_rate": RATES, "l2": (0.0, 0.001, 0.01)}
DIMENSIONS = tuple(Dimension(name, choices) for name, choices in SPACE.items())


def attempts(found: Iterable[tuple[Mapping[str, Any], float]]) -> list[Attempt]:
    """Configurations of these values and objectives, in this order."""
    return [Attempt(number, f"#{number}", values, objective) for number, (values, objective) in enumerate(found, 1)]


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


def test_the_heat_map_has_the_lowest_loss_of_each_cell_and_frames_the_lowest_of_all(many):
    figure = heat_map(many, (DIMENSIONS[0], DIMENSIONS[2]), "Title")
    axis = figure.axes[0]
    shown = np.asarray(axis.images[0].get_array())
    for down, units in enumerate(UNITS):
        for across, rate in enumerate(RATES):
            cell = [
                each.objective
                for each in many
                if (each.values["hidden"], each.values["learning_rate"]) == (units, rate) and each.finished
            ]
            assert shown[down, across] == min(cell)
    (frame,) = axis.patches
    lowest = lowest_of(many)
    assert (frame.get_x() + 0.5, frame.get_y() + 0.5) == (
        RATES.index(lowest.values["learning_rate"]), UNITS.index(lowest.values["hidden"])
    )  # fmt: skip
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("learning rate", "hidden layers")
    assert f"framed: {lowest.objective:.3g}, the lowest" in describe(figure)
    assert f"down the side: {', '.join(UNITS)}" in describe(figure)


def test_a_cell_in_which_none_finished_is_marked_and_an_untried_one_is_empty():
    rows = attempts([({"a": 1, "b": 1}, 0.5), ({"a": 2, "b": 1}, math.inf), ({"a": 2, "b": 2}, 0.1)])
    figure = heat_map(rows, (Dimension("a", (1, 2)), Dimension("b", (1, 2))), "Title")
    assert {text.get_position(): text.get_text() for text in figure.axes[0].texts} == {
        (0, 0): "0.5", (1, 1): "0.1", (1, 0): "×"
    }  # fmt: skip
    assert "×: none finished" in figure.get_suptitle()
    assert "mean over seeds" in figure.get_suptitle()


def test_ranges_are_cut_into_cells_on_their_scale():
    rate, units = Dimension("learning_rate", (), 1e-4, 1, True), Dimension("depth", (), 1, 3, False, True)
    rows = attempts([({"learning_rate": value, "depth": 2}, value) for value in (1e-4, 1e-2, 0.99, 1.0)])
    figure = heat_map(rows, (rate, units), "Title")
    shown = np.ma.masked_invalid(np.asarray(figure.axes[0].images[0].get_array()))
    assert shown.shape == (3, 8)
    assert [tuple(map(int, place)) for place in zip(*np.nonzero(~shown.mask), strict=True)] == [(1, 0), (1, 4), (1, 7)]
    assert shown[1, 7] == 0.99
    edges = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert edges[::2] == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_a_side_of_many_values_names_every_nth(many):
    steps = tuple(range(40))
    rows = attempts([({"a": step, "b": 1 + step % 2}, 1.0 + step) for step in steps])
    axis = heat_map(rows, (Dimension("a", steps), Dimension("b", (1, 2))), "Title").axes[0]
    assert len(axis.get_xticks()) <= 14
    assert not axis.texts


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


def test_a_side_of_very_many_choices_is_cut_into_cells():
    tried = attempts([({"a": step, "b": step % 2}, 1.0 + step) for step in range(1000)])
    figure = heat_map(tried, (Dimension("a", tuple(range(1000))), Dimension("b", (0, 1))), "Title")
    values = np.asarray(figure.axes[0].images[0].get_array())
    assert values.shape == (2, 60)
    assert values[0, 0] == 1.0
    assert "of several in a cell, the lowest" in figure.get_suptitle()


def test_a_search_s_course_has_the_lowest_so_far_of_those_that_finished():
    tried = [
        Attempt(1, "a", {}, 0.5),
        Attempt(2, "b", {}, 0.1, halved=True),
        Attempt(3, "c", {}, math.inf),
        Attempt(4, "d", {}, 0.3),
        Attempt(5, "e", {}, 0.4),
    ]
    figure = search_history(tried, "Title")
    (best,) = figure.axes[0].lines
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([1, 4, 5], [0.5, 0.3, 0.3])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["configuration", "lowest so far", "halved (loss until then)", "diverged"]


def test_the_most_important_setting_is_on_top():
    axis = importance_bars({"learning_rate": 0.7, "l2": 0.3}, "Title").axes[0]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["L2", "learning rate"]
