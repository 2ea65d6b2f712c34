"""A run's data as MLflow's typed datasets: by split, searchable, with a source that MLflow opens again."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import mlflow.data
import pytest
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.http_dataset_source import HTTPDatasetSource
from mlflow.types import Schema

from lib.datasets import acquire
from lib.datasets.sources import ImageFolder, parse_source
from lib.graph.inputs import note_of
from lib.studies.presentation import Rows
from lib.tracking.records import log_record
from lib.tracking.run_inputs import inputs_of
from tests.image_files import write_images


@pytest.fixture(scope="module")
def sweep(tracking, small_run):
    """A sweep with winners tested, on 1,350 training and 447 test images."""
    return log_record(tracking, small_run.records["activations"], {})


def found(tracking, run, wanted: str) -> set[str]:
    """The runs of a study that MLflow finds."""
    study = run.info.run_id
    every = tracking.client.search_runs([run.info.experiment_id], wanted)
    return {each.info.run_id for each in every if study in (each.info.run_id, each.data.tags.get("probeflow.root"))}


def used(tracking, run) -> dict[tuple[str, str], mlflow.entities.Dataset]:
    inputs = tracking.client.get_run(run.info.run_id).inputs.dataset_inputs
    return {(each.dataset.name, tag.value): each.dataset for each in inputs for tag in each.tags}


def test_each_split_is_an_input_with_its_context_rows_and_columns(tracking, small_run, sweep):
    note = small_run.records["activations"].dataset
    splits = used(tracking, sweep)
    assert set(splits) == {("digits", "training"), ("digits", "test")}
    assert {each.digest for each in splits.values()} == {f"{note.digest[:24]}-train", f"{note.digest[:24]}-test"}
    test = splits["digits", "test"]
    assert json.loads(test.profile) == {"rows": 447, "classes": 10, "origin": note.origin, "sha256": note.digest}
    columns = Schema.from_json(json.dumps(json.loads(test.schema)["mlflow_colspec"])).input_dict()
    assert {name: column.type.name for name, column in columns.items()} == {"image": "binary", "label": "string"}


def test_runs_are_found_by_name_context_and_digest_of_their_data(tracking, small_run, sweep):
    digest = small_run.records["activations"].dataset.digest[:24]
    of_data = found(tracking, sweep, f"dataset.name = 'digits' AND dataset.digest LIKE '{digest}%'")
    tested = found(tracking, sweep, "dataset.context = 'test'")
    below = {Rows.VALIDATION: set(), Rows.TEST: set()}
    for rows, ids in below.items():
        ids |= found(tracking, sweep, f"tags.`probeflow.rows` = '{rows}' AND tags.`probeflow.role` != 'trial'")
    finals = found(tracking, sweep, "tags.`probeflow.role` = 'final'")  # their configuration has the data
    assert tested == {sweep.info.run_id} | below[Rows.TEST] - finals
    assert of_data == tested | below[Rows.VALIDATION]


def test_a_look_at_data_is_of_all_rows_and_figures_of_validation_rows_are_not_of_test_rows(tracking, small_run):
    look = log_record(tracking, small_run.records["exploration"], {})
    assert set(used(tracking, look)) == {("photo-patches", "training"), ("photo-patches", "test")}
    (only,) = inputs_of([small_run.records["exploration"].dataset], {Rows.VALIDATION})
    assert [tag.value for tag in only.tags] == ["training"]


def test_a_whole_run_has_the_data_of_all_its_studies(tracking, small_run):
    whole = log_record(tracking, small_run.record, {})
    assert {name for name, _ in used(tracking, whole)} == {"digits", "photo-patches"}


def test_the_source_of_a_folder_is_the_folder(tmp_path):
    pets = write_images(tmp_path / "pets", ("cat", "dog"), 6)
    train, test = inputs_of([note_of(acquire(ImageFolder(path=str(pets)), tmp_path / "data"))], ())
    assert Path(mlflow.data.get_source(train).load()) == pets
    assert json.loads(train.dataset.profile)["rows"] + json.loads(test.dataset.profile)["rows"] == 12


def test_the_source_of_a_name_under_a_mirror_is_the_file_there(tmp_path):
    images = write_images(tmp_path / "pets", ("cat", "dog"), 6)
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.add(images, ".")
    note = note_of(acquire(ImageFolder(path="pets.tar"), tmp_path / "data", tmp_path.as_uri()))
    source = mlflow.data.get_source(inputs_of([note], ())[0])
    assert source.uri == (tmp_path / "pets.tar").as_uri()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"source": "mnist"}, "http"),
        ({"source": "cifar10"}, "http"),
        ({"source": "letters", "origin": "archive"}, "http"),
        ({"source": "folder", "path": "s3://bucket/pets"}, "s3"),
        ({"source": "parquet", "path": "gs://bucket/{a,b}.parquet"}, "gs"),
        ({"source": "folder", "path": "hf://datasets/a/pets"}, "code"),  # of which MLflow has no such source
        ({"source": "digits"}, "code"),
    ],
)
def test_the_source_is_of_mlflow_s_type_for_where_the_data_lies(small_run, settings, kind):
    address = parse_source(settings).address
    note = replace(small_run.records["exploration"].dataset, address=address)
    (train, _) = inputs_of([note], ())
    source = mlflow.data.get_source(train)
    assert train.dataset.source_type == source._get_source_type() == kind
    if isinstance(source, HTTPDatasetSource):
        assert source.url == address
    elif isinstance(source, CodeDatasetSource):
        assert source.to_dict() == {"tags": {"mlflow.source.name": note.origin}}
    else:
        assert source.uri == address
