"""What a finished sweep shows: figures, tables, notes, runs and its model, sealed as the study's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lib.config import SweepStudy
from lib.datasets.dataset import Dataset
from lib.evaluation import figures
from lib.evaluation.checks import LEARNED_MARGIN, same_model_flags, study_flag
from lib.evaluation.intervals import Estimate
from lib.mlp.labels import params, wrapped
from lib.mlp.store import save_network
from lib.search.search import Search
from lib.studies.comparison import steps, verdict
from lib.studies.configuration import Configuration, best_of, final_accuracy, ranked_rows, seed_curves, winner
from lib.studies.finals import prediction_digests, report_finals
from lib.studies.findings import answers
from lib.studies.record import DatasetNote, ModelNote, RunNote, StudyFolder, StudyRecord
from lib.studies.search_report import ending_sentences, report_searches, trial_flags
from lib.studies.settings_report import report_settings, way_words
from lib.studies.sweep_baselines import Beside
from lib.studies.sweep_notes import axis_word, sweep_notes
from lib.studies.trial_runs import Final, sweep_runs
from lib.studies.tried import tried

TITLES = {
    "activations": "Activation functions",
    "hidden_units": "Hidden units",
    "learning_rates": "Learning rates",
}

_PANELS, _PANEL_WIDTH, _ROWS = 12, 30, 40
"""Configurations that a figure draws a panel (so many letters wide) or a row for."""


def seal_sweep(
    name: str,
    study: SweepStudy,
    dataset: Dataset,
    folder: StudyFolder,
    searches: Mapping[str, Search],
    configurations: Sequence[Configuration],
    finals: Sequence[Final],
    beside: Beside,
) -> StudyRecord:
    """Draw and tabulate a finished sweep, and seal its record."""
    title = TITLES[name]
    note = DatasetNote.of(dataset)
    summaries = [each.summary() for each in configurations]
    best = winner(configurations)
    compared = [each for each in configurations if not each.halved]
    arms = list(study.arms)
    searched = [arm for arm in arms if study.arms[arm].search is not None]
    flags = trial_flags(searched, configurations)
    if whole := study_flag([flag for each in compared for flag in each.flags]):
        flags.insert(0, whole)
    flags += same_model_flags([*prediction_digests(finals), *beside.digests()])
    flags += beside.flags()
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
    alone = all(set(arm.varied) == {study.axis} for arm in study.arms.values())
    rows_are = axis_word(study.axis) if alone else "configuration"
    heading = f"{title} on {dataset.name}{words_shown}"
    lines = beside.references() if beside.split == "validation" else []
    folder.figure(
        "summary",
        figures.axis_summary([each.summary() | {"label": each.shown} for each in shown], rows_are, heading, lines),
    )
    varied = dict.fromkeys(setting for arm in study.arms.values() for setting in arm.varied)
    folder.table("configurations", ranked_rows(configurations, list(varied)))
    judged = verdict(best, compared, final_accuracy, len(arms) > 1)
    # Where an arm varies more than the axis, its neighbours differ in more than one setting: others are still asked.
    in_order = [
        each for each in compared if each.arm not in searched and set(study.arms[each.arm].grid) == {study.axis}
    ]
    # Averages over the epochs compare only where the epochs are the same.
    comparable = not any(result.ended in ("patience", "halved") for each in in_order for result in each.results)
    changes = steps(in_order) if in_order and comparable and study.axis != "activation" else []
    if changes:
        folder.table("steps", changes)
    points = {
        arm: tried(study.arms[arm], searches[arm], [each for each in configurations if each.arm == arm]) for arm in arms
    }
    settings = report_settings(points, folder, title)
    comparison = beside.rows()
    folder.table("comparison", comparison)
    summary: dict[str, Any] = {
        "dataset": {"name": note.name, "rows": note.rows},
        "axis": study.axis,
        "configurations": summaries,
        "best": best.summary(),
        "verdict": judged,
        "steps": changes,
        "search": report_searches(study, points, settings, folder, title),
        "settings": settings,
        "comparison": comparison,
        "comparison_rows": {"split": beside.split, "count": len(beside.labels)},
        "endings": ending_sentences(study, configurations),
        "findings": [asdict(answer) for answer in answers(study.axis, in_order)] if in_order else [],
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
        chosen = next(final for final in finals if final.value == best.value)
        summary |= report_finals(study, finals, chosen, beside, dataset, folder, title)
        of_best = next(row for row in summary["finals"] if row["value"] == best.value)
        metrics |= {key: of_best[key] for key in ("test_accuracy", "test_f1", "test_loss")}
        tested = Estimate.of(of_best["statistics"]["test_accuracy"])
        metrics |= _spread("test_accuracy_over_seeds", tested)
        headline = f"{best.label}: test accuracy {tested.words}; on validation rows {judged}"
        model = _model(folder, chosen, dataset)
    return folder.seal(
        title=f"{title} on {dataset.name}",
        headline=headline,
        notes=sweep_notes(title, study, note, summary, flags),
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
                "arms": ", ".join(f"{arm} ({way_words(points[arm].way)})" for arm in arms),
                **({"patience": study.patience} if study.patience else {}),
                **({"rungs": ", ".join(f"{r.keep:g} after {r.epoch}" for r in study.rungs)} if study.rungs else {}),
                **{
                    f"best.{name}": value
                    for name, value in ({"arm": best.arm} | params(best.results[0].trial)).items()
                    if name != "seed"
                },
            },
            metrics,
        ),
        children=(*sweep_runs(folder.key, study, configurations, finals), *beside.runs(folder.key)),
        flags=tuple(flags),
        model=model,
    )


def _spread(name: str, estimate: Estimate) -> dict[str, float]:
    """A figure's spread over seeds as metrics; none for one seed."""
    figures_of = {
        f"{name}_standard_deviation": estimate.standard_deviation,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }
    return {key: value for key, value in figures_of.items() if value is not None}


def _model(folder: StudyFolder, chosen: Final, dataset: Dataset) -> ModelNote:
    network = "network.safetensors"
    save_network(folder.path / network, chosen.result.network)
    rows = dataset.pixels("test")[:5]
    example = folder.example("example.safetensors", rows, chosen.result.network.predict_proba(rows))
    pixels = f"{rows.shape[1]} pixel values in [0, 1]"
    return ModelNote(
        network, example, f"{chosen.label} on {dataset.name}; input: {pixels}; output: class probabilities"
    )
