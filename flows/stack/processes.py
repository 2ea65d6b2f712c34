"""Processes by what Linux tells of them: whether one is still the same, and which belong to a service."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

MARK = "PROBEFLOW_STACK_SERVICE"
"""Variable that every process of the stack is started with, and hands on to what it starts: FOLDER:SERVICE."""


_LEFT_SECONDS = 5.0


class Identity(NamedTuple):
    """A process: its id, and when it started (clock ticks since boot), since ids are given again."""

    pid: int
    start: int


def identity(pid: int) -> Identity | None:
    """The process that has this id now; None when there is none, or it is dead and not yet buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Identity(pid, int(fields[19]))


def lives(process: Identity) -> bool:
    """Whether it is still there, and still the same."""
    return identity(process.pid) == process


def of_service(folder: Path, name: str | None = None, working_in: Path | None = None) -> list[Identity]:
    """Processes of the service `name` of the stack in `folder` (of all its services when None), whoever started them.

    Parameters
    ----------
    working_in : Path, optional
        Processes whose working folder this is belong to the service, too: PostgreSQL's overwrite their environment.
    """
    mark = f"{MARK}={folder}:{name or ''}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended, or is another user's
            variables = (entry / "environ").read_bytes().split(b"\0")
            marked = mark in variables if name else any(variable.startswith(mark) for variable in variables)
            if marked or (working_in is not None and (entry / "cwd").readlink() == working_in):
                found.append(identity(int(entry.name)))
    return [process for process in found if process is not None]


def send(processes: Iterable[Identity], number: signal.Signals) -> None:
    """Send a signal to those that still live."""
    for process in processes:
        if lives(process):
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def end(
    find: Callable[[], list[Identity]], first: list[Identity], number: signal.Signals, grace: float, poll: float = 0.05
) -> bool:
    """End a service as an engine ends a container: signal its first process, then kill what is left.

    Parameters
    ----------
    find : callable
        All processes of the service.
    first : list of Identity
        Who gets the signal `number`, and `grace` seconds to end.

    Returns
    -------
    bool
        Whether it ended by itself, as asked.
    """
    send(first, number)
    over = time.monotonic() + grace
    while any(map(lives, first)) and time.monotonic() < over:
        time.sleep(poll)
    asked = not any(map(lives, first))
    # What its first process left gets a moment to end well: a server's own workers, say, while they answer requests.
    send(find(), signal.SIGTERM)
    over = time.monotonic() + (_LEFT_SECONDS if asked else 0)
    while find() and time.monotonic() < over:
        time.sleep(poll)
    kill(find, poll)
    return asked


def kill(find: Callable[[], list[Identity]], poll: float = 0.05) -> None:
    """Kill all processes that `find` gives, until it gives none: as an engine does when a container's first one is gone."""
    while left := find():
        send(left, signal.SIGKILL)
        time.sleep(poll)
