"""Running a profile from a terminal: a line when a node begins and ends, the closing table, and where to look next."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TextIO

from flows.servers import require_prefect, temporary_prefect
from lib.addresses import without_credentials
from lib.errors import program
from lib.places import Places, Workers
from lib.profile import Profile
from lib.text import visible

_LABEL_WIDTH = 15
_SHOWN_LOGS = ("tasks.node", "lib.studies.record")


def run_and_report(profile: Profile, only: Sequence[str] | None, where: Places, workers: Workers) -> int:
    """Run a profile and print the closing table. Raises ConfigError for an unknown node, or workers without a server."""
    wanted = profile.graph.chosen(only)  # before a server takes its seconds to start
    sys.stdout.write(f"profile {visible(profile.name)}: starting, {len(wanted)} nodes\n")  # and imports take theirs
    sys.stdout.flush()
    require_prefect()
    from tasks.server import require_server

    require_server(workers.pool)
    if where.tracking_uri.startswith("http"):
        _require_tracking(where)
    with temporary_prefect() as ready, _nodes_on_terminal():
        from flows.pipeline import pipeline  # what takes long to import, while the server starts
        from lib.graph import check_settings

        check_settings(profile, wanted, where)
        _require_tracking(where)
        ready(lambda: import_module("torch"))  # which all that computes needs
        whole = profile.model_dump(mode="json")
        result = pipeline(whole, only=list(only) if only else None, workers=workers)
    sys.stdout.write("\n".join(closing_table(result, where)) + "\n")
    return 0


def _require_tracking(where: Places) -> None:
    """Open MLflow's store now: one that is away or damaged is told before anything is computed."""
    from lib.tracking.store import connect

    connect(where)


class _Lines(logging.StreamHandler[TextIO]):
    """Lines for a reader who may leave, as `head` does, or a disk that fills: the run goes on, and the last line tells."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


@contextmanager
def _nodes_on_terminal() -> Iterator[None]:
    """Print what the tasks of nodes log, and where each study's first picture is, unless Prefect's own log is shown."""
    if os.environ.get("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL") == "INFO":
        yield
        return
    loggers, handler = [logging.getLogger(name) for name in _SHOWN_LOGS], _Lines(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def closing_table(result: Mapping[str, Any], where: Places) -> Iterable[str]:
    """The lines that end a run: a few a node, the champion, where the record is, how to see it."""
    width = min(shutil.get_terminal_size((118, 40)).columns, 118)
    rule = "─" * width
    yield rule
    yield f"probeflow · profile {result['profile']}"
    yield rule
    shown: set[str] = set()  # studies share datasets; each warning of a dataset is shown once
    for name, outcome in result["nodes"].items():
        yield from _line(name, outcome["headline"], width)
        for model in outcome["tested"]:
            yield from _line("", f"- {model}", width)
        training = outcome["training_seconds"]
        trained = "" if training is None else f"; all its trials took {training:.1f} s"  # side by side, perhaps earlier
        yield from _line("", f"{outcome['seconds']:.1f} s in this run{trained}", width)
        for warning in dict.fromkeys((*outcome["warnings"], *outcome["data_warnings"])):
            if warning not in shown:
                yield from _line("", f"! {warning}", width)
        shown.update(outcome["data_warnings"])
    if promotion := result["promotion"]:
        what = f"{promotion['model']} version {promotion['version']}" if promotion["version"] else "none"
        if not promotion["promoted"]:
            what += " stays" if promotion["version"] else ""
            what += f"; version {promotion['challenger']} refused" if promotion["challenger"] else "; refused"
        yield from _line("champion", f"{what}: {promotion['why']}", width)
        if promotion["version"]:
            yield f"{'label images':<{_LABEL_WIDTH}} {program()} predict IMAGES --model {promotion['model']}"
    yield rule
    run = result["pipeline"]
    if run:
        yield from _line("report", run["report"], width)
        for table in run["tables"]:
            yield from _line("table", table, width)
    yield from _line(
        "MLflow", without_credentials(where.tracking_uri) + (f" · run {run['run_id']}" if run else ""), width
    )
    label = "compare"
    for name, outcome in result["nodes"].items():
        if "compare" in outcome:
            about = f"{name}, its configurations as a table, best first:"
            yield from _line(label, f"{about} {outcome['compare']}", width)
            label = ""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    server = PREFECT_UI_URL.value() or PREFECT_API_URL.value()
    if server and where.tracking_uri.startswith("http"):
        yield from _line("Prefect", without_credentials(server), width)
    else:
        needed = not label and not where.tracking_uri.startswith("http")
        yield from _line(
            "both UIs", f"{program()} ui" + (" (the links need it, on its default port)" if needed else ""), width
        )


def _line(label: str, text: str, width: int) -> Iterable[str]:
    wrapped = textwrap.wrap(
        visible(text), width - _LABEL_WIDTH - 1, break_long_words=False, break_on_hyphens=False
    ) or [""]
    yield f"{label:<{_LABEL_WIDTH}} {wrapped[0]}"
    for more in wrapped[1:]:
        yield " " * (_LABEL_WIDTH + 1) + more
