"""Earlier records of a study on disk, of any format, and in which settings and inputs they differ from what is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.config import SWEEPS
from lib.storage.copies import fetch
from lib.studies.identity import NAME, Identity, Origin, read_origin
from lib.studies.record import FOLDER_LETTERS, FORMAT, StudyFolder

KEY_LETTERS = 6
"""So many letters of a key at least stand for it."""

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
    return _past_records(root, study)[0]


def _past_records(root: Path, study: str) -> tuple[list[PastRecord], int]:
    """The records of a study that can be read, the latest first, and how many cannot."""
    fetch(root / study, lambda name: name.endswith((f"/{_RECORD}", f"/{NAME}")), deep=True)
    paths = sorted((root / study).glob(f"*/{_RECORD}"), key=lambda path: path.stat().st_mtime, reverse=True)
    read = [(path.parent, _content(path)) for path in paths]
    found = [PastRecord(folder, content, read_origin(folder)) for folder, content in read if content is not None]
    return found, len(read) - len(found)


def _content(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def records_of_key(root: Path, wanted: str) -> list[Path]:
    """Folders of the sealed records, of any study, whose key is or begins with `wanted`."""
    if len(wanted) < KEY_LETTERS or not re.fullmatch("[0-9a-f]{,64}", wanted):
        return []
    begin = wanted[:FOLDER_LETTERS]
    fetch(root, lambda name: name.endswith(f"/{_RECORD}") and name.split("/")[-2].startswith(begin), deep=True)
    return [
        path.parent
        for path in sorted(root.glob(f"*/{begin}*/{_RECORD}"))
        if len(wanted) <= FOLDER_LETTERS or str((_content(path) or {}).get("key", "")).startswith(wanted)
    ]


def why_to_do(root: Path, identity: Identity) -> str:
    """Why the study that `identity` decides has no record: in what it differs from the nearest earlier one.

    Earlier records that cannot be read are counted.
    """
    folder = StudyFolder.of(root, identity)
    if (folder.path / _RECORD).exists():
        return "its record is damaged"
    records, damaged = _past_records(root, identity.study)
    left_out = f"{damaged} earlier {'record' if damaged == 1 else 'records'} could not be read" if damaged else ""
    if not records:
        return left_out or "nothing of it is recorded yet"
    return _against(identity, records) + (f"; {left_out}" if left_out else "")


def _against(identity: Identity, records: list[PastRecord]) -> str:
    """In what a study differs from the nearest of some earlier records."""
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
