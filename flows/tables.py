"""Tables and sizes as the commands print them."""

from __future__ import annotations

from collections.abc import Sequence

from lib.text import columns


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns; a head that starts with ">" is aligned to the right."""
    right = [head.startswith(">") for head in heads]
    lines = [[head.removeprefix(">") for head in heads], *rows]
    widths = [max(columns(line[place]) for line in lines) for place in range(len(heads))]
    return ["  ".join(map(filled, line, widths, right)).rstrip() for line in lines]


def filled(cell: str, width: int, right: bool = False) -> str:
    room = " " * (width - columns(cell))
    return room + cell if right else cell + room


def size(count: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"
