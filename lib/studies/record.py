"""What a study leaves on disk: one folder a study and key, with `record.json` written last as its seal.

The record holds everything that is shown of a study anywhere (MLflow, Prefect, the closing table), so showing
it again never computes it again. The key is a digest of settings and data: a change of either is another folder.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from safetensors.numpy import save as safetensors_bytes

from lib.datasets import Dataset, leakage_warnings
from lib.errors import DataError
from lib.evaluation.vector import svg_bytes
from lib.files import atomic_path, digest_json, write_bytes, write_json
from lib.provenance import made_now
from lib.storage.copies import fetch, fetch_file
from lib.studies.identity import Identity, Origin, write_origin

FORMAT = 6
"""Raised when what a record holds changes, so that older records are made anew."""

FOLDER_LETTERS = 16
"""Letters of a study's key that its folder is named by."""

_RECORD = "record.json"


@dataclass(frozen=True)
class DatasetNote:
    """A dataset as a run shows it."""

    name: str
    digest: str
    origin: str
    classes: tuple[str, ...]
    rows: dict[str, int]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetNote:
        """Describe `dataset`."""
        rows = {name: len(split) for name, split in dataset.splits.items()}
        return cls(
            dataset.name,
            dataset.digest,
            dataset.origin,
            dataset.class_names,
            rows,
            (*dataset.warnings, *leakage_warnings(dataset)),
        )


@dataclass(frozen=True)
class RunNote:
    """One run to be shown: its key makes logging it twice harmless.

    `history` has one mapping an epoch, with "epoch" and "seconds"; values that are not finite are None. `below` is the key
    of the run that this one is shown under; empty for the study's own.
    """

    key: str
    name: str
    params: dict[str, str | int | float]
    metrics: dict[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float | None], ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    below: str = ""


@dataclass(frozen=True)
class ModelNote:
    """A trained network to be logged: files in the study's folder, and what it was trained on, in words."""

    network: str
    example: str
    description: str
    registered_name: str | None = None


@dataclass(frozen=True)
class StudyRecord:
    """Everything there is to show of one finished study.

    Attributes
    ----------
    summary : dict
        Plain JSON that other stages and tables read; its keys depend on the study.
    headline : str
        The result in one line, for the closing table.
    notes : str
        Markdown for people.
    figures, tables : tuple of str
        File names under `figures/` and `tables/` of `folder`; beside each figure lies the same as SVG.
    made : dict
        When, of which commit, with which versions and on what machine (`lib.provenance`).
    """

    study: str
    key: str
    title: str
    headline: str
    notes: str
    folder: Path
    dataset: DatasetNote
    summary: dict[str, Any]
    parent: RunNote
    children: tuple[RunNote, ...] = ()
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    model: ModelNote | None = None
    made: dict[str, str] = field(default_factory=dict)


class StudyFolder:
    """The folder of one study and key, while it is being filled."""

    def __init__(self, root: Path, study: str, key: str, identity: Identity | None = None) -> None:
        self.study = study
        self.key = key
        self.path = root / study / key[:FOLDER_LETTERS]
        self.identity = identity
        self._begun = None if self.path.exists() else time.perf_counter()  # who goes on with a study cannot time it
        self._figures: list[str] = []
        self._tables: list[str] = []

    @classmethod
    def of(cls, root: Path, identity: Identity) -> StudyFolder:
        """The folder of the study that `identity` decides; its record is kept with where it comes from."""
        key = study_key(identity.study, identity.settings, *identity.digests.values())
        return cls(root, identity.study, key, identity)

    @property
    def trials(self) -> Path:
        """Where the results of single trials lie; they outlive a crash of the study."""
        return self.path / "trials"

    def finished(self) -> StudyRecord | None:
        """The record, when this study has already been done.

        Raises
        ------
        DataError
            When it is damaged, or a file that it names is gone.
        """
        return _whole(read_record(self.path / _RECORD)) if _fetched(self.path) else None

    def figure(self, name: str, figure: Figure) -> None:
        """Keep a figure as `figures/<name>.png`, and beside it as SVG for the report."""
        with atomic_path(self.path / "figures" / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png")
        figure.set_layout_engine("none")  # as it lies now, which is not found again
        write_bytes(self.path / "figures" / f"{name}.svg", svg_bytes(figure))
        self._figures.append(f"{name}.png")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep a table as `tables/<name>.csv`; columns are those of the first row."""
        write_csv(self.path / "tables" / f"{name}.csv", rows)
        self._tables.append(f"{name}.csv")

    def example(self, name: str, inputs: npt.NDArray[np.float32], probabilities: npt.NDArray[np.floating]) -> str:
        """Keep a few input rows with the probabilities the network gave them, to check a loaded model against."""
        content = {"inputs": np.ascontiguousarray(inputs), "probabilities": np.ascontiguousarray(probabilities)}
        write_bytes(self.path / name, safetensors_bytes(content))
        return name

    def seal(self, **fields: Any) -> StudyRecord:
        """Write the record, last of all files, and return it as it will be read again."""
        record = StudyRecord(
            study=self.study,
            key=self.key,
            folder=self.path,
            figures=tuple(self._figures),
            tables=tuple(self._tables),
            made=made_now(),
            **fields,
        )
        content = asdict(record) | {"format": FORMAT}
        del content["folder"]
        if self.identity is not None:
            seconds = None if self._begun is None else time.perf_counter() - self._begun
            write_origin(self.path, Origin(FORMAT, self.identity, seconds))
        write_json(self.path / _RECORD, _finite(content))
        return read_record(self.path / _RECORD)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table atomically; columns are those of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def study_key(study: str, settings: Any, *digests: str) -> str:
    """Digest of all that decides a study's result: its settings as JSON, its data's digests, the record's format."""
    return digest_json([FORMAT, study, settings, *digests])


def open_record(folder: Path) -> StudyRecord:
    """The sealed record in a study's folder.

    Raises
    ------
    DataError
        When the study is not finished, or its record is damaged.
    """
    if not _fetched(folder):
        raise DataError(f"study folder {folder} holds no finished study; run the study first")
    return read_record(folder / _RECORD)


def _whole(record: StudyRecord) -> StudyRecord:
    """The record itself, once all files that it names are known to be there."""
    files = [*(f"figures/{name}" for name in record.figures), *(f"tables/{name}" for name in record.tables)]
    files += [record.model.network, record.model.example] if record.model else []
    if gone := next((name for name in files if not (record.folder / name).exists()), None):
        raise DataError(f"{gone} of study {record.folder} is missing; delete that folder and run the study again")
    return record


def _fetched(folder: Path) -> bool:
    """Whether there is a record; then it and what it speaks of is here, too."""
    fetch_file(folder / _RECORD)
    if not (folder / _RECORD).exists():
        return False
    fetch(folder, lambda name: not name.startswith("checkpoint-"))
    fetch(folder / "figures")
    fetch(folder / "tables")
    return True


def read_record(path: Path) -> StudyRecord:
    """Read a sealed record.

    Raises
    ------
    DataError
        When the file is not a record of this format; deleting its folder makes the study run again.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("other format")
        children = tuple(_run(child) for child in content.pop("children"))
        dataset = content.pop("dataset")
        dataset["classes"] = tuple(dataset["classes"])
        dataset["warnings"] = tuple(dataset["warnings"])
        model = content.pop("model")
        for name in ("figures", "tables", "flags"):
            content[name] = tuple(content[name])
        return StudyRecord(
            folder=path.parent,
            dataset=DatasetNote(**dataset),
            parent=_run(content.pop("parent")),
            children=children,
            model=ModelNote(**model) if model else None,
            **content,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"study record {path} is damaged ({error}); delete its folder and run the study again"
        ) from None


def _run(content: dict[str, Any]) -> RunNote:
    content["history"] = tuple(content["history"])
    return RunNote(**content)


def _finite(value: Any) -> Any:
    """The same JSON with None where a float is not finite (JSON has no NaN)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
