"""What a finished sweep shows: figures, tables, notes, runs and its model, sealed as the study's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from lib.config import SweepStudy
from lib.datasets.dataset import Dataset
from lib.evaluation import figures
from lib.evaluation.checks import LEARNED_MARGIN, same_model_flags, study_flag
from lib.evaluation.intervals import (
    LEVEL,
    LOSS,
    SHARE,
    Difference,
    Estimate,
    holm,
    over_seeds,
    p_words,
    paired_difference,
)
from lib.mlp.store import save_network
from lib.studies.comparison import steps, verdict
from lib.studies.configuration import (
    STATISTICS,
    Configuration,
    best_of,
    final_accuracy,
    seed_curves,
    statistic_columns,
    table_row,
    winner,
)
from lib.studies.findings import answers, section
from lib.studies.labels import params, wrapped
from lib.studies.labels import value as axis_value
from lib.studies.record import DatasetNote, ModelNote, RunNote, StudyFolder, StudyRecord
from lib.studies.search import Search
from lib.studies.search_report import ending_sentences, report_searches, search_flags, search_sentences
from lib.studies.trial_runs import Final, sweep_runs

TITLES = {
    "activations": "Activation functions",
    "hidden_units": "Hidden units",
    "learning_rates": "Learning rates",
}


_PANELS, _PANEL_WIDTH = 12, 36


_ROWS, _NOTED = 40, 20
"""Configurations that a figure draws a panel (so many letters wide) or a row for, or that the notes list."""


def seal_sweep(
    name: str,
    study: SweepStudy,
    dataset: Dataset,
    folder: StudyFolder,
    searches: Mapping[str, Search],
    configurations: Sequence[Configuration],
    finals: Sequence[Final],
) -> StudyRecord:
    """Draw and tabulate a finished sweep, and seal its record."""
    title = TITLES[name]
    note = DatasetNote.of(dataset)
    summaries = [each.summary() for each in configurations]
    best = winner(configurations)
    compared = [each for each in configurations if not each.halved]
    arms = list(study.arms)
    searched = [arm for arm in arms if study.arms[arm].search is not None]
    flags = [
        f"{each.arm}: {each.label}: {flag}"
        for each in configurations
        if each.arm not in searched
        for flag in each.flags
        if flag
    ]
    flags += search_flags(searched, configurations)
    if whole := study_flag([flag for each in compared for flag in each.flags]):
        flags.insert(0, whole)
    flags += same_model_flags(_prediction_digests(finals))
    flags += [
        f"scikit-learn {final.peer['activation']} · seed {final.result.trial.seed}: did not learn at these settings "
        f"(test accuracy {final.peer['test_accuracy']:.3f})"
        for final in finals
        if final.peer is not None and final.peer["test_accuracy"] < final.scores.majority + LEARNED_MARGIN
    ]

    for arm in arms:
        shown, words_shown = best_of([each for each in configurations if each.arm == arm], _PANELS)
        curves = {wrapped(each.shown, _PANEL_WIDTH): seed_curves(each.results) for each in shown}
        suffix = f"-{arm}" if len(arms) > 1 else ""
        words = f" ({arm})" if len(arms) > 1 else ""
        heading = f"{title}{words}: cross-entropy{words_shown}"
        folder.figure(f"loss-curves{suffix}", figures.training_curves(curves, heading))
    shown, words_shown = best_of(configurations, _ROWS)
    rows_are = "configuration" if searched else axis_word(study.axis)
    heading = f"{title} on {dataset.name}{words_shown}"
    folder.figure(
        "summary", figures.axis_summary([each.summary() | {"label": each.shown} for each in shown], rows_are, heading)
    )
    folder.table("configurations", [table_row(each) for each in summaries])
    judged = verdict(best, compared, final_accuracy, len(arms) > 1)
    along_axis_alone = all(set(study.arms[arm].grid) == {study.axis} for arm in arms if arm not in searched)
    in_order = [each for each in compared if each.arm not in searched]
    # Averages over the epochs compare only where the epochs are the same.
    comparable = not any(result.ended in ("patience", "halved") for each in in_order for result in each.results)
    changes = steps(in_order) if along_axis_alone and comparable and study.axis != "activation" else []
    if changes:
        folder.table("steps", changes)
    summary: dict[str, Any] = {
        "dataset": {"name": note.name, "rows": note.rows},
        "axis": study.axis,
        "configurations": summaries,
        "best": best.summary(),
        "verdict": judged,
        "steps": changes,
        "search": report_searches(study, searches, configurations, folder, title),
        "endings": ending_sentences(study, configurations),
        "findings": [asdict(answer) for answer in answers(study.axis, in_order)] if along_axis_alone else [],
    }
    # Of the configuration that is announced as best, all of them.
    metrics = {
        "final_validation_accuracy": best.mean(final_accuracy),
        "best_validation_accuracy": best.mean(lambda result: result.best_validation_accuracy),
        "best_validation_loss": best.mean(lambda result: result.best_validation_loss),
        "training_seconds": sum(
            result.seconds
            for result in (*(result for each in configurations for result in each.results), *(f.result for f in finals))
        ),
    }
    metrics |= _spread("final_validation_accuracy", best.over_seeds("final_validation_accuracy"))
    headline = (
        f"{best.arm + ': ' if len(arms) > 1 else ''}{best.label}: "
        f"validation accuracy {best.over_seeds('final_validation_accuracy').words}, {judged}; "
        f"best validation loss {best.over_seeds('best_validation_loss').words}"
    )
    model = None
    if finals:
        summary["finals"] = finals_summary(finals)
        chosen = next(final for final in finals if final.value == best.value)
        of_best = next(row for row in summary["finals"] if row["value"] == best.value)
        metrics |= {key: of_best[key] for key in ("test_accuracy", "test_f1", "test_loss")}
        tested = Estimate.of(of_best["statistics"]["test_accuracy"])
        metrics |= _spread("test_accuracy_over_seeds", tested)
        headline = f"{best.label}: test accuracy {tested.words}; on validation rows {judged}"
        curves = {
            axis_value(value): seed_curves([final.result for final in finals if final.value == value], "test")
            for value in dict.fromkeys(final.value for final in finals)
        }
        folder.figure("error-curves", figures.training_curves(curves, f"{title}: error on train and test", "error"))
        folder.figure(
            "test-accuracy", figures.accuracy_bars(_bars(summary["finals"]), _bars_title(title, dataset, study))
        )
        folder.table("finals", [_final_row(row) for row in summary["finals"]])
        model = _model(folder, chosen, dataset)
    return folder.seal(
        title=f"{title} on {dataset.name}",
        headline=headline,
        notes=_notes(title, study, note, summary, flags),
        dataset=note,
        summary=summary,
        parent=RunNote(
            folder.key,
            f"{title} on {dataset.name}",
            {
                "axis": study.axis,
                "trials": sum(len(each.results) for each in configurations),
                "seeds": len(study.seeds),
                "configurations": len(configurations),
                "arms": ", ".join(f"{arm} ({_way(study, arm)})" for arm in arms),
                **({"patience": study.patience} if study.patience else {}),
                **({"rungs": ", ".join(f"{r.keep:g} after {r.epoch}" for r in study.rungs)} if study.rungs else {}),
                **{
                    f"best.{name}": value
                    for name, value in params(best.results[0].trial, best.arm).items()
                    if name != "seed"
                },
            },
            metrics,
        ),
        children=tuple(sweep_runs(folder.key, study, configurations, finals)),
        flags=tuple(flags),
        model=model,
    )


def _way(study: SweepStudy, arm: str) -> str:
    """How an arm's configurations were found: "grid", or the sampler of its search."""
    search = study.arms[arm].search
    return "grid" if search is None else f"{search.sampler} search"


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    """A figure's spread over seeds as metrics; none for one seed."""
    figures_of = {
        f"{name}_standard_deviation": estimate.standard_deviation,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }
    return {key: value for key, value in figures_of.items() if value is not None}


def finals_summary(finals: Sequence[Final]) -> list[dict[str, Any]]:
    """One row an axis value: test figures as means over seeds, ours and scikit-learn's, and their paired difference.

    `test_accuracy_low` and `_high` are of the Wilson interval over test images, averaged; `statistics` hold the spread
    over seeds. Ours and scikit-learn's are compared at every axis value at once, with Holm's correction.
    """
    rows: list[dict[str, Any]] = []
    differences: dict[int, Difference] = {}
    for value in dict.fromkeys(final.value for final in finals):
        group = [final for final in finals if final.value == value]
        ours = [final.scores.summary() for final in group]
        row: dict[str, Any] = {"value": value, "label": group[0].label, "seeds": len(group)} | _over_seeds(ours)
        row["train_accuracy"] = float(np.mean([final.result.history[-1]["train_accuracy"] for final in group]))
        peers = [final.peer for final in group if final.peer is not None]
        if peers:
            figures_only = [{key: peer[key] for key in ours[0]} for peer in peers]
            row["sklearn"] = {"activation": peers[0]["activation"]} | _over_seeds(figures_only)
            row["sklearn"]["difference"] = None
            difference = paired_difference(
                [figures_of["test_accuracy"] for figures_of in ours], [peer["test_accuracy"] for peer in peers]
            )
            if difference is not None:
                differences[len(rows)] = difference
        rows.append(row)
    corrected = holm([difference.p_value for difference in differences.values()])
    for (index, difference), p_value in zip(differences.items(), corrected, strict=True):
        found = "not told apart"
        if p_value < LEVEL:
            found = "ours ahead" if difference.estimate > 0 else "scikit-learn's ahead"
        rows[index]["sklearn"] |= {
            "difference": f"{difference.words}, Holm's {p_words(p_value)}: {found}",
            "difference_of_test_accuracy": asdict(difference) | {"holm_p_value": p_value},
        }
    return rows


def _over_seeds(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Each test figure's mean; under `statistics`, the spread over seeds of accuracy, F1 and loss."""
    spread = {"test_accuracy": SHARE, "test_f1": SHARE, "test_loss": LOSS}
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} | {
        "statistics": {key: asdict(over_seeds([row[key] for row in rows], within)) for key, within in spread.items()}
    }


def _prediction_digests(finals: Sequence[Final]) -> list[tuple[str, str]]:
    pairs = []
    for final in finals:
        name = f"{final.label} · seed {final.result.trial.seed}"
        pairs.append((name, final.scores.prediction_digest))
        if final.peer is not None:
            pairs.append((f"scikit-learn {final.peer['activation']} for {name}", final.peer["prediction_digest"]))
    return pairs


def _final_row(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: row[key] for key in ("value", "label", "seeds", "train_accuracy")}
    for name, figures_of in (("", row), ("sklearn_", row.get("sklearn"))):
        if figures_of:
            for key, statistic in figures_of["statistics"].items():
                flat |= statistic_columns(name + key, statistic)
            flat |= {f"{name}test_accuracy_wilson_{end}": figures_of[f"test_accuracy_{end}"] for end in ("low", "high")}
    if "sklearn" in row:
        flat |= {"sklearn_activation": row["sklearn"]["activation"], "ours_less_sklearn": row["sklearn"]["difference"]}
    return flat


def _bars(finals: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    bars = []
    for row in finals:
        for series, figures_of in (("from scratch", row), ("scikit-learn", row.get("sklearn"))):
            if figures_of:
                accuracy = figures_of["test_accuracy"]
                low, high = figures_of["test_accuracy_low"], figures_of["test_accuracy_high"]
                if row["seeds"] > 1:
                    low, high = (figures_of["statistics"]["test_accuracy"][end] for end in ("low", "high"))
                bars.append(
                    {
                        "label": axis_value(row["value"]),
                        "series": series,
                        "accuracy": accuracy,
                        "low": low,
                        "high": high,
                    }
                )
    return bars


def _bars_title(title: str, dataset: Dataset, study: SweepStudy) -> str:
    seeds = len(study.seeds)
    over = f"the mean of {seeds} seeds" if seeds > 1 else "one seed, by its test images (Wilson)"
    return f"{title} on {dataset.name}\n95 % intervals of {over}"


def _model(folder: StudyFolder, chosen: Final, dataset: Dataset) -> ModelNote:
    network = "network.safetensors"
    save_network(folder.path / network, chosen.result.network)
    rows = dataset.pixels("test")[:5]
    example = folder.example("example.safetensors", rows, chosen.result.network.predict_proba(rows))
    pixels = f"{rows.shape[1]} pixel values in [0, 1]"
    return ModelNote(
        network, example, f"{chosen.label} on {dataset.name}; input: {pixels}; output: class probabilities"
    )


def _notes(
    title: str,
    study: SweepStudy,
    note: DatasetNote,
    summary: Mapping[str, Any],
    flags: Sequence[str],
) -> str:
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
        lines += ["", f"{left_out} more configurations, none better, stand in the table `configurations.csv`."]
    best = summary["best"]
    lines += [
        "",
        f"Best by final validation accuracy: **{best['arm']}: {best['label']}**, {summary['verdict']} "
        "(the best against each of the others, by Student's paired t over seeds: mean difference and its 95 % interval).",
    ]
    for sentence in (*summary["endings"], *search_sentences(summary["search"])):
        lines += ["", sentence]
    if summary["steps"]:
        lines += ["", "### Step by step", ""]
        lines += ["| arm | step | mean train loss | best validation loss |", "|---|---|---|---|"]
        lines += [
            f"| {row['arm']} | {row['from']} to {row['to']} | {row['train']}: {row['mean train loss']} "
            f"| {row['validation']}: {row['best validation loss']} |"
            for row in summary["steps"]
        ]
        lines += [
            "",
            "Paired over seeds; what is called a fall or a rise is so by Holm's correction over an arm's steps.",
        ]
    if summary["findings"]:
        lines += ["", "### Findings", "", *section(summary["findings"])]
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
