"""Show a study's record in MLflow: its own run with figures, notes and model, below it configurations, below each its trials."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run

from lib.progress import bar
from lib.report import REPORT
from lib.studies.configuration_runs import RANK
from lib.studies.predictions import FILE as PREDICTIONS
from lib.studies.record import DatasetNote, RunNote, StudyRecord
from lib.tracking.models import log_network
from lib.tracking.notes import EXPERIMENT_NOTES, description
from lib.tracking.store import KEY_TAG, ROOT_TAG, Tracking, bounded_tag
from lib.tracking.turns import turn
from lib.tracking.views import comparison_links, save_views

_NOTE_TAG = "mlflow.note.content"

_BATCH = 1000  # MLflow's limit of params, metrics and tags together in one call


def experiment_name(record: StudyRecord) -> str:
    """Name of the experiment that shows records of this study."""
    return f"probeflow/{record.study}"


def log_record(tracking: Tracking, record: StudyRecord, links: Mapping[str, str]) -> Run:
    """Log `record` under the experiment `probeflow/<study>` and return its finished parent run.

    Parameters
    ----------
    links : mapping of str to str
        Tags that lead back to the flow run, e.g. "prefect.flow_run_id".
    """
    experiment = tracking.experiment(experiment_name(record), EXPERIMENT_NOTES[record.study])
    found = tracking.find(experiment, record.parent.key)
    if found is not None and found.info.status == "FINISHED":
        return found
    with turn(tracking.client, experiment, record.parent.key):
        return _log_alone(tracking, experiment, record, links)


def _log_alone(tracking: Tracking, experiment: str, record: StudyRecord, links: Mapping[str, str]) -> Run:
    about = {"probeflow.study": record.study, "probeflow.data": f"{record.dataset.name} {record.dataset.digest[:12]}"}
    tags = {_NOTE_TAG: record.notes, "probeflow.result": record.headline, **about, **record.parent.tags, **links}
    if record.flags:
        tags["probeflow.flag"] = "; ".join(record.flags)
    parent = tracking.find_or_create(experiment, record.parent.key, record.parent.name, tags)
    if parent.info.status == "FINISHED":
        return parent
    client, parent_id = tracking.client, parent.info.run_id
    _log_run(tracking, parent, _with_best(record), record.dataset)
    logged = _log_children(tracking, parent, record, {**about, **links})
    client.log_text(parent_id, record.notes, "notes.md")
    for name in record.figures:
        client.log_artifact(parent_id, str(record.folder / "figures" / name), "figures")
    for name in record.tables:
        client.log_artifact(parent_id, str(record.folder / "tables" / name), "tables")
    for name in (REPORT, PREDICTIONS):
        if (record.folder / name).exists():
            client.log_artifact(parent_id, str(record.folder / name))
    if record.model is not None:
        log_network(tracking, parent_id, record)
    _delete_doubles(tracking, experiment, parent, logged)
    save_views(tracking, parent, record)
    compared = comparison_links(tracking, parent, record)
    client.set_tag(parent_id, _NOTE_TAG, bounded_tag(description(record, compared)))
    client.set_terminated(parent_id)  # last: a finished run is a whole one
    return client.get_run(parent_id)


def _with_best(record: StudyRecord) -> RunNote:
    """The study's own run, with the figures of the configuration announced as best under the names its run has them by."""
    best = next((child for child in record.children if child.metrics.get(RANK) == 1), None)
    if best is None:
        return record.parent
    known = {name: value for name, value in best.metrics.items() if name != RANK and name not in record.parent.metrics}
    return replace(record.parent, metrics=record.parent.metrics | known)


def _log_children(tracking: Tracking, parent: Run, record: StudyRecord, tags: Mapping[str, str]) -> set[str]:
    """Log the runs below the study's, each after the one it is below; ids of all its runs."""
    experiment, root = parent.info.experiment_id, parent.info.run_id
    there = {run.data.tags[KEY_TAG]: run for run in tracking.all_runs([experiment], f"tags.`{ROOT_TAG}` = '{root}'")}
    logged = {"": root}
    with bar(f"{record.study} to MLflow", len(record.children), "run") as advance:
        for child in record.children:
            run = there.get(child.key)
            if run is None:
                # The run shows when the trial trained and for how long, not how long it took to log.
                start = int(1000 * (time.time() - (child.metrics.get("training_seconds") or 0)))
                above = {"mlflow.parentRunId": logged[child.below], ROOT_TAG: root}
                run = tracking.create(experiment, child.key, child.name, {**tags, **child.tags, **above}, start)
            elif run.data.tags.get("mlflow.parentRunId") != logged[child.below]:
                # It was logged below the other of two doubles, which is deleted in the end.
                tracking.client.set_tag(run.info.run_id, "mlflow.parentRunId", logged[child.below])
            logged[child.key] = run.info.run_id
            if run.info.status != "FINISHED":
                # A trial's data are its configuration's; to name them at each of hundreds takes a fifth of the time.
                _log_run(tracking, run, child, None if child.below else record.dataset)
                tracking.client.set_terminated(run.info.run_id)
            advance(1)
    return set(logged.values())


def _delete_doubles(tracking: Tracking, experiment: str, parent: Run, logged: set[str]) -> None:
    """Delete runs that a server made twice: its answer was lost on the way, and MLflow's client asked again."""
    same = f"tags.`{KEY_TAG}` = '{parent.data.tags[KEY_TAG]}'", f"tags.`{ROOT_TAG}` = '{parent.info.run_id}'"
    found = [run.info.run_id for wanted in same for run in tracking.all_runs([experiment], wanted)]
    for run_id in set(found) - logged:
        tracking.client.delete_run(run_id)


def _log_run(tracking: Tracking, run: Run, note: RunNote, dataset: DatasetNote | None) -> None:
    # Times follow from the run's start alone, so that logging again after a crash repeats the same points.
    start = run.info.start_time
    last = len(note.history)
    metrics = [Metric(name, float(value), start, last) for name, value in note.metrics.items() if value is not None]
    metrics += [
        Metric(name, float(value), start + int(1000 * (record.get("seconds") or 0)), int(record["epoch"] or 0))
        for record in note.history
        for name, value in record.items()
        if value is not None and name not in ("epoch", "seconds")
    ]
    params = [
        Param(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in note.params.items()
    ]
    client, run_id = tracking.client, run.info.run_id
    room = _BATCH - len(params)
    client.log_batch(run_id, params=params, metrics=metrics[:room])
    for begin in range(room, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
    if dataset is not None:
        client.log_inputs(run_id, [DatasetInput(_dataset(dataset), [InputTag("mlflow.data.context", "training")])])


def _dataset(note: DatasetNote) -> Dataset:
    source = json.dumps({"origin": note.origin, "sha256": note.digest})
    profile = json.dumps({"rows": note.rows, "classes": len(note.classes)})
    return Dataset(note.name, note.digest[:32], "probeflow", source, None, profile)  # MLflow keeps 36 characters
