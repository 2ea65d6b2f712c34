"""Show a study's record in MLflow: its own run with figures, notes and model, below it configurations, below each its trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mlflow.entities import DatasetInput, Metric, Param, Run

from lib.graph.history import last_step
from lib.mlp.labels import number
from lib.progress import bar
from lib.report import REPORT
from lib.report.changes import presented
from lib.report.history import HISTORY
from lib.studies.presentation import RANK, Presentation, Role, RunNote, escaped, markdown
from lib.studies.study import Record, kind_named
from lib.studies.sweep.predictions import FILE as PREDICTIONS
from lib.tracking.models import log_network
from lib.tracking.run_inputs import datasets_of, inputs_of
from lib.tracking.store import (
    DATA_TAG,
    KEY_TAG,
    KIND_TAG,
    RESULT_TAG,
    ROLE_TAG,
    ROOT_TAG,
    ROWS_TAG,
    STUDY_TAG,
    TRIALS_TAG,
    WARNINGS_TAG,
    Tracking,
    bounded_tag,
    experiment_name,
)
from lib.tracking.system_metrics import system_metrics
from lib.tracking.turns import turn
from lib.tracking.views import Link, as_markdown, comparison_links, save_views

_NOTE_TAG = "mlflow.note.content"

_FIRST = (
    "**Open first** a run without a parent: one each time the study was run with other settings or data. Its "
    "description has the answer; under *Artifacts* are its figures, tables, notes, and of a whole run the report."
)

_COMPARE = """**Compare** by the links in that description. Or open *Views*, at the top right: "Newest" lists the last study's \
configurations, best first; as charts it shows their curves.

| `probeflow.role` | what the run is |
|---|---|
| (none) | the study: answer, figures, tables, model |
| `configuration` | one setting: means over its seeds, each with `_low` and `_high` (95 % interval) and \
`_standard_deviation`; curves are means; `rank` 1 is the best |
| `trial` | one seed of it, judged on validation rows |
| `final` | a winner trained again on all but test rows, judged on test rows |
| `baseline` | another model on the same rows |

`best_epoch_*` is taken at the epoch with the best validation loss, `last_epoch_*` after the last epoch, `mean_*` averaged over \
the epochs; `train_loss`, `validation_loss` and so on are the curves, at most 30 points of each; the table \
shows the last. The study's record has every epoch."""

_POINTS = 30
"""Of a curve, at most: each is a row of MLflow's database, and the study's record has every epoch."""

_Epoch = Mapping[str, float | None]

_BATCH = 1000  # MLflow's limit of params, metrics and tags together in one call


def log_record(
    tracking: Tracking, record: Record[Any], links: Mapping[str, str], shown: Presentation | None = None
) -> Run:
    """Log `record` under the experiment `probeflow/<study>` and return its finished parent run.

    `links`: tags that lead back to the flow run, e.g. "prefect.flow_run_id".
    `shown`: what the record presents (see `lib.report.changes.presented`), for who has it already.
    """
    shown = presented(record, last_step(record)) if shown is None else shown
    experiment = tracking.experiment(experiment_name(record.name), experiment_note(record, shown))
    found = tracking.find(experiment, shown.parent.key)
    if found is not None and found.info.status == "FINISHED":
        return found
    with turn(tracking.client, experiment, shown.parent.key):
        return _log_alone(tracking, experiment, record, shown, links)


def _log_alone(
    tracking: Tracking, experiment: str, record: Record[Any], shown: Presentation, links: Mapping[str, str]
) -> Run:
    notes = markdown(shown)
    about = {
        STUDY_TAG: record.name,
        KIND_TAG: record.kind,
        DATA_TAG: f"{record.dataset.name} {record.dataset.digest[:12]}",
    }
    tags = {_NOTE_TAG: notes, RESULT_TAG: shown.headline, **about, **_tags(shown.parent), **links}
    if shown.warnings:
        tags[WARNINGS_TAG] = "; ".join(shown.warnings)
    key = shown.parent.key
    found = tracking.find(experiment, key)
    if found is not None and found.info.status == "FINISHED":
        return found
    parent = found or tracking.create(experiment, key, shown.parent.name, tags)
    client, parent_id = tracking.client, parent.info.run_id
    used = inputs_of(datasets_of(record), {run.rows for run in shown.runs if run.rows is not None})
    _log_run(tracking, parent, _with_best(shown), used, system_metrics(record.folder))
    there = () if found is None else tracking.all_runs([experiment], f"tags.`{ROOT_TAG}` = '{parent_id}'")
    logged = _log_runs_below(tracking, parent, record, shown, {**about, **links}, there)
    client.log_text(parent_id, notes, "notes.md")
    for part, kept in (("figures", record.figures), ("tables", record.tables)):
        if kept:
            client.log_artifacts(parent_id, str(record.folder / part), part)
    for name in (REPORT, HISTORY, PREDICTIONS):
        if (record.folder / name).exists():
            client.log_artifact(parent_id, str(record.folder / name))
    if record.model is not None:
        log_network(tracking, parent_id, record)
    if tracking.is_server:
        _delete_doubles(tracking, experiment, parent, logged)
    save_views(tracking, parent, shown)
    compared = comparison_links(tracking, parent, shown)
    client.set_tag(parent_id, _NOTE_TAG, bounded_tag(description(shown, compared)))
    client.set_terminated(parent_id)  # last: a finished run is a whole one
    return client.get_run(parent_id)


def _tags(note: RunNote) -> dict[str, str]:
    typed = {ROLE_TAG: note.role, ROWS_TAG: note.rows, TRIALS_TAG: note.trials}
    return note.tags | {tag: value.value for tag, value in typed.items() if value is not None}


def _with_best(shown: Presentation) -> RunNote:
    """The study's own run, with the figures of the configuration that ranks first under the names its run has them by."""
    best = next((run for run in shown.runs if run.metrics.get(RANK) == 1), None)
    if best is None:
        return shown.parent
    known = {name: value for name, value in best.metrics.items() if name != RANK and name not in shown.parent.metrics}
    return replace(shown.parent, metrics=shown.parent.metrics | known)


def _log_runs_below(
    tracking: Tracking,
    parent: Run,
    record: Record[Any],
    shown: Presentation,
    tags: Mapping[str, str],
    logged_before: Iterable[Run],
) -> set[str]:
    """Log the runs below the study's, each after the one it is below; ids of all its runs."""
    experiment, root = parent.info.experiment_id, parent.info.run_id
    there = {run.data.tags[KEY_TAG]: run for run in logged_before}
    logged = {"": root}
    with bar(f"{record.name} to MLflow", len(shown.runs), "run") as advance:
        for note in shown.runs:
            run = there.get(note.key)
            if run is None:
                # The run shows when the trial trained and for how long, not how long it took to log.
                start = int(1000 * (time.time() - note.metrics.get("training_seconds", 0.0)))
                above = {"mlflow.parentRunId": logged[note.below], ROOT_TAG: root}
                run = tracking.create(experiment, note.key, note.name, {**tags, **_tags(note), **above}, start)
            elif run.data.tags.get("mlflow.parentRunId") != logged[note.below]:
                # It was logged below the other of two doubles, which is deleted in the end.
                tracking.client.set_tag(run.info.run_id, "mlflow.parentRunId", logged[note.below])
            logged[note.key] = run.info.run_id
            if run.info.status != "FINISHED":
                # A trial's data are its configuration's; to name them at each of hundreds takes a fifth of the time.
                rows = () if note.rows is None else (note.rows,)
                _log_run(tracking, run, note, [] if note.below else inputs_of([record.dataset], rows))
                tracking.client.set_terminated(run.info.run_id)
            advance(1)
    return set(logged.values())


def _delete_doubles(tracking: Tracking, experiment: str, parent: Run, logged: set[str]) -> None:
    """Delete runs that a server made twice: its answer was lost on the way, and MLflow's client asked again."""
    same = f"tags.`{KEY_TAG}` = '{parent.data.tags[KEY_TAG]}'", f"tags.`{ROOT_TAG}` = '{parent.info.run_id}'"
    found = [run.info.run_id for wanted in same for run in tracking.all_runs([experiment], wanted)]
    for run_id in set(found) - logged:
        tracking.client.delete_run(run_id)


def _log_run(
    tracking: Tracking, run: Run, note: RunNote, used: list[DatasetInput], more: Sequence[Metric] = ()
) -> None:
    # Times follow from the run's start alone, so that logging again after a crash repeats the same points.
    start = run.info.start_time
    last = len(note.history)
    metrics = [Metric(name, float(value), start, last) for name, value in note.metrics.items()]
    metrics += [
        Metric(name, float(value), start + int(1000 * (of_epoch.get("seconds") or 0)), int(of_epoch["epoch"] or 0))
        for of_epoch in _spaced(note.history)
        for name, value in of_epoch.items()
        if value is not None and name not in ("epoch", "seconds")
    ]
    metrics += more
    params = [
        Param(name, number(value) if isinstance(value, float) else str(value)) for name, value in note.params.items()
    ]
    client, run_id = tracking.client, run.info.run_id
    room = _BATCH - len(params)
    client.log_batch(run_id, params=params, metrics=metrics[:room])
    for begin in range(room, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
    if used:
        client.log_inputs(run_id, used)


def _spaced(history: Sequence[_Epoch]) -> Sequence[_Epoch]:
    """Epochs whose figures make a curve: all of few, else so many evenly spaced ones, with the first and the last."""
    if len(history) <= _POINTS:
        return history
    return [history[round(place)] for place in np.linspace(0, len(history) - 1, _POINTS)]


def experiment_note(record: Record[Any], shown: Presentation) -> str:
    """What the experiment of all studies with this name says: the question of their kind, and how to read its runs."""
    compares = any(run.role is Role.CONFIGURATION for run in shown.runs)
    # MLflow's list of experiments shows the first lines as they stand: in plain words.
    return "\n\n".join([kind_named(record.kind).question, _FIRST, *([_COMPARE] if compares else [])])


def description(shown: Presentation, links: Iterable[Link]) -> str:
    """A study's own run for people: how to compare, the answer, then the notes.

    MLflow shows 100 pixels of it until "Show more", of which only the first two lines can be clicked: so the links come
    before the answer, which may be long.
    """
    compared = as_markdown(links)
    head = [f"**Compare:** {compared}" if compared else "", f"**Answer:** {escaped(shown.headline)}"]
    return "  \n".join(line for line in head if line) + f"\n\n{markdown(shown)}"
