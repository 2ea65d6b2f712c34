"""A study's table as the page shows it: a figure and its interval in one cell, and a wide table of few rows on its side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib.text import number

_ROWS, _COLUMNS = 60, 60
"""Of a table with more rows the first few are shown; one with more columns is only named."""
_FIRST = 10
_WIDE, _FEW = 8, 6
"""A table of more columns than that and of at most so many rows is laid on its side."""
_ROUNDING = 1e-12
"""Of a mean: a smaller spread is that of rounding."""
_NAMING = 3
"""Columns from the left among which the one is found that names its rows."""

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A study's table: its rows, or the first of many; none when it is too wide to be shown."""

    name: str
    file: str
    count: int
    """Rows of the file."""
    head: Sequence[str] = ()
    rows: Rows = ()
    """As shown; `on_its_side` says that the columns are the file's rows."""
    on_its_side: bool = False

    @property
    def shown(self) -> int:
        """How many of the file's rows are shown."""
        return len(self.head) - 1 if self.on_its_side else len(self.rows)


def table(name: str, file: str, head: Sequence[str], rows: Rows) -> Table:
    """The table `file`, called `name`, with these columns and rows, made short."""
    head, shown = merged(head, rows if len(rows) <= _ROWS else rows[:_FIRST])
    if len(head) > _COLUMNS:
        return Table(name, file, len(rows))
    columns = [list(column) for column in zip(head, *shown, strict=True)]
    naming = next((column for column in columns[:_NAMING] if len(set(column)) == len(column)), None)
    if len(head) <= _WIDE or len(shown) > _FEW or naming is None:
        return Table(name, file, len(rows), head, shown)
    return Table(
        name, file, len(rows), naming, [column for column in columns if column is not naming], on_its_side=True
    )


def merged(head: Sequence[str], rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Columns `x`, `x_standard_deviation`, `x_low` and `x_high` as one, "x ± standard deviation (low to high)".

    `low`, `high` and `standard_deviation` without a name belong to the column before them, as do `mean_low` and `mean_high`
    to a column `mean_...`; ends without a figure of their own are a column "x, low to high".
    """
    spread: dict[str, str] = {}
    ends: dict[str, tuple[str, str]] = {}
    alone: dict[str, tuple[str, str]] = {}
    for place, column in enumerate(head):
        if column.endswith("standard_deviation") and place:
            stem = column.removesuffix("standard_deviation").removesuffix("_")
            if owner := _owner(stem, head[:place]):
                spread[owner] = column
        if column == "low" or column.endswith("_low"):
            stem = column.removesuffix("low").removesuffix("_")
            high = f"{stem}_high" if stem else "high"
            if high not in head:
                continue
            if owner := _owner(stem, [each for each in head[:place] if each not in spread.values()]):
                ends[owner] = (column, high)
            else:
                alone[column] = (column, high)
    swallowed = {
        *spread.values(),
        *(end for pair in ends.values() for end in pair),
        *(high for _, high in alone.values()),
    }
    kept = [column for column in head if column not in swallowed]
    at = {column: place for place, column in enumerate(head)}
    names = [_name(column, column in spread, column in ends, column in alone) for column in kept]
    figures = [all(map(_is_figure, column)) for column in zip(*rows, strict=True)]
    rows = [[short(cell) if is_figure else cell for cell, is_figure in zip(row, figures, strict=True)] for row in rows]
    cells = []
    for row in rows:
        line = []
        for column in kept:
            words = row[at[column]]
            if column in spread and (deviation := row[at[spread[column]]]):
                words += f" ± {'0' if _is_rounding(deviation, row[at[column]]) else deviation}"
            if pair := ends.get(column) or alone.get(column):
                low, high = (row[at[end]] for end in pair)
                between = f"{low} to {high}" if low and high else ""
                words = between if column in alone else f"{words} ({between})" if between else words
            line.append(words)
        cells.append(line)
    return names, cells


def _owner(stem: str, before: Sequence[str]) -> str | None:
    """The column that a spread or an end belongs to: of its own stem; without one, the column before it."""
    if stem in before:
        return stem
    if before and (not stem or before[-1].startswith(f"{stem}_")) and not before[-1].endswith(("_low", "_high")):
        return before[-1]
    return None


def _name(column: str, spread: bool, ends: bool, alone: bool) -> str:
    if alone:
        return f"{column.removesuffix('low').replace('_', ' ').strip()}, low to high"
    words = column.replace("_", " ")
    return words + (" ± standard deviation" if spread else "") + (" (low to high)" if ends else "")


def short(cell: str) -> str:
    """A figure with four places that count; a whole number and an empty cell as they are."""
    return number(float(cell)) if "." in cell or "e" in cell else cell


def _is_rounding(deviation: str, mean: str) -> bool:
    """Whether a spread is that of equal figures, whose mean was rounded."""
    return _is_figure(deviation) and _is_figure(mean) and abs(float(deviation)) < _ROUNDING * abs(float(mean or 0))


def _is_figure(cell: str) -> bool:
    """Whether a cell is a number as Python writes it, or empty: a class called 1.50 is none, and stays as it is."""
    try:
        return not cell or cell in (repr(float(cell)), str(int(float(cell))))
    except (ValueError, OverflowError):
        return False
