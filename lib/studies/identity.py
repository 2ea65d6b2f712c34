"""What decides a study's result, and the parts of a profile that say so: kept beside its record as `origin.json`.

By it `plan` tells which setting or input changed since an earlier record, and `reproduce` runs a study again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib.files import write_json

NAME = "origin.json"


@dataclass(frozen=True)
class Identity:
    """All that decides a study's result.

    Attributes
    ----------
    settings : JSON
        As they enter the study's key.
    digests : mapping of str to str
        What each input is called -> its digest, in the order in which they enter the key.
    parts : mapping of str to JSON
        The parts of a profile that the study runs by, e.g. "images" and "exploration"; paths in them are absolute.
    """

    study: str
    settings: Any
    digests: Mapping[str, str]
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """An identity as it lies beside a record.

    Attributes
    ----------
    seconds : float or None
        How long the study took, when it was made in one go.
    stage_seconds : float or None
        The same with what Prefect and MLflow added in the run that made it.
    """

    format: int
    identity: Identity
    seconds: float | None = None
    stage_seconds: float | None = None


def write_origin(folder: Path, origin: Origin) -> None:
    """Keep the origin of the record in a study's folder."""
    identity = origin.identity
    content = {
        "format": origin.format,
        "study": identity.study,
        "settings": identity.settings,
        "digests": dict(identity.digests),
        "parts": dict(identity.parts),
        "seconds": origin.seconds,
        "stage_seconds": origin.stage_seconds,
    }
    write_json(folder / NAME, content)


def read_origin(folder: Path) -> Origin | None:
    """The origin kept in a study's folder; None when there is none that can be read, as beside older records."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        identity = Identity(content["study"], content["settings"], content["digests"], content["parts"])
        return Origin(content["format"], identity, content["seconds"], content["stage_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_stage_time(folder: Path, seconds: float, began: float) -> None:
    """Keep how long a stage took that made the record in `folder`, if it did, and in one go.

    Parameters
    ----------
    began : float
        When the stage began, in seconds since 1970.
    """
    origin = read_origin(folder)
    if origin is None or origin.seconds is None or origin.stage_seconds is not None:
        return
    if (folder / NAME).stat().st_mtime >= began:
        write_origin(folder, Origin(origin.format, origin.identity, origin.seconds, seconds))
