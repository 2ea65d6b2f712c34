"""Names that something would make something else of, and how each is shown to people."""

from __future__ import annotations

ODD_NAMES = {
    "a|b": "a|b",
    "_c_ *d* `e`": "_c_ *d* `e`",
    "$f$ [g](h) & i": "$f$ [g](h) & i",
    "_hidden": "_hidden",
    "50 $": "50 $",
    r"a\b_c^2": r"a\b_c^2",
    "# j #": "# j #",
    "1. k": "1. k",
    "- l ~~m~~": "- l ~~m~~",
    "<img src=x onerror=n>": "<img src=x onerror=n>",
    "&amp; 'o' \"p\"": "&amp; 'o' \"p\"",
    "%s {q}": "%s {q}",
    "no": "no",
    "1.50": "1.50",
    "2024-05-01": "2024-05-01",
    "two\nlines": r"two\nlines",
    "bell\a \x1b[31mred": r"bell\x07 \x1b[31mred",
    "r\N{RIGHT-TO-LEFT OVERRIDE}s": r"r\u202es",
    "t\N{ZERO WIDTH SPACE}u": r"t\u200bu",
    "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n": "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n",
    "\u732b": "\u732b",
    "\u0939\u093e\u0925\u0940": "\u0939\u093e\u0925\u0940",
    "\u05e9\u05dc\u05d5\u05dd": "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f600": "\U0001f600",
}
"""What marks text in Markdown, HTML, matplotlib, YAML or a format string; what acts instead of being seen; other scripts."""
