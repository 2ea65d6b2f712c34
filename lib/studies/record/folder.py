"""The folder of one study and key, while it is being filled, and its seal."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.errors import DataError
from lib.files import atomic_path, digest_json, sealed, write_bytes, write_json
from lib.mlp.tensor_files import write_tensors
from lib.provenance import made_now
from lib.storage.copies import shown
from lib.studies.record.identity import Identity, Origin, write_origin
from lib.studies.record.reading import FORMAT, RECORD, is_finished, read_record
from lib.studies.study import Artifact, DatasetNote, Drawing, Record, Result, Table

FOLDER_LETTERS = 16
"""Letters of a study's key that its folder is named by."""

_logger = logging.getLogger(__name__)


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

        Raises DataError when it is damaged, or a file that it names is gone.
        """
        return _whole(read_record(self.path / RECORD)) if is_finished(self.path) else None

    def keep(self, item: Drawing | Table) -> None:
        """Keep a figure as `figures/<name>.svg`, or `.png` where that would be too large; a table as `tables/<name>.csv`."""
        if isinstance(item, Table):
            write_csv(self.path / "tables" / f"{item.name}.csv", item.rows)
            self._tables.append(Artifact(f"{item.name}.csv", item.caption))
            return
        from lib.figures.raster import save_png
        from lib.figures.vector import LARGEST, svg_bytes

        content, lacking = svg_bytes(item.figure), ""
        file = self.path / "figures" / f"{item.name}{'.svg' if len(content) <= LARGEST else '.png'}"
        if file.suffix == ".svg":  # in which a browser finds fonts of its own
            write_bytes(file, content)
        else:
            with atomic_path(file) as temporary:
                lacking = save_png(item.figure, temporary)
        if not self._figures:
            _logger.info("%s: first picture %s", self.identity.name, shown(file))
        self._figures.append(Artifact(file.name, item.caption, item.variant, lacking))

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
        write_json(self.path / RECORD, sealed(content))
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
    write_bytes(path, text.getvalue().encode(errors="surrogateescape"))  # names of files as they are


def keep_example(
    folder: Path, name: str, inputs: npt.NDArray[np.float32], probabilities: npt.NDArray[np.floating]
) -> str:
    """Keep a few input rows with the probabilities the network gave them, to check a loaded model against."""
    write_tensors(folder / name, {"inputs": inputs, "probabilities": probabilities})
    return name


def _whole(record: Record[Any]) -> Record[Any]:
    """The record itself, once all files that it names are known to be there."""
    files = [*(f"figures/{each.file}" for each in record.figures), *(f"tables/{each.file}" for each in record.tables)]
    files += [record.model.network, record.model.example] if record.model else []
    if gone := next((name for name in files if not (record.folder / name).exists()), None):
        raise DataError(f"{gone} of study {record.folder} is missing; delete that folder and run the study again")
    return record
