"""Running the pipeline from a terminal: the closing table, and where to look next."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from flows.servers import temporary_prefect
from lib.addresses import without_credentials
from lib.config import Places, Profile, Workers
from lib.errors import ConfigError

_LABEL_WIDTH = 15


def run_and_report(profile: Profile, only: str | list[str] | None, where: Places, workers: Workers) -> int:
    """Run the pipeline and print the closing table; the exit status is 0 when every stage ended well.

    Raises
    ------
    ConfigError
        For an unknown stage, or workers without a Prefect server that they share.
    """
    if workers.pool is not None:
        from tasks.pool import require_server

        require_server(workers.pool)
    with temporary_prefect() as ready:
        from flows.pipeline import STAGES, pipeline

        named = [only] if isinstance(only, str) else only or []
        if unknown := [name for name in named if name not in STAGES]:
            raise ConfigError(f"unknown stage {unknown[0]!r}; known: {', '.join(STAGES)}")
        stages = [name for name in named if name in STAGES]
        import lib.studies.classifier
        import lib.tracking.records  # noqa: F401  # what the stages need, imported while the server starts

        ready()
        result = pipeline(profile, stages or None, workers=workers)
    sys.stdout.write("\n".join(closing_table(result, where)) + "\n")
    return 0


def closing_table(result: Mapping[str, Any], where: Places) -> Iterable[str]:
    """The lines that end a run: a line a study, the champion, where the record is, how to see it."""
    width = min(shutil.get_terminal_size((118, 40)).columns, 118)
    rule = "─" * width
    yield rule
    yield f"probeflow · profile {result['profile']}"
    yield rule
    told: set[str] = set()  # studies share datasets; each warning of a dataset is said once
    for name, outcome in result["studies"].items():
        yield from _line(name.replace("_", " "), outcome["headline"], width)
        if "done" in outcome:
            yield from _line("", outcome["done"], width)
        yield from _line("", _time(result["seconds"][name], outcome["training_seconds"]), width)
        for flag in (*outcome["flags"], *(warning for warning in outcome["warnings"] if warning not in told)):
            yield from _line("", f"! {flag}", width)
        told.update(outcome["warnings"])
    if promotion := result["promotion"]:
        what = f"{promotion['model']} version {promotion['version']}" if promotion["version"] else "none"
        if not promotion["promoted"]:
            what += " stays" if promotion["version"] else ""
            what += f"; version {promotion['challenger']} refused" if promotion["challenger"] else "; refused"
        yield from _line("champion", f"{what}: {promotion['why']}", width)
    yield rule
    if pipeline := result["pipeline"]:
        if "report" in pipeline:
            yield from _line("report", pipeline["report"], width)
        yield from _line("reference table", f"{pipeline['folder']}/tables/reference-study.csv", width)
    yield from _line(
        "MLflow", without_credentials(where.tracking_uri) + (f" · run {pipeline['run_id']}" if pipeline else ""), width
    )
    label = "compare"
    for name, outcome in result["studies"].items():
        if "compare" in outcome:
            about = f"{name.replace('_', ' ')}, its configurations as a table, best first:"
            yield from _line(label, f"{about} {outcome['compare']}", width)
            label = ""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    server = PREFECT_UI_URL.value() or PREFECT_API_URL.value()
    if server and where.tracking_uri.startswith("http"):
        yield from _line("Prefect", without_credentials(server), width)
    else:
        needed = not label and not where.tracking_uri.startswith("http")
        yield from _line("both UIs", "make ui" + (" (the links need it, on its default port)" if needed else ""), width)


def _time(seconds: float, training: float | None) -> str:
    trained = "" if training is None else f"; all its trials took {training:.1f} s"  # side by side, perhaps earlier
    return f"{seconds:.1f} s in this run{trained}"


def _line(label: str, text: str, width: int) -> Iterable[str]:
    wrapped = textwrap.wrap(text, width - _LABEL_WIDTH - 1, break_long_words=False, break_on_hyphens=False) or [""]
    yield f"{label:<{_LABEL_WIDTH}} {wrapped[0]}"
    for more in wrapped[1:]:
        yield " " * (_LABEL_WIDTH + 1) + more
