"""A study's table as the page shows it: a figure and its interval in one cell, and a wide table of few rows on its side."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from lib.text import number

_ROWS, _COLUMNS = 60, 60
"""Of a table with more rows the first few are shown; one with more columns is only named."""
_FIRST = 10
_WIDE, _FEW = 8, 6
"""A table of more columns than that and of at most so many rows is laid on its side."""
_ROUNDING = 1e-12
"""Of a mean: a smaller spread is that of rounding."""
_LARGEST = 20_000
"""Bytes of a file, at most, that the page holds whole, to be copied from it."""
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
    address: str = ""
    """The whole file as a data URL; empty of a large one."""

    @property
    def shown(self) -> int:
        """How many of the file's rows are shown."""
        return len(self.head) - 1 if self.on_its_side else len(self.rows)


def table(name: str, file: str, head: Sequence[str], rows: Rows, content: bytes = b"") -> Table:
    """The table `file`, called `name`, with these columns and rows, made short; `content` is the file's."""
    head, shown = merged(head, rows if len(rows) <= _ROWS else rows[:_FIRST])
    if len(head) > _COLUMNS:
        return Table(name, file, len(rows))
    address = f"data:text/csv;base64,{base64.b64encode(content).decode()}" if 0 < len(content) <= _LARGEST else ""
    columns = [list(column) for column in zip(head, *shown, strict=True)]
    naming = next((column for column in columns[:_NAMING] if len(set(column)) == len(column)), None)
    if len(head) <= _WIDE or len(shown) > _FEW or naming is None:
        return Table(name, file, len(rows), head, shown, address=address)
    others = [column for column in columns if column is not naming]
    return Table(name, file, len(rows), naming, others, on_its_side=True, address=address)


def merged(head: Sequence[str], rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Columns `x`, `x_standard_deviation`, `x_low` and `x_high` as one, "x ± standard deviation (low to high)"."""
    at = {column: place for place, column in enumerate(head)}
    spread = {column: f"{column}_standard_deviation" for column in head if f"{column}_standard_deviation" in at}
    ends = {
        column: (f"{column}_low", f"{column}_high") for column in head if {f"{column}_low", f"{column}_high"} <= set(at)
    }
    kept = [column for column in head if column not in {*spread.values(), *chain.from_iterable(ends.values())}]
    names = [
        column.replace("_", " ")
        + (" ± standard deviation" if column in spread else "")
        + (" (low to high)" if column in ends else "")
        for column in kept
    ]
    figures = [all(map(_is_figure, column)) for column in zip(*rows, strict=True)]
    cells = []
    for given in rows:
        row = [short(cell) if is_figure else cell for cell, is_figure in zip(given, figures, strict=True)]
        line = []
        for column in kept:
            words = row[at[column]]
            if column in spread and (deviation := row[at[spread[column]]]):
                words += f" ± {'0' if _is_rounding(deviation, row[at[column]]) else deviation}"
            if column in ends:
                low, high = (row[at[end]] for end in ends[column])
                words += f" ({low} to {high})" if low and high else ""
            line.append(words)
        cells.append(line)
    return names, cells


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
