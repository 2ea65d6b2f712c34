"""The data of a run as MLflow's typed datasets, made of what its record says: no image is read.

A dataset of MLflow has one context in a run, so each split that the run used is one: its name is the data's, its digest begins
with the data's, and `mlflow.data.get_source` gives its source back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.dataset_source import DatasetSource
from mlflow.data.dataset_source_registry import get_dataset_source_from_json
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_SOURCE_NAME

from lib.graph.summary import RunResult, studies_of
from lib.studies.presentation import Rows
from lib.studies.study import DatasetNote, Record

_CONTEXTS = {"train": "training"}
"""Of the splits, MLflow's names where they are others."""

_DIGEST_LETTERS = 24
"""MLflow keeps 36, of which the split takes some."""

_TYPES = {"": "local", "file": "local", "https": "http"}
"""Types of sources that are not called as the scheme of an address."""


def datasets_of(record: Record[Any]) -> list[DatasetNote]:
    """The data of a study, or of all studies of a whole run."""
    if not isinstance(record.result, RunResult):
        return [record.dataset]
    return list({each.dataset.digest: each.dataset for each in studies_of(record).values()}.values())


def inputs_of(datasets: Iterable[DatasetNote], rows: Collection[Rows]) -> list[DatasetInput]:
    """Each split as an input. `rows`: those that the run's figures are of; test rows are left out if others are named."""
    return [
        DatasetInput(_dataset(note, split), [InputTag(MLFLOW_DATASET_CONTEXT, _CONTEXTS.get(split, split))])
        for note in datasets
        for split in note.rows
        if split != Rows.TEST or not rows or Rows.TEST in rows
    ]


def _dataset(note: DatasetNote, split: str) -> Dataset:
    columns = [ColSpec(DataType.binary, "image")]
    if len(note.classes) > 1:  # else there are no labels
        columns.append(ColSpec(DataType.string, "label"))
    about = {"rows": note.rows[split], "classes": len(note.classes), "origin": note.origin, "sha256": note.digest}
    source = _source(note)
    return Dataset(
        note.name,
        f"{note.digest[:_DIGEST_LETTERS]}-{split}",
        source._get_source_type(),
        source.to_json(),
        json.dumps({"mlflow_colspec": Schema(columns).to_dict()}),
        json.dumps(about),
    )


def _source(note: DatasetNote) -> DatasetSource:
    """Of a type of MLflow's, by the address; else, as of what a package brings, the origin in words."""
    address = note.address or ""
    scheme = address.rpartition("://")[0]
    kind = _TYPES.get(scheme, scheme)
    if address:
        try:
            return get_dataset_source_from_json(json.dumps({"url" if kind == "http" else "uri": address}), kind)
        except MlflowException:  # such as Hugging Face's hub by fsspec
            pass
    return CodeDatasetSource({MLFLOW_SOURCE_NAME: note.origin})
