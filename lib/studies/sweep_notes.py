"""What a sweep's notes say: Markdown for people, made of its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.config import SweepStudy
from lib.evaluation.intervals import Estimate
from lib.studies.configuration import STATISTICS
from lib.studies.finals import measure_lines
from lib.studies.findings import FINDINGS, section
from lib.studies.record import DatasetNote
from lib.studies.settings_report import settings_sentences
from lib.studies.sweep_baselines import beside_lines

_NOTED = 20
"""Configurations that the notes list."""


def sweep_notes(
    title: str,
    study: SweepStudy,
    note: DatasetNote,
    summary: Mapping[str, Any],
    flags: Sequence[str],
) -> str:
    """The notes of a sweep from its record's `summary`, its data and its flags."""
    rows = ", ".join(f"{count:,} {name}" for name, count in note.rows.items())
    seeds = len(study.seeds)
    spread = "figures are mean ± standard deviation (95 % interval of the mean, Student's t) over seeds"
    lines = [
        f"## {title} on {note.name}",
        f"Data: {note.origin} ({rows}). {seeds} seeds a configuration; {spread}."
        if seeds > 1
        else f"Data: {note.origin} ({rows}). One seed a configuration, so no figure has an interval over seeds.",
        "",
        "| configuration | mean train loss | mean validation loss | best validation loss | final validation accuracy "
        "| best validation accuracy |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {each['arm']}: {each['label']}{_halved(each)} | "
        + " | ".join(_words(each["statistics"][name], seeds) for name in STATISTICS)
        + " |"
        for each in _noted(summary)
    ]
    if (left_out := len(summary["configurations"]) - len(_noted(summary))) > 0:
        lines += [
            "",
            f"{left_out} more configurations, none better, stand in the table `configurations.csv`, the best first.",
        ]
    best = summary["best"]
    lines += [
        "",
        f"Best by final validation accuracy: **{best['arm']}: {best['label']}**, {summary['verdict']} "
        "(the best against each of the others, by Student's paired t over seeds: mean difference and its 95 % interval).",
    ]
    for sentence in (*summary["endings"], *settings_sentences(summary["settings"])):
        lines += ["", sentence]
    others = beside_lines(summary["comparison"], **summary["comparison_rows"])
    if "finals" not in summary:  # before the long parts: MLflow shows the first 8,000 letters of a note
        lines += others
    if summary["steps"]:
        lines += ["", "### Step by step", ""]
        lines += ["| arm | step | mean train loss | best validation loss |", "|---|---|---|---|"]
        lines += [
            f"| {row['arm']} | {row['from']} to {row['to']} | {row['train']} | {row['validation']} |"
            for row in summary["steps"]
        ]
        lines += [
            "",
            "Paired over seeds; what is called a fall or a rise is so by Holm's correction over an arm's steps. How large each "
            "is, with its interval, stands in the table `steps.csv`.",
        ]
    if summary["findings"]:
        lines += ["", f"### {FINDINGS}", "", *section(summary["findings"])]
    if finals := summary.get("finals"):
        lines += [
            "",
            f"Winner of each {axis_word(study.axis)}{' (of a search: its winner)' if summary['search'] else ''}, "
            "chosen on validation rows, trained again on all but test rows"
            + (":" if seeds > 1 else "; intervals are Wilson's, over the test images of one seed:"),
            "",
            "| configuration | test accuracy | scikit-learn at the same settings | ours - scikit-learn's |",
            "|---|---|---|---|",
        ]
        for row in finals:
            peer = row.get("sklearn")
            beside = f"{_tested(peer, seeds)} | {peer['difference'] or 'one seed, not compared'}" if peer else "- | -"
            lines.append(f"| {row['label']} | {_tested(row, seeds)} | {beside} |")
        lines += measure_lines(
            summary["measures"], next(row["label"] for row in finals if row["value"] == best["value"])
        )
        lines += others
    if flags or note.warnings:
        lines += ["", "**Read with care:**", *(f"- {flag}" for flag in (*flags, *note.warnings))]
    return "\n".join(lines) + "\n"


def _noted(summary: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The configurations that the notes list: all, or the best of many."""
    every: Sequence[Mapping[str, Any]] = summary["configurations"]
    if len(every) <= _NOTED:
        return every
    return sorted(every, key=lambda each: ("halved" in each["ended"], -each["final_validation_accuracy"]))[:_NOTED]


def _halved(summary: Mapping[str, Any]) -> str:
    return f" ({summary['ended']})" if "halved" in summary["ended"] else ""


def _words(statistic: Mapping[str, Any], seeds: int) -> str:
    words = Estimate.of(statistic).words
    return words if seeds > 1 else words.removesuffix(" (one seed, no interval)")  # said once, above the table


def _tested(row: Mapping[str, Any], seeds: int) -> str:
    if seeds > 1:
        return Estimate.of(row["statistics"]["test_accuracy"]).words
    return f"{row['test_accuracy']:.4f} ({row['test_accuracy_low']:.4f} to {row['test_accuracy_high']:.4f})"


def axis_word(axis: str) -> str:
    """An axis in words."""
    return {"activation": "activation", "hidden": "hidden size", "learning_rate": "learning rate"}[axis]
