"""The tables of a sweep: numbers unrounded, one name a column, made of its typed result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lib.evaluation.checks import Learned
from lib.evaluation.intervals import Difference, Estimate, Interval
from lib.evaluation.metrics import confused_pairs
from lib.mlp.labels import params
from lib.studies.study import Table
from lib.studies.sweep.result import SweepResult
from lib.studies.sweep.words import configuration_name, endings, model_name, settings_words

Row = dict[str, Any]

_STATISTICS = (
    "final_validation_accuracy",
    "best_validation_accuracy",
    "best_validation_loss",
    "mean_validation_loss",
    "mean_train_loss",
)
"""Figures of a trial that tables have over seeds."""


def tables(result: SweepResult) -> Iterator[Table]:
    """All tables, those first that are read most."""
    yield Table("configurations", "All configurations, the best first", configuration_rows(result))
    yield Table("models", "The models that were scored", model_rows(result))
    if result.leads:
        yield Table("comparison", "The chosen model against each other", comparison_rows(result))
    yield Table("measures", "Measures of all models with their intervals", measure_rows(result))
    yield Table("per-class", "Precision and recall of each class", class_rows(result))
    yield Table("confusion-matrix", "True classes and predicted ones", confusion_rows(result))
    if confused := confused_rows(result):
        yield Table("confusions", "Classes that were taken for others, the largest first", confused)
    yield Table("calibration", "Confidence and accuracy in bins", calibration_rows(result))
    if result.most_wrong:
        yield Table("most-wrong", "Wrong predictions of highest probability", wrong_rows(result))
    if result.steps:
        yield Table("steps", "From one value of the axis to the next", step_rows(result))
    if important := importance_rows(result):
        yield Table("importances", "Importance of each setting", important)


def configuration_rows(result: SweepResult) -> list[Row]:
    """One row a configuration, the best first: the settings that vary anywhere, and figures over seeds."""
    varied = dict.fromkeys(name for each in result.configurations for name in each.varied)
    leads = {rival.configuration: rival.difference for rival in result.judgement.rivals}
    rows = []
    for position in sorted(range(len(result.configurations)), key=lambda at: result.configurations[at].rank):
        each = result.configurations[position]
        settings = params(each.trial)
        unlearned = [trial.learned for trial in each.trials if trial.learned not in (Learned.YES, Learned.NOT_JUDGED)]
        row: Row = {
            "rank": each.rank,
            "variant": each.variant,
            "label": configuration_name(result, position, variant=False),
            **{name: settings[name] for name in varied},
            "seeds": len(each.trials),
            "ended": endings(each.trials),
            "not_learned": ", ".join(dict.fromkeys(found.value for found in unlearned)),
        }
        for name in _STATISTICS:
            row |= _estimate(name, result.estimate(each.trials, name))
        rows.append(row | _difference("best_less_this", leads.get(position)))
    return rows


def model_rows(result: SweepResult) -> list[Row]:
    """One row a scored model: what it is, how its settings were chosen, and its accuracy over seeds and over rows."""
    rows = []
    for position, model in enumerate(result.models):
        row: Row = {
            "model": model_name(result, position),
            "role": model.role.value,
            "chosen": position == result.chosen,
            "input": result.representations[model.representation].description,
            "settings": settings_words(result, position),
            "settings_tried": model.tuning.tried,
            "tuned_on": model.tuning.on.value,
            "rows": result.judged_on.value,
            "seeds": len(model.scores),
            **_estimate("accuracy", result.over_seeds(position, "accuracy")),
            **_interval("first_seed_accuracy", model.accuracy),
            **_interval("seeds_and_rows_accuracy", model.with_both),
            "choosing_seconds": model.tuning.seconds,
            "training_seconds": sum(score.seconds for score in model.scores),
        }
        rows.append(row)
    return rows


def comparison_rows(result: SweepResult) -> list[Row]:
    """One row for each other model: the chosen one's accuracy less its own, on the same rows and over seeds."""
    corrected = result.over_seeds_p()
    return [
        {
            "model": model_name(result, lead.model),
            "outcome": lead.outcome.value,
            **_interval("difference", lead.same_rows),
            "chosen_alone_right": lead.same_rows.only_first,
            "other_alone_right": lead.same_rows.only_second,
            "mcnemar_p": lead.same_rows.p_value,
            "holm_p": lead.p,
            **_difference("over_seeds_difference", lead.over_seeds),
            "over_seeds_difference_holm_p": corrected.get(lead.model),
        }
        for lead in result.leads
    ]


def measure_rows(result: SweepResult) -> list[Row]:
    """One row a model and measure: the first seed's with its bootstrap interval, and mean and interval over seeds."""
    return [
        {
            "model": model_name(result, position),
            "measure": name,
            **_interval("first_seed", first),
            "seeds": len(model.scores),
            **_estimate("mean", result.over_seeds(position, name)),
        }
        for position, model in enumerate(result.models)
        for name, first in model.measured.items()
    ]


def class_rows(result: SweepResult) -> list[Row]:
    """One row a class."""
    return [
        {
            "class": name,
            **_interval("precision", each.precision),
            **_interval("recall", each.recall),
            "f1": each.f1,
            "rows": each.support,
        }
        for name, each in zip(result.classes, result.per_class, strict=True)
    ]


def confusion_rows(result: SweepResult) -> list[Row]:
    """One row a true class: rows predicted as each class."""
    names = [f"predicted {name}" for name in result.classes]
    return [
        {"true class": name, **dict(zip(names, counts, strict=True))}
        for name, counts in zip(result.classes, result.confusion, strict=True)
    ]


def confused_rows(result: SweepResult) -> list[Row]:
    """One row a pair of classes, the first of which was taken for the second."""
    return [
        {
            "true": result.classes[true],
            "predicted": result.classes[predicted],
            "rows": (count := result.confusion[true][predicted]),
            "share_of_true": count / result.per_class[true].support,
        }
        for true, predicted in confused_pairs(np.array(result.confusion))
    ]


def calibration_rows(result: SweepResult) -> list[Row]:
    """One row a model and bin of confidence that has rows."""
    return [
        {
            "model": model_name(result, position),
            "confidence_low": each.low,
            "confidence_high": each.high,
            "rows": each.rows,
            "mean_confidence": each.confidence,
            **_interval("accuracy", each.accuracy),
        }
        for position, bins in enumerate(result.calibration)
        for each in bins
    ]


def wrong_rows(result: SweepResult) -> list[Row]:
    """One row a wrong prediction, the surest first."""
    return [
        {
            "row": each.row,
            "true": result.classes[each.true],
            "predicted": result.classes[each.predicted],
            "probability": each.probability,
            "probability_of_true": each.probability_of_true,
        }
        for each in result.most_wrong
    ]


def step_rows(result: SweepResult) -> list[Row]:
    """One row a step along the axis within a variant; p-values by Holm's correction."""
    return [
        {
            "variant": step.variant,
            "from": configuration_name(result, step.before, variant=False),
            "to": configuration_name(result, step.after, variant=False),
            **_difference("mean_train_loss_change", step.train_loss),
            "mean_train_loss_change_holm_p": step.train_loss_p,
            **_difference("best_validation_loss_change", step.validation_loss),
            "best_validation_loss_change_holm_p": step.validation_loss_p,
        }
        for step in result.steps
    ]


def importance_rows(result: SweepResult) -> list[Row]:
    """One row a variant and setting."""
    return [
        {"variant": each.variant, "setting": name, "importance": share}
        for each in result.explored
        for name, share in (each.importances or {}).items()
    ]


def _estimate(name: str, of: Estimate) -> Row:
    return {
        name: of.mean,
        f"{name}_standard_deviation": of.standard_deviation,
        f"{name}_low": of.low,
        f"{name}_high": of.high,
    }


def _interval(name: str, of: Interval | None) -> Row:
    if of is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: of.estimate, f"{name}_low": of.low, f"{name}_high": of.high}


def _difference(name: str, of: Difference | None) -> Row:
    return _interval(name, of) | {f"{name}_p": None if of is None else of.p_value}
