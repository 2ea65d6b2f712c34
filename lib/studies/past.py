"""Earlier records of a study on disk, of any format, and in which settings and inputs they differ from what is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import SWEEPS
from lib.storage.copies import fetch
from lib.studies.identity import NAME, Identity, Origin, read_origin
from lib.studies.record import FORMAT, StudyFolder

_RECORD = "record.json"
_NAMED = 3
_SHORT = 12
_LONGEST = 40

_SOURCES = ("images.", *(f"{name}.data." for name in SWEEPS))
_EXPLAINED_BY = {"data": _SOURCES, "features": ("images.", "features."), "activations": ("activations.",)}
"""What an input is called among a study's digests -> the settings that it is made by."""

_UNDECISIVE = {"features.device", "features.batch_size", "features.weights_file", "name"}
"""Settings that change no result."""


@dataclass(frozen=True)
class PastRecord:
    """A sealed record as it lies on disk.

    Attributes
    ----------
    content : dict
        The record's JSON, as its format has it.
    origin : Origin or None
        None beside records that an older probeflow made.
    """

    folder: Path
    content: dict[str, Any]
    origin: Origin | None

    @property
    def when(self) -> str:
        """When it was made, in words."""
        return str(self.content.get("made", {}).get("when", "")) or "earlier"


def past_records(root: Path, study: str) -> list[PastRecord]:
    """The sealed records of a study under the root of all studies, the latest first; those that are damaged are left out."""
    fetch(root / study, lambda name: name.endswith((f"/{_RECORD}", f"/{NAME}")), deep=True)
    found = []
    for path in sorted((root / study).glob(f"*/{_RECORD}"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict):
            found.append(PastRecord(path.parent, content, read_origin(path.parent)))
    return found


def why_to_do(root: Path, identity: Identity) -> str:
    """Why the study that `identity` decides has no record: in what it differs from the nearest earlier one."""
    folder = StudyFolder.of(root, identity)
    if (folder.path / _RECORD).exists():
        return "its record is damaged"
    records = past_records(root, identity.study)
    if not records:
        return "nothing of it is recorded yet"
    known = [each for each in records if each.origin is not None]
    if not known:
        return _older(records[0]) or "earlier records do not tell their settings"
    nearest = min(known, key=lambda each: len(differences(identity, each.origin)))
    told = differences(identity, nearest.origin)
    if older := _older(nearest):
        told = [older, *told]
    return several(told) if told else "another version of probeflow made the earlier records"


def differences(wanted: Identity, origin: Origin | None) -> list[str]:
    """In which settings and inputs an earlier study differs from the one wanted, each in words: "name then -> now".

    An input's digest is told where no setting explains that it is another, and a source's settings where its data is.
    """
    if origin is None:
        return []
    before = origin.identity
    if wanted.study == "pipeline":
        return [f"{name} changed" for name, digest in wanted.digests.items() if before.digests.get(name) != digest]
    then, now = flat(before.parts), flat(wanted.parts)
    names = changes(then, now)
    if before.digests.get("data") == wanted.digests.get("data") is not None:
        names = [name for name in names if not name.startswith(_SOURCES)]
    told = [f"{name} {_value(then.get(name))} -> {_value(now.get(name))}" for name in names]
    for name, digest in wanted.digests.items():
        earlier = before.digests.get(name, "")
        if earlier != digest and not any(each.startswith(_EXPLAINED_BY[name]) for each in names):
            told.append(f"{name} digest {earlier[:_SHORT] or 'none'} -> {digest[:_SHORT]}")
    return told


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the settings that differ and decide something."""
    names = dict.fromkeys([*now, *then])
    return [name for name in names if then.get(name) != now.get(name) and name not in _UNDECISIVE]


def flat(parts: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    return dict(_flat(parts, before))


def _flat(parts: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in parts.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def several(told: list[str]) -> str:
    """The first few of some differences, and how many more there are."""
    more = f", and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return ", ".join(told[:_NAMED]) + more


def _older(record: PastRecord) -> str:
    made = record.content.get("format")
    return "" if made == FORMAT else f"the record of {record.when} has format {made}, now {FORMAT}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
