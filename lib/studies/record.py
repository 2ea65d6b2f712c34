"""What a study leaves on disk: one folder a study and key, with `record.json` written last as its seal.

The record holds the typed result; everything that is shown of a study anywhere is made from it, so showing it again never
computes it again. The key is a digest of settings and inputs: a change of either is another folder. `origin.json` beside
it keeps what decided the result: by it `plan` tells which setting changed, and `reproduce` runs a study again.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from lib.datasets import Understood
from lib.errors import ConfigError, DataError
from lib.files import atomic_path, digest_json, sealed, unsealed, write_bytes, write_json
from lib.mlp.tensor_files import write_tensors
from lib.provenance import made_now
from lib.storage.copies import fetch, fetch_file, shown
from lib.studies.study import Artifact, DatasetNote, Drawing, Record, Result, Table, kind_named

RECORD, ORIGIN = "record.json", "origin.json"
FORMAT = 7
"""Raised when what every record holds changes, so that older records are made anew; a kind's own version does the rest."""

FOLDER_LETTERS = 16
"""Letters of a study's key that its folder is named by."""

_FIELDS = {"format", "version", "kind", "name", "key", "dataset", "result", "figures", "tables", "made"}
_UNDERSTOOD = TypeAdapter(Understood)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """All that decides a study's result."""

    kind: str
    name: str
    version: int
    """The kind of study, what the profile calls it, and the kind's version."""
    settings: Any
    """Those that decide the result; inputs are not named in them."""
    digests: Mapping[str, str]
    """What each input is called -> its digest, in the order in which they enter the key."""
    profile: Mapping[str, Any] = field(default_factory=dict)
    """The nodes of a profile that the study is run by, itself among them; paths in them are absolute."""


@dataclass(frozen=True)
class Origin:
    """An identity as it lies beside a record."""

    format: int
    identity: Identity
    seconds: float | None = None
    """How long the study took, when it was made in one go."""
    node_seconds: float | None = None
    """The same with what Prefect added in the run that made it."""


def write_origin(folder: Path, origin: Origin) -> None:
    times = {"seconds": origin.seconds, "node_seconds": origin.node_seconds}
    write_json(folder / ORIGIN, {"format": origin.format, **asdict(origin.identity), **times})


def read_origin(folder: Path) -> Origin | None:
    """The origin kept in a study's folder; None when there is none that can be read, as beside older records."""
    try:
        content = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
        names = ("kind", "name", "version", "settings", "digests", "profile")
        identity = Identity(**{name: content[name] for name in names})
        return Origin(content["format"], identity, content["seconds"], content["node_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_node_time(folder: Path, seconds: float, began: float) -> None:
    """Keep how long a node took that made the record in `folder`, if it did, and in one go.

    `began`: when the node began, in seconds since 1970.
    """
    origin = read_origin(folder)
    if origin is None or origin.seconds is None or origin.node_seconds is not None:
        return
    if (folder / ORIGIN).stat().st_mtime >= began:
        write_origin(folder, replace(origin, node_seconds=seconds))


def is_finished(folder: Path) -> bool:
    """Whether a study's folder holds a record; then the record and what it speaks of is here, too."""
    fetch_file(folder / RECORD)
    if not (folder / RECORD).exists():
        return False
    fetch(folder, lambda name: not name.startswith("checkpoint-"))
    fetch(folder / "figures")
    fetch(folder / "tables")
    return True


def open_record(folder: Path) -> Record[Any]:
    """The sealed record in a study's folder.

    Raises DataError when the study is not finished, or its record is damaged.
    """
    if not is_finished(folder):
        raise DataError(f"study folder {folder} holds no finished study; run the study first")
    return read_record(folder / RECORD)


def read_record(path: Path) -> Record[Any]:
    """Read a sealed record.

    Raises DataError when the file is not a record of this format; deleting its folder makes the study run again.
    """
    try:
        content = unsealed(json.loads(path.read_text(encoding="utf-8")))
        kind = kind_named(content["kind"])
        if content["format"] != FORMAT or content["version"] != kind.version:
            raise ValueError(f"format {content['format']}, version {content['version']}; an older probeflow made it")
        if unknown := sorted(set(content) - _FIELDS):
            raise ValueError(f"unknown field {unknown[0]!r}")
        dataset = content["dataset"]
        understood = dataset.get("understood")
        return Record(
            kind=content["kind"],
            name=content["name"],
            key=content["key"],
            folder=path.parent,
            dataset=DatasetNote(
                **dataset
                | {name: tuple(dataset[name]) for name in ("classes", "warnings")}
                | {"understood": None if understood is None else _UNDERSTOOD.validate_python(understood)},
            ),
            result=kind.result.model_validate_json(json.dumps(content["result"])),
            figures=tuple(Artifact(**each) for each in content["figures"]),
            tables=tuple(Artifact(**each) for each in content["tables"]),
            made=content["made"],
        )
    except (ValidationError, ConfigError, ValueError, KeyError, TypeError, RecursionError) as error:
        problem = " ".join(str(error).split())[:200]
        raise DataError(
            f"study record {path} is damaged ({problem}); delete its folder and run the study again"
        ) from None


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
