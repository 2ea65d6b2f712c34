"""Scores in rows and along a setting: what is drawn of each, what is written, and where an axis ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lib.figures.axis_window import Window
from lib.figures.intervals import Level, Row, Series, Spread, along, ranked
from lib.figures.style import HOVER
from lib.figures.vector import svg_bytes


def row(name: str, values: list[float], low: float | None = None, high: float | None = None, **more) -> Row:
    return Row("network", name, Spread(values, low, high), **more)


def marks(axis, marker: str) -> list[tuple[float, float]]:
    return [(*line.get_xdata(), *line.get_ydata()) for line in axis.lines if line.get_marker() == marker]


def test_a_row_has_its_seeds_its_mean_and_its_interval_drawn_and_in_words():
    (axis,) = ranked([row("relu", [0.90, 0.92, 0.94], 0.87, 0.97), row("tanh", [0.8])], "Title", "accuracy").axes
    assert [text.get_text() for text in axis.texts] == ["0.920 (0.870 to 0.970)", "0.800"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["tanh", "relu"][::-1]
    assert marks(axis, "o") == [(pytest.approx(0.92), 1), (0.8, 0)]
    assert [tuple(line.get_xdata()) for line in axis.lines if len(line.get_xdata()) == 2] == [(0.87, 0.97)]
    assert np.asarray(axis.collections[0].get_offsets()).tolist() == [[0.90, 1], [0.92, 1], [0.94, 1]]


def test_a_row_that_is_not_finite_says_so():
    (axis,) = ranked([row("lost", [0.5, math.nan, 0.7]), row("kept", [0.5, 0.6])], "Title", "accuracy").axes
    assert axis.texts[0].get_text() == "not finite"


def test_one_poor_row_does_not_squash_the_others_and_stands_as_an_arrow():
    good = [row(f"{i}", [0.95 + i / 1000, 0.951, 0.952]) for i in range(9)]
    (axis,) = ranked([*good, row("poor", [0.2, 0.3, 0.2])], "Title", "accuracy").axes
    assert axis.get_xlim()[0] > 0.9
    assert marks(axis, "<") == [(axis.get_xlim()[0], 0)]
    assert axis.get_xlabel() == "accuracy\narrow: goes on beyond the axis"
    assert ranked(good, "Title", "accuracy").axes[0].get_xlabel() == "accuracy"


def test_of_many_rows_the_better_half_decides_how_wide_the_axis_is():
    good = [row(f"{place}", [0.95 - place / 100, 0.951 - place / 100]) for place in range(6)]
    poor = [row(f"{place}", [0.7 - place / 10, 0.71 - place / 10]) for place in range(6)]
    (axis,) = ranked([*good, *poor], "Title", "accuracy").axes
    assert 0.83 < axis.get_xlim()[0] < 0.9
    assert [height for _, height in marks(axis, "<")] == [5, 4, 3, 2, 1, 0]
    (few,) = ranked([*good[:2], *poor[:2]], "Title", "accuracy").axes
    assert few.get_xlim()[0] < 0.6


def test_where_the_better_half_are_alike_all_decide_how_wide_the_axis_is():
    rows = [row(f"{place}", [score]) for place, score in enumerate([1.0] * 7 + [0.9, 0.9, 0.9, 0.8, 0.7])]
    (axis,) = ranked(rows, "Title", "accuracy").axes
    assert axis.get_xlim()[0] < 0.7
    assert marks(axis, "<") == []


def test_the_best_row_is_on_the_axis_however_far_above():
    good = [row(f"{i}", [0.5 + i / 1000, 0.51]) for i in range(4)]
    (axis,) = ranked([row("best", [0.9, 1.0]), *good], "Title", "accuracy").axes
    assert axis.get_xlim()[1] > 1
    assert marks(axis, "<") == marks(axis, ">") == []


def test_a_row_aside_does_not_widen_the_axis():
    rows = [row("a", [0.9, 0.91]), row("b", [0.92, 0.9])]
    ends = [
        ranked([*rows, row("blind", [0.84], aside=aside)], "T", "accuracy").axes[0].get_xlim()[0]
        for aside in (True, False)
    ]
    assert ends[1] < 0.84 < ends[0]


def test_groups_have_a_colour_and_a_key_each_and_more_groups_than_colours_are_drawn():
    rows = [Row(f"variant {index}", "x", Spread([0.8, 0.9], 0.7, 1.0)) for index in range(12)]
    figure = ranked(rows, "Title", "accuracy")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [each.group for each in rows]
    assert ranked(rows[:1], "Title", "accuracy").legends == []


@pytest.mark.parametrize("drawn", ["rows", "along"])
def test_a_baseline_that_is_near_is_a_line_and_one_far_off_is_named_only(drawn):
    levels = [Level("near", 0.85), Level("far", 0.1)]
    spread = Spread([0.8, 0.9], 0.75, 0.95)
    if drawn == "rows":
        figure, bare = (ranked([row("a", [0.8, 0.9], 0.75, 0.95)], "T", "accuracy", each) for each in (levels, ()))
    else:
        series = [Series("network", [1, 10], [spread, spread])]
        figure, bare = (along(series, None, "T", "rate", "accuracy", each) for each in (levels, ()))
    (axis,), (plain,) = figure.axes, bare.axes
    assert len(axis.lines) == len(plain.lines) + 1
    data = axis.lines[-1].get_xdata() if drawn == "rows" else axis.lines[-1].get_ydata()
    assert set(data) == {0.85}
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[-2:] == ["near: 0.850", "far: 0.100"]


def test_along_numbers_means_are_a_line_in_a_band_and_every_seed_is_a_dot():
    spreads = [Spread([0.7, 0.8], 0.6, 0.9), Spread([0.85, 0.95], 0.8, 1.0)]
    (axis,) = along([Series("sgd", [0.01, 0.1], spreads)], None, "T", "learning rate", "accuracy", log=True).axes
    assert axis.get_xscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0.01", "0.1"]
    assert axis.lines[0].get_xydata().tolist() == [[0.01, pytest.approx(0.75)], [0.1, pytest.approx(0.9)]]
    band, *dots = axis.collections
    assert {tuple(point) for point in band.get_paths()[0].vertices.tolist()} == {
        (0.01, 0.6),
        (0.01, 0.9),
        (0.1, 0.8),
        (0.1, 1.0),
    }
    assert [np.asarray(each.get_offsets())[:, 1].tolist() for each in dots] == [[0.7, 0.8], [0.85, 0.95]]


def test_words_have_no_order_and_no_line_between_them_and_a_baseline_at_the_same_settings_is_hollow():
    spreads = [Spread([0.8, 0.9], 0.7, 1.0), Spread([0.85, 0.95], 0.8, 1.0)]
    series = [Series("network", [0, 1], spreads), Series("theirs", [0, 1], spreads, hollow=True)]
    figure = along(series, [(0, "relu"), (1, "tanh")], "T", "activation", "accuracy")
    (axis,) = figure.axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["relu", "tanh"]
    assert all(len(set(line.get_xdata())) == 1 for line in axis.lines)
    assert len({x for x, _ in marks(axis, "o")}) == 4  # side by side
    hollow = [line.get_markerfacecolor() != line.get_color() for line in axis.lines if line.get_marker() == "o"]
    assert hollow == [False, False, True, True]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["network", "theirs"]


def test_a_score_far_below_is_an_arrow_with_its_value():
    spreads = [Spread([0.95 + place / 1000], None, None) for place in range(6)] + [Spread([0.1], None, None)]
    ticks = [(place, f"{place}") for place in range(7)]
    (axis,) = along([Series("a", list(range(7)), spreads)], ticks, "T", "x", "accuracy").axes
    assert marks(axis, "v") == [(6, axis.get_ylim()[0])]
    assert [text.get_text() for text in axis.texts] == ["0.10"]
    assert along([Series("a", list(range(7)), spreads)], None, "T", "x", "accuracy").axes[0].get_ylim()[0] < 0.1


def test_what_is_drawn_says_its_value_when_it_is_pointed_at():
    figure = ranked([row("price in $ <b>", [0.90, 0.92], 0.87, 0.97)], "Title", "accuracy")
    text = svg_bytes(figure).decode()
    assert f'id="{HOVER}price in $ &lt;b&gt;: 0.910 (0.870 to 0.970)"' in text


def test_a_window_without_values_is_that_of_shares():
    assert Window.around([[]], []) == Window(0.0, 1.0)
