"""A leaderboard on terminals of several widths: its numbers are the entries', its bars lie on one axis."""

from __future__ import annotations

import doctest
import io
import re
from dataclasses import replace

import pytest

from flows import board as module
from flows.board import board, interval_drawn, window
from flows.console import console_on, show
from lib.evaluation.intervals import Interval
from lib.graph import leaderboard
from lib.graph.leaderboard import same_rows
from lib.studies.entry import ModelKind, Standing


@pytest.fixture(scope="module")
def entries(small_run):
    return leaderboard(small_run.records, main="classifier")


def printed(entries, width: int, encoding: str = "utf-8") -> str:
    """What a file of this encoding has of it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    console = console_on(stream)
    console.width = width
    show(console, (part for parts in board(entries, console) for part in parts))
    return stream.buffer.getvalue().decode(encoding)


def signed(entry) -> str:
    mark = " *" if entry.standing in (Standing.BETTER, Standing.WORSE) else ""
    return "chosen" if entry.difference is None else f"{entry.difference.estimate:+.3f}{mark}"


def test_the_examples_are_true():
    assert doctest.testmod(module).failed == 0


def test_each_model_is_a_line_with_its_numbers_the_best_first(entries):
    text = printed(entries, 118)
    assert max(map(len, text.splitlines())) <= 118
    assert not re.search(r"\x1b|\s$", text.removesuffix("\n"), re.MULTILINE)
    for group in same_rows(entries):
        lines = iter(text[text.index(f"{group[0].data}, {group[0].count} test images\n") :].splitlines()[1:])
        assert "accuracy" in next(lines)
        for entry in group:
            line, score = next(lines), entry.score
            assert line.startswith(entry.model)
            assert f" {score.estimate:.3f} ({score.low:.3f} to {score.high:.3f}) " in line
            assert f" {signed(entry)} " in line
            assert line.count("○" if entry.kind is ModelKind.BASELINE else "●") == 1
        versus = "vs chosen: first seeds on the same images; " if any(len(entry.seeds) > 1 for entry in group) else ""
        assert next(lines).startswith(
            f"95 % intervals, ○ baselines; {versus}* significantly different from the chosen model, by "[:110]
        )


@pytest.mark.parametrize("width", [60, 40])
def test_narrow_terminals_have_what_matters_most(entries, width):
    text = printed(entries, width)
    assert max(map(len, text.splitlines())) <= width
    for entry in entries:
        shown = rf"^{re.escape(entry.model[:6])}.* {entry.score.estimate:.3f} +{re.escape(signed(entry))}"
        assert re.search(shown, text, re.MULTILINE)
    assert ("●" in text) == (width == 60)


def test_without_unicode_it_is_ascii_of_the_same_widths(entries):
    text, full = printed(entries, 100, "ascii"), printed(entries, 100)
    assert re.search(r" \[-*\*-*\] ", text)
    assert [line for line in text.splitlines() if "[" in line] == [
        line.translate(str.maketrans("╶╴─●○·–…", "[]-*o|- ")) for line in full.splitlines() if "╶" in line
    ]


def test_of_hundreds_of_models_the_first_are_shown_and_how_many_more(entries):
    group = next(same_rows(entries))
    many = [replace(group[0], settings=f"rate {number}", standing=Standing.NOT_COMPARED) for number in range(300)]
    text = printed(many, 118)
    assert len(text.splitlines()) < 40
    assert re.search(r"^and 276 more models, in the report$", text, re.MULTILINE)


def test_intervals_lie_on_one_axis_and_what_lies_beyond_is_an_arrow(entries):
    group = next(same_rows(entries))
    axis = window(group)
    assert 0 <= axis.low < axis.high <= 1
    for entry in group:
        drawn = interval_drawn(entry.score, axis, 101, hollow=True)
        ends = [(each - axis.low) / (axis.high - axis.low) * 100 for each in (entry.score.low, entry.score.high)]
        assert len(drawn) == 101
        if entry.score.low < entry.score.high:
            assert (drawn.index("╶"), drawn.index("╴")) == pytest.approx(ends, abs=0.5)
    beyond = interval_drawn(Interval(axis.high + 1, axis.low, axis.high + 2), axis, 21)
    assert beyond == f"╶{'─' * 19}▸"
    assert interval_drawn(Interval(float("nan"), 0.0, 0.0), axis, 5) == " " * 5
