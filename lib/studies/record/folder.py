"""The folder of one study and key, while it is being filled, and its seal."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.errors import DataError
from lib.files import atomic_path, digest_json, write_bytes, write_json
from lib.provenance import made_now
from lib.studies.record.identity import Identity, Origin, write_origin
from lib.studies.record.reading import FORMAT, RECORD, is_finished, read_record
from lib.studies.study import Artifact, DatasetNote, Drawing, Record, Result, Table

FOLDER_LETTERS = 16
"""Letters of a study's key that its folder is named by."""


class StudyFolder:
    """The folder of one study and key, while it is being filled."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.identity = identity
        self.key = study_key(identity)
        self.path = root / identity.name / self.key[:FOLDER_LETTERS]
        self._begun = None if self.path.exists() else time.perf_counter()  # who goes on with a study cannot time it
        self._figures: list[Artifact] = []
        self._tables: list[Artifact] = []

    @property
    def trials(self) -> Path:
        """Where the results of single trials lie; they outlive a crash of the study.

        Its own alone: a trial trained beside others has other last bits than one that another study trained.
        """
        return self.path / "trials"

    def finished(self) -> Record[Any] | None:
        """The record, when this study has already been done.

        Raises
        ------
        DataError
            When it is damaged, or a file that it names is gone.
        """
        return _whole(read_record(self.path / RECORD)) if is_finished(self.path) else None

    def keep(self, item: Drawing | Table) -> None:
        """Keep a figure as `figures/<name>.png` and `.svg`, or a table as `tables/<name>.csv`."""
        if isinstance(item, Table):
            write_csv(self.path / "tables" / f"{item.name}.csv", item.rows)
            self._tables.append(Artifact(f"{item.name}.csv", item.caption))
            return
        from lib.figures.vector import svg_bytes

        with atomic_path(self.path / "figures" / f"{item.name}.png") as temporary:
            item.figure.savefig(temporary, format="png")
        item.figure.set_layout_engine(None)  # as it lies now, which is not found again
        write_bytes(self.path / "figures" / f"{item.name}.svg", svg_bytes(item.figure))
        self._figures.append(Artifact(f"{item.name}.png", item.caption, item.variant))

    def seal(self, result: Result, dataset: DatasetNote) -> Record[Any]:
        """Write the record, last of all files, and return it as it will be read again."""
        identity = self.identity
        content = {
            "format": FORMAT,
            "version": identity.version,
            "kind": identity.kind,
            "name": identity.name,
            "key": self.key,
            "dataset": asdict(dataset),
            "result": json.loads(result.model_dump_json()),  # in which a float that is not finite is text
            "figures": [asdict(each) for each in self._figures],
            "tables": [asdict(each) for each in self._tables],
            "made": made_now(),
        }
        seconds = None if self._begun is None else time.perf_counter() - self._begun
        write_origin(self.path, Origin(FORMAT, identity, seconds))
        write_json(self.path / RECORD, content)
        return read_record(self.path / RECORD)


def study_key(identity: Identity) -> str:
    """Digest of all that decides a study's result: its kind, name and settings, its inputs' digests, the formats."""
    content = [FORMAT, identity.kind, identity.version, identity.name, identity.settings, *identity.digests.items()]
    return digest_json(content)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table atomically; columns are those of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def keep_example(
    folder: Path, name: str, inputs: npt.NDArray[np.float32], probabilities: npt.NDArray[np.floating]
) -> str:
    """Keep a few input rows with the probabilities the network gave them, to check a loaded model against."""
    from safetensors.numpy import save as safetensors_bytes

    content = {"inputs": np.ascontiguousarray(inputs), "probabilities": np.ascontiguousarray(probabilities)}
    write_bytes(folder / name, safetensors_bytes(content))
    return name


def _whole(record: Record[Any]) -> Record[Any]:
    """The record itself, once all files that it names are known to be there."""
    files = [*(f"figures/{each.file}" for each in record.figures), *(f"tables/{each.file}" for each in record.tables)]
    files += [record.model.network, record.model.example] if record.model else []
    if gone := next((name for name in files if not (record.folder / name).exists()), None):
        raise DataError(f"{gone} of study {record.folder} is missing; delete that folder and run the study again")
    return record
