"""Runs that MLflow knows, by what people call them, and the records on disk that they show."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lib.errors import ConfigError
from lib.graph.past import KEY_LETTERS
from lib.graph.summary import NAME as WHOLE_RUN
from lib.graph.summary import run_name
from lib.places import Places
from lib.storage.copies import fetch_file, shown
from lib.studies.record import FOLDER_LETTERS, RECORD
from lib.tracking.registry import require_absent
from lib.tracking.store import EXPERIMENTS, KEY_TAG, ROOT_TAG, STUDY_TAG, Tracking, connect, experiment_name

_PAGE = 1000
_NAMED = 4


def record_of_run(wanted: str, where: Places) -> Path:
    """The folder of the record that a pipeline's or a study's run shows, under the data folder of `where`.

    Raises ConfigError when there is no such run, or several; when it is of a single trial, or its record is not in that
    folder.
    """
    tracking = connect(where)
    run = find_run(tracking, wanted)
    tags, told = run.data.tags, f"run {run.info.run_id[:8]} ({run.info.run_name})"
    if above := tags.get(ROOT_TAG) or tags.get("mlflow.parentRunId"):
        raise ConfigError(f"{told} is of a part of a study; give the run of the study, {above}")
    study, key = tags.get(STUDY_TAG), tags.get(KEY_TAG)
    if not study or not key:
        raise ConfigError(f"{told} was not logged by probeflow: its settings are not known; give another run")
    folder: Path = where.studies / study / key[:FOLDER_LETTERS]
    fetch_file(folder / RECORD)
    if not (folder / RECORD).exists():
        raise ConfigError(
            f"{told} has its settings in {shown(folder)}, which is not there: set PROBEFLOW_DATA to the data folder that "
            "the run was made in"
        )
    return folder


def find_run(tracking: Tracking, wanted: str) -> Run:
    """The run that `wanted` means: an id, a study record's key, the beginning of either, or a name that only one run has.

    A profile's name means its newest whole run. Raises ConfigError when there is no such run, or several.
    """
    client = tracking.client
    if re.fullmatch("[0-9a-f]{32}", wanted):
        try:
            return client.get_run(wanted)
        except MlflowException as error:
            require_absent(error)
    experiments = [
        each.experiment_id
        for each in client.search_experiments(filter_string=f"name LIKE '{EXPERIMENTS}%'", max_results=_PAGE)
    ]
    found = _all_runs(tracking, experiments, wanted) if experiments and wanted else []
    if len(found) == 1:
        return client.get_run(found[0].info.run_id)  # a search leaves out what the run used
    if found:
        some = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name}, {_made(run)})" for run in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise ConfigError(f"{wanted!r} means {len(found)} runs ({some}{more}): give more of the id")
    if (newest := newest_whole_run(tracking, wanted)) is not None:
        return client.get_run(newest.info.run_id)
    raise ConfigError(
        f"no run {wanted!r} in {tracking.shown_uri}: give a run's id, its record's key, the beginning of either, "
        "its name, or a profile's name for its newest whole run"
    )


def newest_whole_run(tracking: Tracking, profile: str | None = None) -> Run | None:
    """The whole run, of this profile or of any, that began last."""
    experiment = tracking.client.get_experiment_by_name(experiment_name(WHOLE_RUN))
    runs = [] if experiment is None else tracking.all_runs([experiment.experiment_id])
    named = [run for run in runs if profile is None or run.info.run_name == run_name(profile)]
    return max(named, key=lambda run: run.info.start_time, default=None)


def _all_runs(tracking: Tracking, experiments: list[str], wanted: str) -> list[Run]:
    """Runs of that name, or whose id begins so, and studies' whose key does; MLflow does not search by a beginning."""
    return [
        run
        for run in tracking.all_runs(experiments)
        if run.info.run_name == wanted
        or run.info.run_id.startswith(wanted)
        or (
            len(wanted) >= KEY_LETTERS
            and "mlflow.parentRunId" not in run.data.tags
            and run.data.tags.get(KEY_TAG, "").startswith(wanted)
        )
    ]


def _made(run: Run) -> str:
    """When a run began, which tells runs of one name apart."""
    return f"{datetime.fromtimestamp(run.info.start_time / 1000, UTC):%Y-%m-%d %H:%M} UTC"
