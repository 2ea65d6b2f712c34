"""Copies on this machine of what lies elsewhere: one process makes a copy, and each use compares it with its origin.

Beside a copy `NAME` lies `.NAME.json`, its note: where it is from, what told its origin from a later one, and its sha256.
A copy that is damaged, or whose origin was replaced, is made again. While the origin cannot be asked, the copy is used.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from lib.errors import AbsentError, DataError, ProbeflowError
from lib.files import atomic_path, digest_file, remove_abandoned, write_json
from lib.locks import alone
from lib.progress import tell

Stamp = Mapping[str, str]
"""What tells one version of an origin from another, such as its size and ETag; two are compared by what both have."""

PART = ".part"
"""What the names of interrupted downloads end with."""

_ASK_AGAIN_SECONDS = 600.0
_unasked: dict[str, float] = {}
"""Origins that could not be asked, and when: a network that is away costs a run one time-out, and one line."""


_NOWHERE = "nowhere:"
"""What a mirror begins with from which nothing is fetched; see `offline`."""


def offline(mirror: str | None) -> str:
    """The mirror as one whose copies on this machine are used, and from which nothing is fetched."""
    return mirror if mirror is not None and is_offline(mirror) else f"{_NOWHERE}{mirror or ''}"


def is_offline(mirror: str | None) -> bool:
    """Whether nothing is to be fetched."""
    return mirror is not None and mirror.startswith(_NOWHERE)


def online(mirror: str | None) -> str | None:
    """The mirror that `offline` was given."""
    return (mirror or "").removeprefix(_NOWHERE) or None


class Origin(Protocol):
    """What a copy is of."""

    @property
    def shown(self) -> str:
        """Its address, without secrets."""

    @property
    def is_near(self) -> bool:
        """Whether it is asked without a network."""

    def stamp(self) -> Stamp:
        """What tells its present version. Raises OSError or ProbeflowError when that cannot be had."""

    def copy(self, target: Path) -> None:
        """Write it to the file `target`. Raises OSError or ProbeflowError."""


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    origin: str
    stamp: dict[str, str]
    size: int
    sha256: str


def keep(copy: Path, origin: Origin, offline: bool = False) -> Path:
    """Make sure that `copy`, the only file of its name in its folder that is made so, is the whole of `origin`; returns it.

    `offline`: ask no network and make nothing.

    Raises AbsentError when it would have to be made and `offline` is set; OSError, ProbeflowError when the origin
    cannot be copied.
    """
    if _is_current(copy, origin, offline):
        return copy
    if offline:
        raise AbsentError(f"{origin.shown} is not on this machine yet, or was replaced since")
    with alone(copy):
        if not _is_current(copy, origin, offline):
            _make(copy, origin)
    return copy


def _is_current(copy: Path, origin: Origin, offline: bool) -> bool:
    """Whether the copy is whole, and its origin has not been replaced since, as far as that can be known."""
    note = _note(copy)
    if note is None or not _is_whole(copy, note):
        return False
    if offline and not origin.is_near:
        return True
    now = time.monotonic()
    if now < _unasked.get(origin.shown, now):
        return True
    try:
        stamp = origin.stamp()
    except (OSError, ProbeflowError) as error:
        _unasked[origin.shown] = now + _ASK_AGAIN_SECONDS
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        tell(f"{origin.shown} cannot be asked whether it changed ({reason}); the copy of before is used")
        return True
    both = stamp.keys() & note.stamp.keys()
    return bool(both) and all(note.stamp[name] == stamp[name] for name in both)


def _make(copy: Path, origin: Origin) -> None:
    try:
        stamp = origin.stamp()
    except (
        OSError,
        ProbeflowError,
    ):  # some servers tell nothing of a file; copying it says what is wrong, if anything is
        stamp = {}
    remove_abandoned(copy.parent)
    with atomic_path(copy) as temporary:
        origin.copy(temporary)
        if origin.is_near and origin.stamp() != stamp:
            raise DataError(f"{origin.shown} changed while it was copied; run the same command again")
        sha256 = digest_file(temporary)
    for left in copy.parent.glob(f".*{PART}"):
        left.unlink(missing_ok=True)
    note = _Note(origin=origin.shown, stamp=dict(stamp), size=copy.stat().st_size, sha256=sha256)
    write_json(_note_path(copy), note.model_dump())


def _is_whole(copy: Path, note: _Note) -> bool:
    try:
        return copy.stat().st_size == note.size and digest_file(copy) == note.sha256
    except OSError:
        return False


def known_sha256(copy: Path) -> str | None:
    """The digest that `keep` has just found `copy` to have."""
    note = _note(copy)
    return None if note is None else note.sha256


def _note(copy: Path) -> _Note | None:
    try:
        return _Note.model_validate_json(_note_path(copy).read_bytes())
    except (OSError, ValueError):
        return None


def _note_path(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}.json")
