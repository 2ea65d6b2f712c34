"""Earlier records of a study on disk, of any format, and in which settings and inputs they differ from what is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.addresses import without_credentials, without_secrets
from lib.graph.summary import NAME as WHOLE_RUN
from lib.profile import Graph, parse_profile
from lib.storage.copies import fetch
from lib.studies.record import FOLDER_LETTERS, FORMAT, ORIGIN, RECORD, Identity, Origin, StudyFolder, read_origin
from lib.studies.study import Group

KEY_LETTERS = 6
"""So many letters of a key at least stand for it."""

_NAMED = 3
_SHORT = 12
_LONGEST = 40

_IDLE = ("device", "batch_size", "weights_file")
"""Settings of a feature set that decide nothing that its digest does not tell."""


@dataclass(frozen=True)
class PastRecord:
    """A sealed record as it lies on disk."""

    folder: Path
    content: dict[str, Any]
    """The record's JSON, as its format has it."""
    origin: Origin | None
    """None beside records that an older probeflow made."""

    @property
    def when(self) -> str:
        return str(self.content.get("made", {}).get("when", "")) or "earlier"


def past_records(root: Path, name: str = "*") -> list[PastRecord]:
    """The sealed records of a node, or of all, under the root of studies, the latest first; damaged ones are left out."""
    return _past_records(root, name)[0]


def _past_records(root: Path, name: str) -> tuple[list[PastRecord], int]:
    """The records of a node that can be read, the latest first, and how many cannot."""
    place = root if name == "*" else root / name
    fetch(place, lambda path: path.endswith((f"/{RECORD}", f"/{ORIGIN}")), deep=True)
    found = [path for path in root.glob(f"{name}/*/{RECORD}") if not path.parent.parent.name.startswith(".")]
    paths = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    read = [(path.parent, _content(path)) for path in paths]
    known = [PastRecord(folder, content, read_origin(folder)) for folder, content in read if content is not None]
    return known, len(read) - len(known)


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
    fetch(root, lambda name: name.endswith(f"/{RECORD}") and name.split("/")[-2].startswith(begin), deep=True)
    return [
        path.parent
        for path in sorted(root.glob(f"*/{begin}*/{RECORD}"))
        if len(wanted) <= FOLDER_LETTERS or str((_content(path) or {}).get("key", "")).startswith(wanted)
    ]


def why_to_do(root: Path, identity: Identity) -> str:
    """Why the node that `identity` decides has no record: in what it differs from the nearest earlier one.

    Earlier records that cannot be read are counted.
    """
    if (StudyFolder(root, identity).path / RECORD).exists():
        return "its record is damaged"
    records, damaged = _past_records(root, identity.name)
    if identity.kind == WHOLE_RUN:
        records = [each for each in records if not _of_another_profile(identity, each)]
    left_out = f"{damaged} earlier {'record' if damaged == 1 else 'records'} could not be read" if damaged else ""
    if not records:
        return left_out or "nothing of it is recorded yet"
    return _against(identity, records) + (f"; {left_out}" if left_out else "")


def _against(identity: Identity, records: list[PastRecord]) -> str:
    """In what a study differs from the nearest of some earlier records."""
    known = [each for each in records if each.origin is not None]
    if not known:
        return _older(records[0], identity) or "earlier records do not tell their settings"
    nearest = min(known, key=lambda each: len(differences(identity, each.origin)))
    told = differences(identity, nearest.origin)
    if older := _older(nearest, identity):
        told = [older, *told]
    return several(told) if told else "no recorded setting tells why"


def _of_another_profile(wanted: Identity, record: PastRecord) -> bool:
    """Whether a whole run's record is of a profile of another name; nodes of one name are compared whatever their profile."""
    if record.origin is None:
        return False
    return bool(record.origin.identity.settings.get("name") != wanted.settings.get("name"))


def differences(wanted: Identity, origin: Origin | None) -> list[str]:
    """In which settings and inputs an earlier study differs from the one wanted, each in words: "name then -> now".

    Settings are named by their place in a profile. Those of nodes whose content is the same are not told; an input's digest
    is told where no setting explains that it is another.
    """
    if origin is None:
        return []
    before = origin.identity
    roles = dict.fromkeys([*wanted.digests, *before.digests])
    changed = [role for role in roles if wanted.digests.get(role) != before.digests.get(role)]
    if wanted.kind == WHOLE_RUN:  # its inputs are its studies
        return [f"{role} changed" for role in changed] + _changed(before.settings, wanted.settings)
    graph = parse_profile(wanted.profile).graph
    needs = {need.role: need.node for need in graph[wanted.name].needs}
    behind = {role: _behind(graph, [needs[role]] if role in needs else needs.values()) for role in changed}
    then, now = flat(before.profile), flat(wanted.profile)
    paths = changes(then, now)
    own = tuple(f"{group}.{wanted.name}." for group in Group)
    places = (*own, *(place for several in behind.values() for place in several))
    told = [
        f"{path} {value_words(then.get(path))} -> {value_words(now.get(path))}"
        for path in paths
        if path.startswith(places)
    ]
    for role in changed:
        # What is called otherwise than the inputs is made by the node itself: its own settings explain it, too.
        explains = behind[role] + (() if role in needs else own)
        named = tuple(f"{place}{role.partition('.')[0]}" for place in own)
        if not any(path in named or path.startswith(explains) for path in paths):
            digest, earlier = wanted.digests.get(role, ""), before.digests.get(role, "")
            told.append(f"{role} digest {earlier[:_SHORT] or 'none'} -> {digest[:_SHORT] or 'none'}")
    # Decisive settings may stand in no profile, such as which measures there are.
    return told or _changed(*({f"{Group.STUDIES}.{wanted.name}": each.settings} for each in (before, wanted)))


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The settings that differ and decide something: "name then -> now"."""
    old, new = flat(then), flat(now)
    return [f"{path} {value_words(old.get(path))} -> {value_words(new.get(path))}" for path in changes(old, new)]


def _behind(graph: Graph, names: Iterable[str]) -> tuple[str, ...]:
    """The places in a profile of the settings of some nodes and what they need."""
    return tuple(f"{graph[name].group}.{name}." for name in graph.with_needs(names))


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the settings that differ and decide something."""
    names = dict.fromkeys([*now, *then])
    return [name for name in names if then.get(name) != now.get(name) and not _is_idle(name)]


def _is_idle(path: str) -> bool:
    """Whether a setting decides no result: a profile's name, and how features are computed."""
    group, _, rest = path.partition(".")
    return path == "name" or (group == Group.FEATURES and rest.partition(".")[2] in _IDLE)


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


def _older(record: PastRecord, wanted: Identity) -> str:
    made = record.content.get("format")
    if made != FORMAT:
        return f"the record of {record.when} has format {made}, now {FORMAT}"
    version = record.content.get("version")
    return (
        "" if version == wanted.version else f"the record of {record.when} has version {version}, now {wanted.version}"
    )


def value_words(value: Any) -> str:
    """A setting's value, cut to be read in a line: half a password is one, too, so secrets go first."""
    if value is None:
        return "none"
    text = without_secrets(value) if isinstance(value, str) else without_credentials(json.dumps(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
