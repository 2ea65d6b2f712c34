"""What the process answers that logs to MLflow (see `background`).

It opens the store while a run begins and all else starts too: what only later calls need is imported after that.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any

from lib import processes
from lib.addresses import ask_loopback_directly
from lib.errors import LostStoreError
from lib.machine import collect_rarely, give_way
from lib.places import Places
from lib.processes import Server
from lib.progress import Advance, shown_by
from lib.tracking.background import Logged, Page
from lib.tracking.store import connect, lost_store


class _Calls(Server):
    """A display of progress as well, which tells it to who called."""

    def __init__(self) -> None:
        super().__init__()
        self._theirs: Mapping[str, str] = dict(os.environ)
        self._bars = 0
        sys.stderr = _Written(self)
        logging.getLogger().addHandler(_Logs(self))
        logging.getLogger("lib").setLevel(logging.INFO)

    def answer(self, name: str, arguments: Sequence[Any]) -> Any:
        """Answer in the environment of who calls; of what MLflow raises, what can be told in a line is a LostStoreError."""
        environment, *others = arguments
        self._take(environment)
        try:
            return super().answer(name, others)
        except Exception as error:
            if (words := lost_store(error)) is not None:
                raise LostStoreError(words) from error
            raise

    def _take(self, environment: Mapping[str, str]) -> None:
        """Have the environment of who calls, which may have changed; what MLflow put into this one's by itself stays."""
        for name in self._theirs.keys() - environment.keys():
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in environment.items() if self._theirs.get(name) != value})
        self._theirs = environment
        ask_loopback_directly(os.environ)

    def open_store(self, where: Places, patient: bool) -> None:
        connect(where, patient=patient)

    def import_ahead(self) -> None:
        import lib.tracking.promotion
        import lib.tracking.records  # noqa: F401

    def log_study(self, folder: Path, links: Mapping[str, str], where: Places) -> Logged:
        from lib.graph.history import last_step
        from lib.report import REPORT
        from lib.report.changes import changed_since, presented
        from lib.studies.presentation import markdown
        from lib.studies.record import open_record
        from lib.tracking.records import log_record
        from lib.tracking.views import as_markdown, comparison_links

        record = open_record(folder)
        step = last_step(record)
        shown = presented(record, step)
        tracking = connect(where, patient=True)
        run = log_record(tracking, record, links, shown)
        compared = comparison_links(tracking, run, shown)
        return Logged(
            run_id=run.info.run_id,
            run_name=shown.parent.name,
            address=tracking.run_url(run),
            title=shown.title,
            headline=shown.headline,
            notes=markdown(shown),
            warnings=tuple(shown.warnings),
            comparisons=tuple(Page(link.name, link.title, tracking.page_url(link.path)) for link in compared),
            comparison_links=as_markdown(compared, tracking.page_url("")),
            report=tracking.artifact_url(run, REPORT) if (folder / REPORT).exists() else None,
            changed=changed_since(step),
        )

    def consider_study(self, profile: Mapping[str, Any], folder: Path, run_id: str, where: Places) -> dict[str, Any]:
        from lib.graph import ready_node
        from lib.profile import parse_profile
        from lib.studies.record import open_record
        from lib.tracking.promotion import consider

        record, given = open_record(folder), parse_profile(profile)
        on = next(iter(ready_node(given, record.name, where).inputs.values()))
        extraction = getattr(given.graph[on.name].settings, "extraction", None)  # none where it is on pixels
        decision = consider(connect(where, patient=True), record, run_id, on, extraction, where)
        return asdict(decision) | {
            "outcome": decision.outcome.value,  # the class is in a module that imports MLflow
            "promoted": decision.promoted,
            "why": decision.why,
            "markdown": decision.markdown,
        }

    def began(self, step: str, kind: str) -> None:
        """No step of a run begins here (see `lib.progress.Display`)."""

    def ended(self, step: str, outcome: str | None, stopped: bool = False) -> None:
        """Nor ends one."""

    @contextmanager
    def bar(self, label: str, total: int | None, unit: str, step: str | None) -> Iterator[Advance]:
        self._bars += 1
        number = self._bars
        self.say("bar", (number, label, total, unit))
        try:
            yield lambda count: self.say("advance", (number, count))
        finally:
            self.say("bar ended", number)


class _Written(io.TextIOBase):
    """Standard error, as far as Python writes it: a terminal that shows progress is the caller's."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def write(self, text: str) -> int:
        self._server.say("written", text)
        return len(text)


class _Logs(QueueHandler):
    """Log records, each with its text made here."""

    def __init__(self, server: Server) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # none: what is put there is said
        self._server = server

    def enqueue(self, record: logging.LogRecord) -> None:
        self._server.say("log", record)


def serve() -> None:
    """The process's own loop."""
    collect_rarely()
    give_way()
    calls = _Calls()
    with shown_by(calls):
        processes.serve(calls)
