"""Running a profile from a terminal: its nodes as they run, the leaderboard, and where to look next."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from flows.servers import require_prefect, temporary_prefect
from lib.addresses import without_credentials
from lib.datasets.sources import Digits, PhotoPatches
from lib.errors import program
from lib.places import Places, Workers
from lib.profile import Graph, Profile
from lib.studies.study import Group
from lib.text import duration, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_LABEL_WIDTH = 15
_LOGS = ("tasks.node", "lib.studies.record")
_STEPS = "lib.progress"


def run_and_report(profile: Profile, only: Sequence[str] | None, where: Places, workers: Workers) -> int:
    """Run a profile and print the closing table. Raises ConfigError for an unknown node, or workers without a server."""
    wanted = profile.graph.chosen(only)  # before a server takes its seconds to start
    sys.stdout.write(f"profile {visible(profile.name)}: starting, {len(wanted)} nodes\n")  # and imports take theirs
    sys.stdout.flush()
    from lib.tracking import background

    background.begin()
    require_prefect()
    from tasks.server import require_server

    require_server(workers.pool)
    if where.tracking_uri.startswith("http"):  # one that is away is told before a server starts
        background.open_store(where, patient=False)
    with (
        ThreadPoolExecutor(1) as opening,
        temporary_prefect() as ready,
        _nodes_on_terminal(profile.graph, wanted, whole=not only),
    ):
        opened = opening.submit(background.open_store, where, patient=False)
        opening.submit(background.import_ahead)
        from flows.pipeline import pipeline  # what takes long to import, while the server starts
        from lib.graph import check_settings

        check_settings(profile, wanted, where)
        ready(lambda: _import_ahead(profile.graph, wanted, where))
        opened.result()  # a store that is damaged is told before anything is computed
        whole = profile.model_dump(mode="json")
        result = pipeline(whole, only=list(only) if only else None, workers=workers)
    from flows.console import WIDTH, console_on, show

    console = console_on(sys.stdout, WIDTH)
    show(console, closing_table(result, profile.promote, where, console))
    return 0


def _import_ahead(graph: Graph, wanted: Sequence[str], where: Places) -> None:
    """Import what nodes are about to need. Where each has a record, most likely nothing is computed."""
    missing = [name for name in wanted if graph[name].group is not Group.DATA and not (where.studies / name).exists()]
    if missing:
        import_module("torch")
        import_module("lib.figures.vector")
    if missing or any(isinstance(graph[name].settings, Digits | PhotoPatches) for name in wanted):
        import_module("sklearn.datasets")
    if any(graph[name].group is Group.FEATURES for name in missing):
        import_module("torchvision.models")


class _Lines(logging.StreamHandler[TextIO]):
    """Lines for a reader who may leave, as `head` does, or a disk that fills: the run goes on, and the last line tells."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


@contextmanager
def _nodes_on_terminal(graph: Graph, wanted: Sequence[str], whole: bool) -> Iterator[None]:
    """Show nodes as they run, unless Prefect's own log is shown: in a table on a terminal, else in lines.

    In both what the tasks of nodes log beside that, and where each study's first picture is, is printed.
    """
    if os.environ.get("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL") == "INFO":
        yield
        return
    from flows.live import can_show, live

    on_terminal = can_show(sys.stdout) and sys.stderr.isatty()
    nodes = [(name, graph[name].kind) for name in wanted if graph[name].group is not Group.DATA]
    steps = [("data", ""), *nodes, *([("report", "")] if whole else []), ("MLflow", "")]
    with live(sys.stdout, steps) if on_terminal else nullcontext():
        loggers = [logging.getLogger(name) for name in (_LOGS if on_terminal else (*_LOGS, _STEPS))]
        handler = _Lines(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        for logger in loggers:
            logger.addHandler(handler)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(handler)


def closing_table(
    result: Mapping[str, Any], main: str | None, where: Places, console: Console
) -> Iterator[RenderableType]:
    """What ends a run: leaderboard, a sentence a node, each warning once, the champion, where the record is, how to see it.

    `main`: the study that is promoted, whose models stand first.
    """
    from flows.board import board
    from flows.console import unbroken, written
    from lib.graph import leaderboard
    from lib.studies.record import open_record

    outcomes = result["nodes"]
    yield written("─" * console.width, console, "dim")
    yield written(f"profile {result['profile']}", console, "bold")
    records = {name: open_record(Path(outcome["folder"])) for name, outcome in outcomes.items()}
    for part in board(leaderboard(records, main), console):
        yield ""
        yield from part
    yield ""
    yield _sentences(outcomes, console)
    warnings: dict[str, list[str]] = {}
    for name, outcome in outcomes.items():
        for warning in dict.fromkeys((*outcome["warnings"], *outcome["data_warnings"])):
            warnings.setdefault(warning, []).append(name)
    if warnings:
        yield ""
    for warning, names in warnings.items():
        yield written(f"! {', '.join(names)}: {warning}", console, "yellow")
    if promotion := result["promotion"]:
        yield ""
        yield written(_labelled("champion", _decided(promotion)), console)
        if promotion["version"]:
            yield unbroken(
                _labelled("label images", f"{program()} predict IMAGES --model {promotion['model']}"), console
            )
    yield written("─" * console.width, console, "dim")
    for label, text in _next(result, where):
        yield unbroken(_labelled(label, text), console)


def _sentences(outcomes: Mapping[str, Mapping[str, Any]], console: Console) -> RenderableType:
    """Each node with its headline, which may take several lines, and how long it took in this run."""
    from flows.console import add_column, plain_table, written

    table = plain_table()
    add_column(table, console, "node", most=max(console.width // 3, 8))
    table.add_column(ratio=1, overflow="fold")
    add_column(table, console, "this run", right=True)
    for name, outcome in outcomes.items():
        taken = duration(outcome["seconds"])
        table.add_row(*(written(text, console) for text in (name, outcome["headline"], taken)))
    return table


def _decided(promotion: Mapping[str, Any]) -> str:
    what = f"{promotion['model']} version {promotion['version']}" if promotion["version"] else "none"
    if not promotion["promoted"]:
        what += " stays" if promotion["version"] else ""
        what += f"; version {promotion['challenger']} refused" if promotion["challenger"] else "; refused"
    return f"{what}: {promotion['why']}"


def _next(result: Mapping[str, Any], where: Places) -> Iterator[tuple[str, str]]:
    """Where to look next."""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    run = result["pipeline"]
    if run:
        yield "report", run["report"]
        for table in run["tables"]:
            yield "table", table
    yield "MLflow", without_credentials(where.tracking_uri) + (f" · run {run['run_id']}" if run else "")
    label = "compare"
    for name, outcome in result["nodes"].items():
        if "compare" in outcome:
            yield label, f"{name}, its configurations as a table, best first: {outcome['compare']}"
            label = ""
    server = PREFECT_UI_URL.value() or PREFECT_API_URL.value()
    if server and where.tracking_uri.startswith("http"):
        yield "Prefect", without_credentials(server)
    else:
        needed = not label and not where.tracking_uri.startswith("http")
        yield "both UIs", f"{program()} ui" + (" (the links need it, on its default port)" if needed else "")


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL_WIDTH}} {text}"
