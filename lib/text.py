r"""Text of a user, such as a class's name, as what can be shown: nothing in it acts instead of being seen.

Each place that shows text adds its own escaping: matplotlib's is `plain` (`lib.figures.style`), Markdown's `escaped`
(`lib.studies.presentation`), HTML's is Jinja's.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence

_ACTING = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)

LONGEST = 200
"""Columns of a name that an error or warning spells out."""


def visible(text: str, *, lines: bool = False) -> str:
    r"""Text whose control characters, changes of direction, zero widths and bytes that are no UTF-8 are escapes.

    `lines` leaves line breaks as they are.

    >>> print(visible("two\nlines, a bell \a, \u202eback, caf\udce9"))
    two\nlines, a bell \x07, \u202eback, caf\xe9
    """
    if lines:
        return "\n".join(visible(line) for line in text.split("\n"))
    return _ACTING.sub(_escape, text)


def not_utf8(text: str) -> str | None:
    """What is wrong with a text of bytes that are no UTF-8, as Python's surrogates keep them, with the fix; else None."""
    if not re.search("[\ud800-\udfff]", text):
        return None
    here = sys.getfilesystemencoding()
    fix = (
        "rename it, or give a link to it (ln -s)"
        if here == "utf-8"
        else f"names are {here} here, so run with PYTHONUTF8=1"
    )
    return f"{text!r} is no UTF-8, which records keep text as; {fix}"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else found[0].encode("unicode_escape").decode()


def columns(text: str) -> int:
    """How many letters of the Latin script a text is as wide as.

    >>> columns("cat"), columns("猫"), columns("e\u0301")
    (3, 2, 1)
    """
    return sum(map(_columns, text))


def cut(text: str, most: int = LONGEST) -> str:
    """A text of at most so many columns; a longer one ends in an ellipsis.

    >>> cut("a long class name", 10), cut("一二三四五", 6)
    ('a long cl…', '一二…')
    """
    if len(text) <= most // 2 or columns(text) <= most:
        return text
    kept, room = "", most - 1
    for letter in text:
        room -= _columns(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept}…"


def _columns(letter: str) -> int:
    if letter.isascii():
        return 1
    return (
        0 if unicodedata.category(letter) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(letter) in "WF")
    )


def number(value: float) -> str:
    """Four places that count, and no power of ten where the digits are no longer: for people, not to be read back.

    >>> number(12231.4), number(0.123456), number(7), number(2e-6), number(3e9)
    ('12,231', '0.1235', '7', '2e-06', '3e+09')
    """
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if 999.95 <= abs(value) < 1e7 else f"{value:.4g}"


def magnitude(count: int | None) -> str:
    """How many there are, the many with three digits; a dash for None.

    >>> magnitude(6570), magnitude(657_922), magnitude(12_345_678), magnitude(None)
    ('6,570', '658 k', '12.3 M', '–')
    """
    if count is None:
        return "–"
    if count < 10_000:
        return f"{count:,}"
    power, letter = (1e6, "M") if count >= 1e6 else (1e3, "k")
    return f"{count / power:.3g} {letter}"


def duration(seconds: float | None) -> str:
    """How long something takes, with two digits; a dash for None.

    >>> duration(0.0012), duration(0.312), duration(12.4), duration(184), duration(7200), duration(None)
    ('< 0.01 s', '0.31 s', '12 s', '3.1 min', '2.0 h', '–')
    """
    if seconds is None:
        return "–"
    if seconds < 0.01:
        return "< 0.01 s"
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size_words(shape: Sequence[int]) -> str:
    """Width and height of an image of this shape, (height, width, ...), as image tools write them.

    >>> size_words((180, 240, 3))
    '240x180'
    """
    return f"{shape[1]}x{shape[0]}"


def counted(count: int, noun: str) -> str:
    """
    >>> counted(1, "label"), counted(1200, "label")
    ('1 label', '1,200 labels')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names one after another; of more than `most` the first, and how many more there are.

    >>> listed(["cat", "dog", "emu"], 2)
    'cat, dog and 1 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(visible, names[:most])) + more
