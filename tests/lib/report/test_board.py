"""The leaderboard as a table: each figure is that of its entry, and an interval lies where its axis has it."""

from __future__ import annotations

import doctest
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.evaluation.intervals import Interval
from lib.graph.leaderboard import leaderboard
from lib.report import board, forest
from lib.report.board import boards
from lib.report.forest import Axis, drawn, stacked


@pytest.fixture(scope="module")
def entries(small_run):
    return leaderboard(small_run.records, small_run.record.result.main)


def places(markup: str, pattern: str) -> list[float]:
    return [float(each) for found in re.findall(pattern, markup) for each in np.atleast_1d(found)]


@pytest.mark.parametrize("module", [board, forest])
def test_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_each_line_has_its_entry_s_figures(entries):
    found = list(boards(entries))
    assert [board.quantity for board in found] == ["test accuracy"] * 2
    lines = [line for board in found for line in (*board.first, *board.more)]
    assert [line.score for line in lines] == [f"{entry.score.estimate:.3f}" for entry in entries]
    assert [line.parameters for line in lines] == [entry.parameters for entry in entries]
    assert [line.chosen for line in lines].count(True) == len(found)
    for line, entry in zip(lines, entries, strict=True):
        if entry.difference is None:
            assert (line.difference, line.standing) == ("", "")
        else:
            assert float(line.difference.replace("−", "-")) == pytest.approx(entry.difference.estimate, abs=0.0005)
            assert line.standing == entry.standing.value
        assert f"{entry.model}: {entry.score.estimate:.3f}" in line.picture
    assert [board.studies for board in found] == [False, False]
    assert all(board.note.endswith(f"by {entries[-1].test}.") for board in found[1:])
    assert "by McNemar's exact test" in found[1].note


def test_of_many_models_the_best_stand_first_and_the_others_follow(entries):
    group = [replace(entries[0], settings=f"{number}") for number in range(30)]
    (board,) = boards(group)
    assert (len(board.first), len(board.more)) == (12, 18)


def test_a_score_that_is_not_finite_says_so(entries):
    lost = replace(entries[-1], score=Interval(np.nan, np.nan, np.nan), seeds=(np.nan,))
    *_, line = next(boards([replace(entry, digest="one") for entry in (*entries[:3], lost)])).first
    assert line.score == "not finite"
    assert "circle" not in line.picture


@given(st.floats(-2, 2), st.floats(0.001, 3))
def test_ticks_are_round_and_within_the_axis(low, width):
    axis = Axis.between(low, low + width)
    assert 2 <= len(axis.ticks) <= 6
    assert all(low - 1e-9 <= tick <= low + width + 1e-9 for tick in axis.ticks)
    steps = np.diff(axis.ticks)
    assert np.allclose(steps, steps[0])
    assert f"{steps[0]:.0e}"[0] in "125"


def test_an_interval_lies_on_its_axis_as_its_numbers_do():
    axis = Axis.between(0.5, 1.0)
    markup = drawn(axis, Interval(0.8, 0.7, 0.9), "a model: 0.800", dots=(0.7, 0.9), line=0.75)
    low, mean, high = (7 + 246 * share for share in (0.4, 0.6, 0.8))
    assert places(markup, r'class="bar" d="M([\d.]+) 11H([\d.]+)"') == pytest.approx([low, high], abs=0.05)
    assert places(markup, r'class="mark" cx="([\d.]+)"') == pytest.approx([mean], abs=0.05)
    assert places(markup, r'class="dot" cx="([\d.]+)"') == pytest.approx([low, high], abs=0.05)
    assert places(markup, r'class="line" d="M([\d.]+) ') == pytest.approx([7 + 246 * 0.5], abs=0.05)
    assert 'aria-label="a model: 0.800"' in markup


def test_what_lies_beyond_the_axis_is_an_arrow_at_its_edge():
    markup = drawn(Axis.between(0.5, 1.0), Interval(0.2, 0.1, 0.3), "a poor model")
    assert 'class="beyond" d="M8 6L1 11L8 16Z"' in markup
    assert 'class="mark"' not in markup


def test_differences_are_stacked_beside_their_line():
    markup = stacked(Axis.between(-1, 1), [Interval(0.5, 0.25, 0.75), Interval(-0.5, -0.75, -0.25)], "two", 0.0)
    assert places(markup, r'cy="([\d.]+)"') == [5.5, 16.5]
    assert places(markup, r'class="line" d="M([\d.]+) ') == [130.0]
