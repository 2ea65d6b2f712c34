"""MLflow: each study once, with curves, figures, data and a model that a clean process loads and scores alike."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.places import Places
from lib.studies.presentation import Presentation, Section, markdown
from lib.studies.study import Record
from lib.tracking import records
from lib.tracking.records import log_record
from lib.tracking.store import Tracking, connect
from lib.tracking.views import comparison_links
from tests.lib.studies.test_scaling import scaled


@pytest.fixture(scope="module")
def tracking(small_run, tmp_path_factory) -> Tracking:
    """A store of its own: what is counted here is what was logged here."""
    folder = tmp_path_factory.mktemp("mlruns")
    own = {"mlruns": folder, "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}"}
    return connect(small_run.where.model_copy(update=own))


@pytest.fixture(scope="module")
def activations(small_run) -> Record:
    return small_run.records["activations"]


@pytest.fixture(scope="module")
def shown(activations) -> Presentation:
    return activations.present()


@pytest.fixture(scope="module")
def parent(tracking, activations):
    return log_record(tracking, activations, {"prefect.flow_run_id": "abc"})


def runs(tracking: Tracking, study: str):
    experiment = tracking.client.get_experiment_by_name(f"probeflow/{study}").experiment_id
    return tracking.client.search_runs([experiment], max_results=1000)


def test_a_sweep_is_a_run_with_its_configurations_below_and_below_each_its_trials(tracking, shown, parent):
    found = {run.info.run_id: run for run in runs(tracking, "activations")}
    assert len(found) == 1 + len(shown.runs)
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    role = {key: run.data.tags.get("probeflow.role") for key, run in found.items()}
    above = {key: run.data.tags.get("mlflow.parentRunId") for key, run in found.items()}
    assert {role[above[key]] for key in found if role[key] == "configuration"} == {None}
    trials = [key for key in found if role[key] in ("trial", "final")]
    assert {role[above[key]] for key in trials} == {"configuration"}
    assert (
        len(trials) == 2 * list(role.values()).count("configuration") == 2 * (4 + 2)
    )  # two seeds each; winners by axis
    assert [role[above[key]] for key in found if role[key] == "baseline"] == [None]  # the majority class
    for key in trials:
        configuration = found[above[key]].data
        assert found[key].data.params["activation"] == configuration.params["activation"]
        assert configuration.tags["probeflow.trials"] == role[key]
        assert configuration.tags["probeflow.rows"] == {"trial": "validation", "final": "test"}[role[key]]
    assert {run.data.tags["probeflow.kind"] for run in found.values()} == {"sweep"}
    assert parent.data.tags["prefect.flow_run_id"] == "abc"


def test_the_experiment_asks_the_question_of_the_kind(tracking, parent, small_run):
    note = tracking.client.get_experiment_by_name("probeflow/activations").tags["mlflow.note.content"]
    assert note.startswith("Which settings train the best network on this input, and how good is it?")
    assert "| `trial` | one seed of it" in note
    log_record(tracking, small_run.records["exploration"], {})
    note = tracking.client.get_experiment_by_name("probeflow/exploration").tags["mlflow.note.content"]
    assert note.startswith("What do the images look like")
    assert "Compare" not in note


def test_warnings_are_a_tag_of_the_study_s_run(tracking, small_run):
    record = small_run.records["classifier"]
    said = log_record(tracking, record, {}).data.tags["probeflow.flag"]
    assert said == "; ".join(record.present().warnings)
    assert "weights are RANDOM" in said


def test_the_description_begins_with_the_comparison_and_the_answer(tracking, shown, parent):
    head, *notes = parent.data.tags["mlflow.note.content"].split("\n\n")
    compare, answer = head.split("  \n")
    assert answer == f"**Answer:** {shown.headline}"
    pages = re.findall(r"\[([^]]+)\]\((#/[^)]+)\)", compare)
    assert pages == [(link.title, link.path) for link in comparison_links(tracking, parent, shown)]
    assert any("| model |" in part for part in notes)


def test_notes_longer_than_a_database_takes_are_cut_between_lines_and_whole_as_an_artifact(
    tracking, small_run, monkeypatch
):
    exploration = small_run.records["exploration"]
    body = "\n".join(f"line {number} of the notes" for number in range(1000))
    long = replace(exploration.present(), sections=(Section("", body),))
    long = replace(long, parent=replace(long.parent, key="long"))
    monkeypatch.setattr(Record, "present", lambda self: long)
    run = log_record(tracking, exploration, {})
    shown = run.data.tags["mlflow.note.content"]
    assert 7800 < len(shown) <= 8000
    notes = markdown(long)
    *kept, _, said = shown.partition("\n\n")[2].split("\n")  # after the answer
    assert kept == notes.split("\n")[: len(kept)]
    assert said.endswith("whole in the artifact notes.md)")
    folder = tracking.client.download_artifacts(run.info.run_id, "notes.md")
    assert Path(folder).read_text() == notes
    tracking.client.delete_run(run.info.run_id)


def test_params_are_numbers_and_metrics_few_and_by_epoch(tracking, shown, parent):
    run = next(run for run in runs(tracking, "activations") if run.info.run_name == "relu · he init · seed 1")
    assert float(run.data.params["learning_rate"]) == 0.2
    assert {"activation", "hidden", "init", "batch_size", "epochs", "seed"} <= set(run.data.params)
    assert set(run.data.metrics) == {
        "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "mean_train_loss", "mean_validation_loss",
        "best_epoch_train_loss", "best_epoch_train_accuracy", "best_epoch_validation_loss", "best_epoch_validation_accuracy",
        "last_epoch_train_loss", "last_epoch_train_accuracy", "last_epoch_validation_loss", "last_epoch_validation_accuracy",
        "best_epoch", "last_epoch", "training_seconds", "parameters",
    }  # fmt: skip
    history = tracking.client.get_metric_history(run.info.run_id, "validation_loss")
    child = next(each for each in shown.runs if each.name == run.info.run_name)
    assert [point.step for point in history] == [1, 2, 3, 4]
    np.testing.assert_allclose(
        [point.value for point in history], [of_epoch["validation_loss"] for of_epoch in child.history]
    )
    figures = run.data.metrics
    best = min(child.history, key=lambda of_epoch: of_epoch["validation_loss"])
    assert figures["best_epoch"] == best["epoch"]
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert figures[f"best_epoch_{name}"] == best[name]
        assert figures[f"last_epoch_{name}"] == child.history[-1][name] == figures[name]  # the table shows the last


def test_figures_and_tables_are_artifacts(tracking, activations, parent):
    listed = {
        item.path for kind in ("figures", "tables") for item in tracking.client.list_artifacts(parent.info.run_id, kind)
    }
    assert listed == {f"figures/{each.file}" for each in activations.figures} | {
        f"tables/{each.file}" for each in activations.tables
    }


def test_logging_again_changes_nothing(tracking, activations, parent):
    before = {run.info.run_id: run.data.metrics for run in runs(tracking, "activations")}
    assert log_record(tracking, activations, {}).info.run_id == parent.info.run_id
    assert {run.info.run_id: run.data.metrics for run in runs(tracking, "activations")} == before


def test_a_scaling_curve_is_a_run_with_its_heads_below(tracking, tmp_path):
    record = scaled(tmp_path)
    run = log_record(tracking, record, {})
    below = tracking.client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert {each.info.run_name for each in below} == {"linear", "k nearest neighbours"}
    (linear,) = [each for each in below if each.info.run_name == "linear"]
    course = tracking.client.get_metric_history(linear.info.run_id, "accuracy_by_training_images")
    assert [point.step for point in course] == [10, 50, 200, 1350]
    assert linear.data.params["learning_rate"] == "0.01"


def test_a_crash_while_logging_is_made_good_without_doubling(where, activations, shown, tmp_path, monkeypatch):
    mlruns = tmp_path / "mlruns"
    other = connect(Places(data=where.data, mlruns=mlruns, tracking_uri=f"sqlite:///{mlruns / 'mlflow.db'}"))
    log_run, calls = records._log_run, []

    def crashing(*arguments):
        log_run(*arguments)
        calls.append(arguments)
        if len(calls) == 4:
            raise RuntimeError("killed here")

    monkeypatch.setattr(records, "_log_run", crashing)
    with pytest.raises(RuntimeError, match="killed here"):
        log_record(other, activations, {})
    monkeypatch.setattr(records, "_log_run", log_run)
    log_record(other, activations, {})
    found = runs(other, "activations")
    assert len(found) == 1 + len(shown.runs)
    trials = [run for run in found if run.data.tags.get("probeflow.role") == "trial"]
    assert trials
    for run in trials:
        points = other.client.get_metric_history(run.info.run_id, "train_loss")
        assert [point.step for point in points] == [1, 2, 3, 4]
    connect(where)  # MLflow's current store is global to the process
