"""A sweep as runs to be compared in MLflow: the study's own, one a configuration, and below that one a trial.

A configuration's run has under each name the mean of what its trials have, so that both share the columns of one table;
a mean's interval and spread are named `_low`, `_high` and `_standard_deviation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lib.evaluation.intervals import LOSS, SHARE, Estimate, half_width, over_seeds, wilson
from lib.evaluation.measures import MEASURES
from lib.files import digest_json
from lib.mlp.labels import params
from lib.studies.presentation import BOUNDS, RANK, Role, Rows, RunNote
from lib.studies.study import Record
from lib.studies.sweep.result import ModelRole, Scored, SweepResult, TrialOutcome
from lib.studies.sweep.words import best_models, configuration_name, model_name
from lib.text import listed

_LOGGED = 1000
"""Runs of configurations and their trials, at most: MLflow makes some 20 a second, and its pages compare a few hundred."""

_OF_SCORES = ("roc_auc", "average_precision")
"""Measures whose metrics are not named by rows: those of validation rows stand at baselines alone."""

_WATCHED = ("validation_accuracy", "validation_loss")
_TRAINED = ("train_loss", "train_accuracy")


def study_run(record: Record[SweepResult], title: str) -> RunNote:
    """The study's own run: what it tried, and the figures of the best configuration."""
    result = record.result
    settings, best = result.settings, result.configurations[result.best]
    shown: dict[str, str | int | float] = {
        "input": result.representations[0].description,
        "trials": sum(len(each.trials) for each in result.configurations),
        "seeds": len(settings.seeds),
        "configurations": len(result.configurations),
        "variants": listed([f"{each.variant} ({sampler_words(each.sampler)})" for each in result.explored]),
    }
    if settings.axis is not None:
        shown["axis"] = settings.axis
    if settings.patience is not None:
        shown["patience"] = settings.patience
    if settings.rungs:
        shown["rungs"] = ", ".join(f"{rung.keep:g} after {rung.epoch}" for rung in settings.rungs)
    shown |= {
        f"best.{name}": value
        for name, value in _trial_params(result, best.trial, best.variant).items()
        if name != "seed"
    }
    metrics = best_figures(result) | {"majority": result.majority, "training_seconds": result.training_seconds}
    return RunNote(record.key, title, shown, _finite(metrics))


def best_figures(result: SweepResult) -> dict[str, float]:
    """The best configuration's figures: test figures where the sweep tests, then validation figures, with intervals."""
    figures: dict[str, float] = {}
    if result.judged_on is Rows.TEST:
        for name in result.models[result.chosen].scores[0].measures:
            figures |= _spread(metric(name, Rows.TEST), result.over_seeds(result.chosen, name))
        if len(result.models[result.chosen].scores) == 1:
            figures |= _row_bounds(result, result.chosen, 0)
    trials = result.configurations[result.best].trials
    final = result.estimate(trials, "final_validation_accuracy")
    figures |= _spread("final_validation_accuracy", final)
    figures["best_validation_accuracy"] = float(np.mean([each.best_validation_accuracy for each in trials]))
    figures["best_validation_loss"] = float(np.mean([each.best_validation_loss for each in trials]))
    return figures


def runs_below(record: Record[SweepResult]) -> tuple[RunNote, ...]:
    """The runs of all configurations, winners, other inputs and baselines, each followed by those of its trials."""
    return (*_configurations(record), *_models(record))


def logged_configurations(result: SweepResult) -> int:
    """How many configurations have runs at most, the best first, and how many models."""
    return _LOGGED // (1 + len(result.settings.seeds)) or 1


def sampler_words(sampler: str) -> str:
    """How a variant's configurations were found: "grid", "TPE search"."""
    return {"grid": "grid", "tpe": "TPE search"}.get(sampler, f"{sampler} search")


def metric(measure: str, rows: Rows) -> str:
    """What a measure is called as a metric of a run: "test_accuracy", "roc_auc"."""
    return measure if measure in _OF_SCORES else f"{rows.value}_{measure}"


def _configurations(record: Record[SweepResult]) -> Iterator[RunNote]:
    result = record.result
    most = logged_configurations(result)
    for position, each in enumerate(result.configurations):
        if each.rank > most:
            continue
        name = configuration_name(result, position)
        trials = [
            _trial_run(
                [record.key, Role.TRIAL, each.variant, trial.trial.model_dump(mode="json")],
                Role.TRIAL,
                name,
                trial,
                _trial_params(result, trial.trial, each.variant),
            )
            for trial in each.trials
        ]
        yield from with_configuration(name, trials, each.rank, result.overlap)


def _models(record: Record[SweepResult]) -> Iterator[RunNote]:
    result = record.result
    for position in best_models(result, range(len(result.models)), logged_configurations(result))[0]:
        model = result.models[position]
        if model.role is ModelRole.BASELINE:
            yield from _baseline_runs(record, position, model)
        elif result.judged_on is Rows.TEST:  # on validation rows, a winner is a configuration that has its run
            name = f"final · {model_name(result, position)}"
            runs = []
            for place, trial in enumerate(model.trials):
                key = [record.key, Role.FINAL, _representation(result, model), trial.trial.model_dump(mode="json")]
                shown = params(trial.trial) | _budget(model)
                shown |= {"input": result.representations[model.representation].description}
                run = _trial_run(key, Role.FINAL, name, trial, shown)
                metrics = _finite(_scored(result, position, place)) | run.metrics
                runs.append(replace(run, metrics=metrics | {"choosing_seconds": model.tuning.seconds}))
            yield from with_configuration(name, runs)


def _baseline_runs(record: Record[SweepResult], position: int, model: Scored) -> list[RunNote]:
    """A baseline's run; of one with several seeds a configuration's, and below it one a seed."""
    result = record.result
    name = model_name(result, position)
    configuration = None if model.configuration is None else result.configurations[model.configuration]
    shown: dict[str, str | int | float] = (
        {} if configuration is None else params(configuration.trial) | {"init": "sklearn"}
    )
    shown |= {"model": name, "input": result.representations[model.representation].description, **model.settings}
    shown |= _budget(model)
    seconds = {"choosing_seconds": model.tuning.seconds}
    runs = []
    for place, score in enumerate(model.scores):
        settings = None if configuration is None else configuration.key
        key = [record.key, Role.BASELINE, model.baseline, _representation(result, model), settings, score.seed]
        runs.append(
            RunNote(
                key=digest_json(key),
                name=f"{name} · seed {score.seed}" if len(model.scores) > 1 else name,
                params=shown | {"seed": score.seed},
                metrics=_finite(_scored(result, position, place)) | {"training_seconds": score.seconds} | seconds,
                tags={"probeflow.engine": "scikit-learn"},
                role=Role.BASELINE,
                rows=result.judged_on,
            )
        )
    return runs if len(runs) == 1 else with_configuration(name, runs)


def _budget(model: Scored) -> dict[str, str | int | float]:
    return {"settings_tried": model.tuning.tried, "tuned_on": model.tuning.on.value}


def _representation(result: SweepResult, model: Scored) -> str:
    return result.representations[model.representation].digest


def _scored(result: SweepResult, position: int, place: int) -> dict[str, float]:
    """One seed's measures; the accuracy first, with its interval over rows."""
    score = result.models[position].scores[place]
    rows = result.judged_on
    accuracy = {metric("accuracy", rows): score.measures["accuracy"]} | _row_bounds(result, position, place)
    return accuracy | {metric(name, rows): value for name, value in score.measures.items()}


def _row_bounds(result: SweepResult, position: int, place: int) -> dict[str, float]:
    """The interval of a seed's accuracy over rows: the first seed's, and where rows are independent each seed's."""
    model = result.models[position]
    name = metric("accuracy", result.judged_on)
    if place == 0:
        interval = model.accuracy
    elif result.groups is None:
        interval = wilson(model.scores[place].right, result.judged_rows)
    else:
        return {}
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def _trial_params(result: SweepResult, trial: Any, variant: str) -> dict[str, str | int | float]:
    several = len(result.settings.variants) > 1
    return ({"variant": variant} if several else {}) | params(trial)


def _trial_run(
    key: Sequence[Any], role: Role, name: str, trial: TrialOutcome, shown: dict[str, str | int | float]
) -> RunNote:
    """A trial's run: a FINAL watched the test rows.

    Its figures are those at the epoch with the best validation loss (best_epoch_*), after the last epoch (last_epoch_*)
    and averaged over the epochs (mean_*). A final's per-epoch figures are named test_*, nothing of it carries a validation
    figure's name, and it has no best epoch, for none is chosen by test rows.
    """
    last = trial.history[-1]
    metrics: dict[str, float] = {}
    if role is Role.TRIAL:
        best = trial.history[trial.best_epoch - 1]
        # First what the best configuration is chosen by, for MLflow's comparison opens with a run's first metric.
        metrics |= {f"last_epoch_{figure}": last[figure] for figure in _WATCHED}
        metrics |= {f"best_epoch_{figure}": best[figure] for figure in _WATCHED + _TRAINED}
        metrics |= {"best_epoch": float(trial.best_epoch), "mean_validation_loss": trial.mean_validation_loss}
    metrics |= {f"last_epoch_{figure}": last[figure] for figure in _TRAINED}
    metrics |= {
        "last_epoch": float(len(trial.history)),
        "mean_train_loss": trial.mean_train_loss,
        "training_seconds": trial.seconds,
        "parameters": float(trial.parameters),
    }
    rows = Rows.TEST if role is Role.FINAL else Rows.VALIDATION
    history = tuple(
        {
            column.replace("validation_", f"{rows.value}_"): value if math.isfinite(value) else None
            for column, value in record.items()
        }
        for record in trial.history
    )
    ended = trial.ended_words
    return RunNote(
        key=digest_json(list(key)),
        name=f"{name} · seed {trial.trial.seed}",
        params=shown | {"ended": ended},
        metrics=_finite(metrics),
        history=history,
        tags={"probeflow.engine": "probeflow", "probeflow.ended": ended, "probeflow.learned": trial.learned.value},
        role=role,
        rows=rows,
    )


def with_configuration(
    name: str, trials: Sequence[RunNote], rank: int | None = None, overlap: float = 0.0
) -> list[RunNote]:
    """The run of a configuration, then its trials' runs, one a seed, now below it.

    `trials`: of one role; params and tags in which they differ are listed, settings in which they differ left out.
    `overlap`: see `SweepResult.overlap`; of candidates.
    """
    first = trials[0]
    shown = {
        setting: value
        for setting, value in first.params.items()
        if setting not in ("seed", "ended") and all(trial.params[setting] == value for trial in trials)
    }
    ended: dict[str, str | int | float] = (
        {"ended": _listed(str(each.params["ended"]) for each in trials)} if "ended" in first.params else {}
    )
    tags = {tag: _listed(trial.tags[tag] for trial in trials) for tag in first.tags}
    run = RunNote(
        key=digest_json([Role.CONFIGURATION, *(trial.key for trial in trials)]),
        name=name,
        params=shown | {"seeds": len(trials)} | ended,
        metrics=_means([trial.metrics for trial in trials], overlap) | ({} if rank is None else {RANK: float(rank)}),
        history=_mean_curves([trial.history for trial in trials], overlap),
        tags=tags | {"mlflow.note.content": _note(len(trials))},
        role=Role.CONFIGURATION,
        rows=first.rows,
        trials=first.role,
    )
    return [run, *(replace(trial, below=run.key) for trial in trials)]


def _listed(texts: Iterator[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _note(seeds: int) -> str:
    if seeds == 1:
        return "One seed, so no figure has an interval over seeds. The trial itself is the run below."
    return (
        f"Means over {seeds} seeds, whose trials are the runs below. `_low` and `_high` are the 95 % confidence interval of "
        "the mean (Student's t), `_standard_deviation` is the spread from seed to seed; curves are means in each epoch, to "
        "the last that all seeds have."
    )


def _within(name: str) -> tuple[float, float] | None:
    """The values that a figure can have; None for what is told by its mean alone, such as seconds."""
    for rows in Rows:
        measure = name.removeprefix(f"{rows.value}_")
        if measure in MEASURES:
            return MEASURES[measure].within
    if name.endswith("loss"):
        return LOSS
    return SHARE if name.endswith("accuracy") else None


def _means(seeds: Sequence[Mapping[str, float]], overlap: float) -> dict[str, float]:
    """Each figure that all seeds have; of one seed what it has, with its own intervals over test rows."""
    if len(seeds) == 1:
        return dict(seeds[0])
    means: dict[str, float] = {}
    for name in seeds[0]:
        of_rows = name.endswith(BOUNDS) and name.rpartition("_")[0] in seeds[0]
        if of_rows or any(name not in seed for seed in seeds):
            continue
        within = _within(name)
        values = [seed[name] for seed in seeds]
        means |= _spread(name, over_seeds(values, within, overlap)) if within else {name: float(np.mean(values))}
    return means


def _spread(name: str, of: Estimate) -> dict[str, float]:
    """A figure's mean, and where there are several seeds its interval and standard deviation."""
    spread = {f"{name}_low": of.low, f"{name}_high": of.high, f"{name}_standard_deviation": of.standard_deviation}
    return {name: of.mean} | {key: value for key, value in spread.items() if value is not None}


def _mean_curves(
    seeds: Sequence[Sequence[Mapping[str, float | None]]], overlap: float
) -> tuple[dict[str, float | None], ...]:
    """Each epoch's means to the last epoch that all seeds have; of losses and accuracies that were watched, intervals too."""
    epochs = min(map(len, seeds))
    if epochs == 0:
        return ()
    columns: dict[str, Any] = {}
    for name in seeds[0][0]:
        values = np.array([[record[name] for record in seed[:epochs]] for seed in seeds], dtype=float)
        mean = values.mean(axis=0)
        columns[name] = mean
        within = _within(name)
        if len(seeds) > 1 and within and not name.startswith("train_"):
            half = half_width(values, overlap)
            columns |= {f"{name}_low": np.maximum(mean - half, within[0])}
            columns |= {f"{name}_high": np.minimum(mean + half, within[1])}
    return tuple(
        {name: float(column[epoch]) if math.isfinite(column[epoch]) else None for name, column in columns.items()}
        for epoch in range(epochs)
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that are finite: MLflow shows no others."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
