"""What commands print with Rich: text as it is, as wide as the terminal but no wider than is read with ease.

Off a terminal there is no colour and no control code; letters that a stream lacks are ASCII before widths are measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import IO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from flows.terminal import as_written

WIDTH = 118


def console_on(stream: IO[str], most: int | None = None) -> Console:
    """A console without markup and highlights, of at most so many columns."""
    width = None if most is None else min(shutil.get_terminal_size((most, 40)).columns, most)
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def show(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print one thing after another, without blanks at the ends of lines."""
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))
    console.file.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
    console.file.flush()


def written(text: str, console: Console, style: str = "") -> Text:
    """Text as this console's stream writes it."""
    return Text(as_written(text, console.encoding), style)


def unbroken(text: str, console: Console) -> Text:
    """A line that is not broken, so that a path or an address in it can be copied."""
    return Text(as_written(text, console.encoding), no_wrap=True, overflow="ignore")


def plain_table(*, heads: bool = True) -> Table:
    """A table without lines."""
    return Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim", show_header=heads)


def add_column(
    table: Table, console: Console, head: str, *, right: bool = False, ratio: int | None = None, most: int | None = None
) -> None:
    """A column whose cells take one line each, at most so many columns wide."""
    table.add_column(
        written(head, console),
        no_wrap=True,
        overflow="ellipsis" if console.encoding.startswith("utf") else "crop",
        justify="right" if right else "left",
        ratio=ratio,
        max_width=most,
    )
