"""Show a study's record in MLflow: a parent run with figures, notes and model, and a child run a trial."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from itertools import islice

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag

from lib.report import REPORT
from lib.studies.predictions import FILE as PREDICTIONS
from lib.studies.record import DatasetNote, RunNote, StudyRecord
from lib.tracking.models import log_network
from lib.tracking.store import KEY_TAG, Tracking
from lib.tracking.turns import turn

EXPERIMENT_NOTES = {
    "activations": "Reference study A: one network, four activations, beside scikit-learn at the same settings.",
    "hidden_units": "Reference study B: one hidden layer of different widths.",
    "learning_rates": "Reference study C: one network, different learning rates.",
    "exploration": "Reference study D: first look at the image data.",
    "features": "Reference study E: frozen AlexNet features in sealed Parquet shards.",
    "classifier": "Reference study F: the 512-256 MLP on standardised features, tested on unseen images.",
    "tsne": "t-SNE of the best network's last hidden layer.",
    "pipeline": "Whole runs: the table 'reference study / this run' and the closing table.",
}
_BATCH = 1000  # MLflow's limit of metrics in one call


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
    tags = {
        "mlflow.note.content": record.notes,
        "probeflow.study": record.study,
        "probeflow.result": record.headline,
        "probeflow.data": f"{record.dataset.name} {record.dataset.digest[:12]}",
        **record.parent.tags,
        **links,
    }
    if record.flags:
        tags["probeflow.flag"] = "; ".join(record.flags)
    parent = tracking.find_or_create(experiment, record.parent.key, record.parent.name, tags)
    if parent.info.status == "FINISHED":
        return parent
    _log_run(tracking, parent, record.parent, record.dataset)
    logged = {parent.info.run_id}
    for child in record.children:
        child_tags = {"mlflow.parentRunId": parent.info.run_id, "probeflow.study": record.study, **child.tags, **links}
        # The run shows when the trial trained and for how long, not how long it took to log.
        start = int(1000 * (time.time() - child.metrics.get("training_seconds", 0)))
        run = tracking.find_or_create(experiment, child.key, child.name, child_tags, start)
        logged.add(run.info.run_id)
        if run.info.status != "FINISHED":
            _log_run(tracking, run, child, record.dataset)
            tracking.client.set_terminated(run.info.run_id)
    tracking.client.log_text(parent.info.run_id, record.notes, "notes.md")
    for name in record.figures:
        tracking.client.log_artifact(parent.info.run_id, str(record.folder / "figures" / name), "figures")
    for name in record.tables:
        tracking.client.log_artifact(parent.info.run_id, str(record.folder / "tables" / name), "tables")
    for name in (REPORT, PREDICTIONS):
        if (record.folder / name).exists():
            tracking.client.log_artifact(parent.info.run_id, str(record.folder / name))
    if record.model is not None:
        log_network(tracking, parent.info.run_id, record)
    _delete_doubles(tracking, experiment, parent, logged)
    tracking.client.set_terminated(parent.info.run_id)  # last: a finished run is a whole one
    return tracking.client.get_run(parent.info.run_id)


def _delete_doubles(tracking: Tracking, experiment: str, parent: Run, logged: set[str]) -> None:
    """Delete runs that a server made twice: its answer was lost on the way, and MLflow's client asked again."""
    same = f"tags.`{KEY_TAG}` = '{parent.data.tags[KEY_TAG]}'", f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    found = [run.info.run_id for wanted in same for run in tracking.all_runs([experiment], wanted)]
    for run_id in set(found) - logged:
        tracking.client.delete_run(run_id)


def _log_run(tracking: Tracking, run: Run, note: RunNote, dataset: DatasetNote) -> None:
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
    client.log_batch(run_id, params=params, tags=[RunTag(name, value) for name, value in note.tags.items()])
    for batch in _batches(metrics):
        client.log_batch(run_id, metrics=batch)
    client.log_inputs(run_id, [DatasetInput(_dataset(dataset), [InputTag("mlflow.data.context", "training")])])


def _dataset(note: DatasetNote) -> Dataset:
    source = json.dumps({"origin": note.origin, "sha256": note.digest})
    profile = json.dumps({"rows": note.rows, "classes": len(note.classes)})
    return Dataset(note.name, note.digest[:32], "probeflow", source, None, profile)  # MLflow keeps 36 characters


def _batches(metrics: Iterable[Metric]) -> Iterable[list[Metric]]:
    remaining = iter(metrics)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
