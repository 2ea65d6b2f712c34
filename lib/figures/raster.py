"""A figure as PNG, of bounded size, with fonts for the scripts that its texts are in as far as any are installed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FaceFlags, FT2Font
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, NullFormatter, ScalarFormatter

from lib.figures.style import STYLE

_LARGEST = 4000
"""Pixels of a side, at most: a larger figure has fewer of them an inch."""


_OF_NUMBERS = (ScalarFormatter, LogFormatter, NullFormatter)
"""Formatters of ticks whose letters all fonts have."""


def save_png(figure: Figure, file: Path) -> str:
    """Write a figure as PNG; returns the letters that no font here has, which are drawn as boxes."""
    lacking = give_fonts(figure)
    with without_glyph_warnings():
        figure.savefig(file, format="png", dpi=min(STYLE["savefig.dpi"], _LARGEST / max(figure.get_size_inches())))
    return lacking


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Keep matplotlib from telling of each letter that no font has it, and of each font that its cached list lacks.

    The list, which any version of matplotlib may have written, is used without a check: fonts of formulae may be missing.
    """
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    # For good: to restore the filters would undo those that another thread has set meanwhile.
    warnings.filterwarnings("ignore", message="(?s)Glyph .* missing from font")
    try:
        yield
    finally:
        logger.setLevel(level)


def give_fonts(figure: Figure) -> str:
    """Let each text of a figure use the fonts that have its letters; returns those letters that none has, each once."""
    lacking = ""
    for text in _texts(figure):
        letters = {letter for letter in text.get_text() if not letter.isascii()} - set(lacking)
        letters = {letter for letter in letters if ord(letter) not in _letters_of(findfont(text.get_fontproperties()))}
        families = []
        for family, file in _fonts() if letters else ():
            if has := {letter for letter in letters if ord(letter) in _letters_of(file)}:
                families.append(family)
                letters -= has
        if families:
            text.set_fontfamily([*text.get_fontfamily(), *families])
        lacking += "".join(sorted(letters))
    return lacking


def _texts(artist: Artist) -> Iterator[Text]:
    """All texts of a figure but numbers at ticks: to ask for those makes the ticks, which takes longer than all else here."""
    if isinstance(artist, Text):
        yield artist
    elif isinstance(artist, Axis) and isinstance(artist.get_major_formatter(), _OF_NUMBERS):
        yield artist.label
    else:
        for child in artist.get_children():
            yield from _texts(child)


@cache
def _fonts() -> list[tuple[str, str]]:
    """Families of usual weight and a file of each, those without serifs first."""
    usual = (
        each for each in fontManager.ttflist if each.style == "normal" and each.weight in (400, "normal", "regular")
    )
    files = {
        each.name: each.fname for each in usual if "Last Resort" not in each.name
    }  # which has a box for any letter
    return sorted(files.items(), key=lambda font: ("Sans" not in font[0], "Mono" in font[0], font[0]))


@cache
def _letters_of(file: str) -> frozenset[int]:
    with suppress(RuntimeError, OSError):  # a damaged file; fonts of pictures in colour cannot be drawn
        font = FT2Font(file)
        if FaceFlags.SCALABLE in font.face_flags and FaceFlags.COLOR not in font.face_flags:
            return frozenset(font.get_charmap())
    return frozenset()
