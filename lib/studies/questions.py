"""The reference study's questions, A to F, as far as a run's studies answer them, and the answers in Markdown.

They are made from the records alone, so that an older run's report has them, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lib.studies.image_questions import classifier_part, exploration_part, features_part
from lib.studies.question import Part
from lib.studies.record import StudyRecord
from lib.studies.sweep_questions import activation_part, finding_part

TITLE = "The reference study's questions, answered by this run"
HOW = (
    "Figures are mean ± standard deviation (95 % interval) over seeds. Two models are compared in pairs, over seeds or on the "
    "same images; Holm's p is corrected for all comparisons of its answer. What the study claimed is confirmed or refuted on its "
    "own data, settings and weights alone; on others it holds here or differs here."
)


def parts(records: Mapping[str, StudyRecord]) -> list[Part]:
    """A part for each of the run's studies that the reference study asked about, in its order; a fault is told once."""
    found = []
    if "activations" in records and records["activations"].summary["axis"] == "activation":
        found.append(activation_part(records["activations"]))
    found += [
        finding_part(name, records[name]) for name in ("hidden_units", "learning_rates") if _findings(records, name)
    ]
    for name, part in (("exploration", exploration_part), ("features", features_part), ("classifier", classifier_part)):
        if name in records:
            found.append(part(records[name]))
    said: set[str] = set()
    once = []
    for each in found:
        once.append(replace(each, wrong=tuple(fault for fault in each.wrong if fault not in said)))
        said.update(each.wrong)
    return once


def verdict_lines(found: Sequence[Part]) -> list[str]:
    """A line a question in Markdown: the verdict, no more."""
    return [
        "| part | question | this run |",
        "|---|---|---|",
        *(
            f"| {part.letter} | {asked.question} | {'; '.join(_verdict(reply.arm, reply.verdict) for reply in asked.replies)} |"
            for part in found
            for asked in part.questions
        ),
    ]  # fmt: skip


def answer_lines(found: Sequence[Part]) -> list[str]:
    """The answers in full in Markdown."""
    lines = [HOW]
    for part in found:
        lines += ["", f"### {part.letter}. {part.title}: {part.data}", ""]
        for asked in part.questions:
            lines += [f"**{asked.question}** The reference study: {asked.claim}.", ""]
            lines += [f"- {_verdict(reply.arm, f'**{reply.verdict}**')}. {reply.words}" for reply in asked.replies]
            lines += [""]
        if part.wrong:
            lines += ["Where the reference study was wrong:", "", *(f"- {fault}" for fault in part.wrong)]
        for shown in part.shown:
            lines += [
                "",
                f"{shown.caption}:",
                "",
                *(_row(row) for row in (shown.head, ["---"] * len(shown.head), *shown.rows)),
            ]
    return lines


def _findings(records: Mapping[str, StudyRecord], name: str) -> bool:
    return name in records and bool(records[name].summary.get("findings"))


def _verdict(arm: str, verdict: str) -> str:
    return f"{arm}: {verdict}" if arm else verdict


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
