"""What people are shown of a study, made from its typed result at the end: words, and runs to be compared in MLflow.

Each renderer (Markdown here, HTML in `lib.report`, MLflow in `lib.tracking`, Prefect in `tasks`) takes these as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lib.text import visible

RANK = "rank"
"""Metric of a configuration's run: its place in its study, 1 for the best."""

BOUNDS = ("_low", "_high")
"""Ends of the names of an interval's bounds among a run's metrics, beside the figure's own name."""


_MARKS = re.compile(r"[\\`*_\[\]|~#]")
"""What Markdown, or a page that shows formulas in it, takes for a mark anywhere."""

_AT_START = re.compile(r"^(\d*)([-+=.)])")
"""The same at a line's beginning."""


class Role(StrEnum):
    """What a run shown below a study's own is."""

    CONFIGURATION = "configuration"
    """One setting: means over its seeds."""
    TRIAL = "trial"
    """One seed of a configuration, judged on validation rows."""
    FINAL = "final"
    """A winner trained again on all development rows with one seed, judged on test rows."""
    BASELINE = "baseline"
    """Another model on the same rows."""


class Rows(StrEnum):
    """Which rows a run's figures are of, beside training rows."""

    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class RunNote:
    """One run to be shown: its key makes logging it twice harmless."""

    key: str
    name: str
    params: dict[str, str | int | float]
    metrics: dict[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float | None], ...] = ()
    """One mapping an epoch, with "epoch" and "seconds"; values that are not finite are None."""
    tags: dict[str, str] = field(default_factory=dict)
    below: str = ""
    """Key of the run that this one is shown under; empty for the study's own."""
    role: Role | None = None
    rows: Rows | None = None
    """None for the study's own run."""
    trials: Role | None = None
    """Of a configuration: what the runs below it are."""


@dataclass(frozen=True)
class Section:
    """A part of a study's notes: a heading, and Markdown below it. A page shows them folded, below sentence and picture."""

    heading: str
    body: str


@dataclass(frozen=True)
class Presentation:
    """What people are shown of a study. Sections are Markdown; title, question, headline and warnings are plain text."""

    title: str
    headline: str
    """The answer to the question, in one sentence of at most 25 words, with numbers of three digits and no p-values."""
    parent: RunNote
    """The study's own run."""
    question: str = ""
    sections: tuple[Section, ...] = ()
    warnings: tuple[str, ...] = ()
    """What a reader should know before believing the figures."""
    runs: tuple[RunNote, ...] = ()
    """Those below the study's own, each after the one it is below."""
    input: str = ""
    """What went into the networks, in words; empty where none did."""
    random_weights: bool = False
    """Whether any of it rests on a frozen network of random weights."""


def escaped(text: str) -> str:
    """Plain text, such as the name of a class or a node, as Markdown that shows it as it is; also in a table's cell.

    >>> escaped("cats | *dogs* <i>"), escaped("1. a list"), escaped("two\\nlines")
    ('cats \\\\| \\\\*dogs\\\\* &lt;i&gt;', '1\\\\. a list', 'two\\\\\\\\nlines')
    """
    plain = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _AT_START.sub(r"\1\\\2", _MARKS.sub(r"\\\g<0>", plain.strip()))


def code(text: str) -> str:
    """Plain text, such as a path, as code in Markdown.

    >>> code("/data/a*b"), code("a`b")
    ('`/data/a*b`', '`` a`b ``')
    """
    text = visible(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"`{text}`" if len(fence) == 1 else f"{fence} {text} {fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, of cells that are Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def lacking_words(letters: str) -> str:
    """A warning that no font here has some letters of a study's figures."""
    first = unicodedata.name(letters[0], f"U+{ord(letters[0]):04X}").lower()
    others = f" and {len(letters) - 1:,} more" if len(letters) > 1 else ""
    return (
        f"no font installed here has {letters[0]} ({first}){others}: "
        "figures in PNG show boxes instead; install one that has, such as Noto Sans, and run the study anew"
    )


def markdown(shown: Presentation) -> str:
    """The notes of a study in Markdown."""
    lines = [f"## {escaped(shown.title)}"]
    if shown.question:
        lines += ["", f"*{escaped(shown.question)}*"]
    lines += ["", escaped(shown.headline)]
    if shown.warnings:
        lines += ["", "**Warnings:**", "", *(f"- {escaped(warning)}" for warning in shown.warnings)]
    for section in shown.sections:
        lines += ["", *([f"### {section.heading}", ""] if section.heading else []), section.body.rstrip()]
    return "\n".join(lines) + "\n"
