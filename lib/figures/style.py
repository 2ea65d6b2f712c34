"""The one style of all figures: colours, sizes, how panels are laid out, and how text of a user is written."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.text import cut, visible

STYLE: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#000000", "#7F7F7F", "#BCBD22")
"""Okabe and Ito's colours, which colour-blind readers can distinguish, then three more for ten classes."""

GREY = "#BBBBBB"
"""What has no colour of its own."""

LEAST_WIDTH = 6.4
"""Inches that a title of two lines needs, however few panels there are."""
UNSEEN = "\N{ZERO WIDTH SPACE}"
"""What stands before a leading "_"."""


HOVER = "hover: "
"""How the id of what is drawn begins that a page says something of when it is pointed at."""


def hover(words: str) -> str:
    """The id of something drawn of which a page says `words` when it is pointed at."""
    return f"{HOVER}{visible(words)}"


def colour(index: int) -> str:
    """A colour of `PALETTE`; after the last comes the first again."""
    return PALETTE[index % len(PALETTE)]


def plain(text: str, letters: int | None = None) -> str:
    r"""Text of a user for matplotlib to show as it is, in one line of at most so many letters.

    "$" begins no formula, a leading "_" hides no legend entry, and what would act instead of being seen is an escape.

    >>> plain("price in $ and $"), plain("a long class name", 10), plain("two\nlines")
    ('price in \\$ and \\$', 'a long cl…', 'two\\nlines')
    """
    text = visible(text)
    text = (text if letters is None else cut(text, letters)).replace("$", r"\$")
    return f"{UNSEEN}{text}" if text.startswith("_") else text


def plain_lines(text: str, letters: int | None = None) -> str:
    """`plain` of each line, for what is made of several."""
    return "\n".join(plain(line, letters) for line in text.split("\n"))


def shown(text: str) -> str:
    """What `plain` text looks like."""
    return text.replace(r"\$", "$").replace(UNSEEN, "")


def panels(count: int, columns: int, width: float = 3.4, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each of `width` x `height` inches, in rows of at most `columns`."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(width * columns, LEAST_WIDTH), height * rows))
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.set_visible(False)
    return figure, axes[:count]
