"""MLflow in a process of its own, so that what a run computes and draws does not wait for it.

Logging hundreds of runs is seconds of Python, and threads share one interpreter. The process is a single one, takes one
call at a time, and gives way to what computes. Who calls it imports no MLflow.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.places import Places
from lib.processes import OwnProcess
from lib.profile import Profile
from lib.progress import Advance, bar


@dataclass(frozen=True)
class Page:
    """A page of MLflow."""

    name: str
    title: str
    address: str


@dataclass(frozen=True)
class Logged:
    """A record as MLflow shows it.

    Attributes
    ----------
    run_id, run_name, address : str
        Its run, and where that is: a page on a tracking server, else words.
    title, headline, notes, warnings
        What the record presents; `notes` is Markdown.
    comparisons : tuple of Page
        Where MLflow compares what the study tried; none if it tried one setting.
    comparison_links : str
        The same as a line of Markdown.
    report : str or None
        The page of the run's report, if there is one.
    changed : str
        Of a whole run, what changed since the one before; "" if nothing did.
    """

    run_id: str
    run_name: str
    address: str
    title: str
    headline: str
    notes: str
    warnings: tuple[str, ...]
    comparisons: tuple[Page, ...]
    comparison_links: str
    report: str | None
    changed: str


def begin() -> None:
    """Start the process ahead of its first call: importing MLflow takes seconds."""
    with _one_at_a_time:
        _living()


def open_store(where: Places, *, patient: bool) -> None:
    """Open the MLflow store of `where`; a local one is made (or migrated) on first use.

    Raises as `lib.tracking.store.connect`, which says what `patient` is.
    """
    _call("open_store", where, patient)


def import_ahead() -> None:
    """Import what the later calls need."""
    _call("import_ahead")


def log_study(folder: Path, links: Mapping[str, str], where: Places) -> Logged:
    """Log the record in `folder` (see `lib.tracking.records.log_record`) with `links`.

    Raises LostStoreError when MLflow fails meanwhile, DataError when the record is damaged.
    """
    logged: Logged = _call("log_study", folder, dict(links), where)
    return logged


def consider_study(profile: Profile, folder: Path, run_id: str, where: Places) -> dict[str, Any]:
    """Put the network of the sweep in `folder` before the gate (see `lib.tracking.promotion.consider`).

    Returns the decision's fields, whether it `promoted`, `why`, and it all as `markdown`. Raises as `consider`, and
    LostStoreError when MLflow fails meanwhile.
    """
    decision: dict[str, Any] = _call("consider_study", profile.model_dump(mode="json"), folder, run_id, where)
    return decision


class _Process(OwnProcess):
    """Shows here what is counted, logged and written there."""

    def __init__(self) -> None:
        super().__init__("lib.tracking.background_calls", "logs to MLflow")
        self._bars: dict[int, tuple[ExitStack, Advance]] = {}

    def call(self, name: str, *arguments: Any) -> Any:
        try:
            return super().call(name, dict(os.environ), *arguments)
        finally:
            for number in list(self._bars):
                self._end_bar(number)

    def heard(self, kind: str, value: Any) -> None:
        match kind:
            case "bar":
                number, label, total, unit = value
                stack = ExitStack()
                self._bars[number] = stack, stack.enter_context(bar(label, total, unit))
            case "advance":
                number, count = value
                self._bars[number][1](count)
            case "bar ended":
                self._end_bar(value)
            case "log":
                logger = logging.getLogger(value.name)
                if logger.isEnabledFor(value.levelno):
                    logger.handle(value)
            case "written":
                with suppress(OSError):  # who reads it may have left
                    sys.stderr.write(value)

    def _end_bar(self, number: int) -> None:
        stack, _ = self._bars.pop(number)
        stack.close()


_process: _Process | None = None
_one_at_a_time = threading.Lock()


def _living() -> _Process:
    global _process
    if _process is None or not _process.lives():
        _process = _Process()
    return _process


def _call(name: str, *arguments: Any) -> Any:
    with _one_at_a_time:
        return _living().call(name, *arguments)


@atexit.register
def _end() -> None:
    if _process is not None:
        _process.end()


def _forget() -> None:
    global _process, _one_at_a_time
    _process, _one_at_a_time = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)  # it answers the parent
