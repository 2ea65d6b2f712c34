"""Reading sealed records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lib.datasets import Understood
from lib.errors import ConfigError, DataError
from lib.files import unsealed
from lib.storage.copies import fetch, fetch_file
from lib.studies.study import Artifact, DatasetNote, Record, kind_named

RECORD = "record.json"
FORMAT = 7
"""Raised when what every record holds changes, so that older records are made anew; a kind's own version does the rest."""

_FIELDS = {"format", "version", "kind", "name", "key", "dataset", "result", "figures", "tables", "made"}

_UNDERSTOOD = TypeAdapter(Understood)


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
