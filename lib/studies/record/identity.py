"""What decides a study's result, and the part of a profile that says so: kept beside its record as `origin.json`.

By it `plan` tells which setting or input changed since an earlier record, and `reproduce` runs a study again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib.files import write_json

NAME = "origin.json"


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
    """The same with what Prefect and MLflow added in the run that made it."""


def write_origin(folder: Path, origin: Origin) -> None:
    times = {"seconds": origin.seconds, "node_seconds": origin.node_seconds}
    write_json(folder / NAME, {"format": origin.format, **asdict(origin.identity), **times})


def read_origin(folder: Path) -> Origin | None:
    """The origin kept in a study's folder; None when there is none that can be read, as beside older records."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        names = ("kind", "name", "version", "settings", "digests", "profile")
        identity = Identity(**{name: content[name] for name in names})
        return Origin(content["format"], identity, content["seconds"], content["node_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_node_time(folder: Path, seconds: float, began: float) -> None:
    """Keep how long a node took that made the record in `folder`, if it did, and in one go.

    Parameters
    ----------
    began : float
        When the node began, in seconds since 1970.
    """
    origin = read_origin(folder)
    if origin is None or origin.seconds is None or origin.node_seconds is not None:
        return
    if (folder / NAME).stat().st_mtime >= began:
        write_origin(folder, Origin(origin.format, origin.identity, origin.seconds, seconds))
