"""A study's tables as the page shows them: nothing is lost where columns are put together."""

from __future__ import annotations

import numpy as np
import pytest

from lib.report.tables import merged, table


def test_a_figure_its_spread_and_its_interval_are_one_cell():
    head = ["variant", "loss", "loss_standard_deviation", "loss_low", "loss_high", "flags"]
    names, rows = merged(head, [["sgd", "0.25", "0.0123456", "0.2", "0.3", "none"], ["one", "0.5", "", "", "", ""]])
    assert names == ["variant", "loss ± standard deviation (low to high)", "flags"]
    assert rows == [["sgd", "0.25 ± 0.01235 (0.2 to 0.3)", "none"], ["one", "0.5", ""]]


def test_ends_without_a_figure_and_a_low_without_a_high_stay_columns():
    names, rows = merged(["x", "wilson_low", "wilson_high", "tide_low"], [["1", "0.5", "1.5", "7"]])
    assert names == ["x", "wilson low", "wilson high", "tide low"]
    assert rows == [["1", "0.5", "1.5", "7"]]


def test_a_wide_table_of_few_rows_is_laid_on_its_side_by_the_column_that_names_them():
    head = ["variant", "label", *(f"m{number}" for number in range(8))]
    found = table(
        "comparison of models", "comparison.csv", head, [["sgd", "one", *"12345678"], ["sgd", "two", *"abcdefgh"]]
    )
    assert found.name == "comparison of models"
    assert found.on_its_side
    assert list(found.head) == ["label", "one", "two"]
    assert [list(row) for row in found.rows[:2]] == [["variant", "sgd", "sgd"], ["m0", "1", "a"]]
    assert (found.shown, found.count) == (2, 2)
    unnamed = table("x", "x.csv", head, [["sgd", "one", *"12345678"], ["sgd", "one", *"12345678"]])
    assert not unnamed.on_its_side
    assert len(unnamed.rows) == 2


def test_of_many_rows_the_first_are_shown_and_a_very_wide_table_is_named():
    found = table("points", "points.csv", ["row", "x"], [[str(number), "0.123456"] for number in range(1000)])
    assert (found.shown, found.count) == (10, 1000)
    assert list(found.rows[-1]) == ["9", "0.1235"]
    wide = table("wide", "wide.csv", [f"c{number}" for number in range(61)], [["1"] * 61])
    assert (wide.rows, wide.count) == ((), 1)


def test_a_spread_of_rounding_alone_is_none():
    _, rows = merged(
        ["accuracy", "accuracy_standard_deviation"],
        [["0.8", repr(float(np.std([0.8, 0.8, 0.1 + 0.7], ddof=1)))], ["0.8", "0.001"]],
    )
    assert rows == [["0.8 ± 0"], ["0.8 ± 0.001"]]


@pytest.mark.parametrize("names", [("1.50", "2.25000"), ("1e5", "2"), ("2024.10", "cat"), ("1_000.5", "3.14159265")])
def test_names_that_look_like_numbers_stay_as_they_are(names):
    _, rows = merged(["class", "f1"], [[names[0], "0.123456"], [names[1], "1.0"]])
    assert rows == [[names[0], "0.1235"], [names[1], "1"]]
