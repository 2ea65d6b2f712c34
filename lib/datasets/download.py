"""Fetching one file: from the mirror when there is one, else from its public addresses; resumed, checked, atomic.

A file with a published digest is compared with it at each use; any other with its origin (`lib.datasets.copies`).
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.datasets.copies import Origin, is_offline, keep, online
from lib.datasets.origins import UnavailableError, digest_of, origin_of
from lib.errors import AbsentError, DataError
from lib.files import atomic_path, digest_file
from lib.locks import alone

_LONGEST_NAME = 100
"""Bytes of the name of a copy; temporary files beside it have longer ones."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to have: its name under a mirror, its public addresses, and (the beginning of) its published digest."""

    name: str
    urls: Sequence[str] = ()
    algorithm: str = "sha256"
    digest: str | None = None

    def is_whole(self, path: Path) -> bool:
        return path.is_file() and digest_file(path, self.algorithm).startswith(self.digest or "")


def _addresses(file: RemoteFile, mirror: str | None) -> Sequence[str]:
    return [_under(mirror, file.name)] if mirror else file.urls


def why_not(file: RemoteFile, mirror: str | None) -> str | None:
    """Why no place that is asked for a file answers; None where one does. Nothing is fetched."""
    problems = []
    for address in _addresses(file, mirror):
        origin = origin_of(address, file.digest is not None)
        try:
            origin.stamp()
        except (OSError, DataError) as problem:
            problems.append(f"{origin.shown}: {problem}")
        else:
            return None
    return "; ".join(problems)


def fetch(file: RemoteFile, folder: Path, mirror: str | None) -> Path:
    """Make sure that the whole file is under `folder` and return its path; a right copy is left alone.

    `mirror`: "file:///…", "https://…" (perhaps with USER:PASSWORD@, never shown) or "s3://…"; when given,
    `<mirror>/<name>` is the only place asked.

    Raises DataError when no place has it, or what came is damaged (a partial download is resumed next time);
    AbsentError when it is not there and the mirror is `offline`.
    """
    target = folder / file_name(file.name)
    if file.digest is not None and file.is_whole(target):
        return target
    waits, mirror = is_offline(mirror), online(mirror)
    if waits and file.digest is not None:
        raise AbsentError(f"{file.name} is not on this machine yet")
    problems = []
    for address in _addresses(file, mirror):
        origin = origin_of(address, file.digest is not None)
        try:
            if file.digest is None:
                return keep(folder / digest_of(origin.shown) / target.name, origin, waits)
            return _fetch_proven(file, origin, target)
        except UnavailableError as problem:
            problems.append(f"{origin.shown}: {problem}")
    if not problems:
        error = AbsentError if waits else DataError
        raise error(f"{file.name} has no public address: set PROBEFLOW_MIRROR to a place that holds it")
    fix = (
        f"check that the mirror holds {file.name}"
        if mirror
        else f"without network set PROBEFLOW_MIRROR=file:///FOLDER that holds {file.name}"
    )
    raise DataError(f"cannot fetch {file.name} ({'; '.join(problems)}); {fix}")


def file_name(name: str) -> str:
    """The last part of a name or address as the name of a file: not hidden, and its end if it is long."""
    last = name.rstrip("/").rpartition("/")[2].replace("\0", "")
    end = last.encode("utf-8", "surrogateescape")[-_LONGEST_NAME:].decode("utf-8", "ignore")
    return end.lstrip(".") or "file"


def _under(mirror: str, name: str) -> str:
    return f"{mirror.rstrip('/')}/{name if mirror.startswith('s3:') else urllib.parse.quote(name)}"


def _fetch_proven(file: RemoteFile, origin: Origin, target: Path) -> Path:
    with alone(target):
        if file.is_whole(target):  # another process fetched it meanwhile
            return target
        with atomic_path(target) as temporary:
            origin.copy(temporary)
            if not file.is_whole(temporary):
                fix = "replace it with the original" if origin.is_near else "try again or use a mirror"
                raise DataError(
                    f"{file.name} from {origin.shown} is damaged or altered: its {file.algorithm} is not {file.digest}; {fix}"
                )
    return target
