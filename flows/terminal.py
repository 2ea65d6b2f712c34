"""Text on a terminal, whatever letters it takes: one that it lacks is written in ASCII, and no name acts on it."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper

from lib.text import visible

_HANDLER = "probeflow"
_IN_ASCII = str.maketrans({
    "─": "-", "·": "|", "…": "...", "±": "+/-", "×": "x", "→": "->", "–": "-", "—": "-", "“": '"', "”": '"', "’": "'", "−": "-",
    "╶": "[", "╴": "]", "●": "*", "○": "o", "◂": "<", "▸": ">", "━": "#", "✓": "+", "✗": "x", "■": "-",
})  # fmt: skip


def readable_everywhere() -> None:
    """Let standard output and error write what their encoding lacks as signs and escapes of ASCII, not fail."""
    codecs.register_error(_HANDLER, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def as_written(text: str, encoding: str) -> str:
    r"""Text as a stream of this encoding writes it, so that it is known how wide that is.

    >>> as_written("±1 ╶─●╴ caf\u00e9\a", "ascii")
    '+/-1 [-*] caf\\xe9\\x07'
    """
    codecs.register_error(_HANDLER, _in_ascii)
    return visible(text).encode(encoding, _HANDLER).decode(encoding)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_IN_ASCII)
    return visible(text).encode("ascii", "backslashreplace").decode(), error.end
