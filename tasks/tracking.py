"""Prefect's side of the record: studies shown in MLflow and as Prefect artifacts, linked both ways."""

from __future__ import annotations

import base64
import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_UI_ENABLED

from lib.errors import command
from lib.graph import RunResult, leaderboard, ready_node, studies_of
from lib.graph.history import last_step
from lib.graph.leaderboard import Entry, rows_words
from lib.places import places
from lib.profile import Profile
from lib.studies.presentation import markdown
from lib.studies.record import open_record
from tasks.policy import POLICY

_LARGEST_PICTURE = 200_000
"""Bytes of a figure that is put into an artifact; larger ones are in MLflow alone."""

_LONGEST_TABLE = 200
"""Rows of a table that is put into an artifact; longer ones are in MLflow alone."""


def require_store() -> None:
    """Open MLflow's store first; a deployment's run waits for a server that restarts.

    Raises StorageError when it is away; ConfigError when the machine is to be sampled and a package is missing.
    """
    from lib.tracking.store import connect
    from lib.tracking.system_metrics import require_monitors

    where = places()
    if where.system_metrics:
        require_monitors()
    connect(where, patient=deployment.get_id() is not None)


@task(name="show", **POLICY)
def show_study(folder: str) -> dict[str, Any]:
    """Log the record in `folder` to MLflow and publish it in Prefect.

    Returns the outcome: name, kind, title, folder, headline, warnings, the dataset's warnings, the MLflow run, where
    MLflow compares what the study tried if it tried several settings, tables, and the report if there is one; of a whole run
    also what changed since the one before, in a line.
    """
    from lib.report import REPORT
    from lib.report.changes import changed_since, presented
    from lib.tracking.records import log_record
    from lib.tracking.store import connect
    from lib.tracking.views import as_markdown, comparison_links

    record = open_record(Path(folder))
    step = last_step(record)
    shown = presented(record, step)
    tracking = connect(places(), patient=True)
    run = log_record(tracking, record, _links(), shown)
    url = tracking.run_url(run)
    compared = comparison_links(tracking, run, shown)
    slug = _slug(record.name)
    where = f"MLflow: {url}\n"
    if compared:
        once = "" if url.startswith("http") else f" (once {command('ui')} runs)"
        where += f"\nCompare: {as_markdown(compared, tracking.page_url(''))}{once}\n"
    create_markdown_artifact(f"{markdown(shown)}\n{where}", key=f"{slug}-notes", description=shown.headline)
    if url.startswith("http"):
        create_link_artifact(
            url,
            key=f"{slug}-mlflow",
            link_text=shown.parent.name,
            description="Parameters, curves and models in MLflow",
        )
        for link in compared:
            create_link_artifact(
                tracking.page_url(link.path),
                key=f"{slug}-{link.name}",
                link_text=f"Compare {link.title}",
                description=f"{shown.title}, in MLflow",
            )
    report = Path(folder) / REPORT
    if report.exists() and (page := tracking.artifact_url(run, REPORT)):
        create_link_artifact(page, key=f"{slug}-report", link_text=f"Report: {shown.title}")
    if isinstance(record.result, RunResult):
        create_table_artifact(
            [_shown_entry(each) for each in leaderboard(studies_of(record), record.result.main)],
            key="leaderboard",
            description=shown.headline,
        )
    for figure in record.figures[:1]:
        picture = (record.folder / "figures" / figure.file).read_bytes()
        if len(picture) <= _LARGEST_PICTURE:
            # In the address itself: a browser asks no server, so none has to let it in.
            kind = "svg+xml" if figure.file.endswith(".svg") else "png"
            address = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
            create_image_artifact(address, key=f"{slug}-figure", description=figure.caption)
    for table in record.tables[:1]:
        with (record.folder / "tables" / table.file).open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        if len(rows) <= _LONGEST_TABLE:
            create_table_artifact(rows, key=f"{slug}-{_slug(Path(table.file).stem)}", description=table.caption)
    return {
        "name": record.name,
        "kind": record.kind,
        "title": shown.title,
        "folder": folder,
        "headline": shown.headline,
        "warnings": list(shown.warnings),
        "data_warnings": list(record.dataset.warnings),
        "run_id": run.info.run_id,
        "run": url,
        "tables": [str(record.folder / "tables" / table.file) for table in record.tables],
        **({"compare": tracking.page_url(compared[0].path)} if compared else {}),
        **({"report": str(report)} if report.exists() else {}),
        **({"changed": changed} if (changed := changed_since(step)) else {}),
    }


@task(name="promote", **POLICY)
def promote(profile: Profile, folder: str, run_id: str) -> dict[str, Any]:
    """Register the network of the sweep in `folder` as challenger, and make it champion if the gate lets it."""
    from lib.tracking.promotion import consider
    from lib.tracking.store import connect

    record = open_record(Path(folder))
    where = places()
    on = next(iter(ready_node(profile, record.name, where).inputs.values()))
    extraction = getattr(profile.graph[on.name].settings, "extraction", None)  # none where it is on pixels
    decision = consider(connect(where, patient=True), record, run_id, on, extraction, where)
    create_markdown_artifact(decision.markdown, key="promotion", description="The gate's decision")
    return asdict(decision) | {"promoted": decision.promoted, "why": decision.why}


def _shown_entry(entry: Entry) -> dict[str, Any]:
    """A line of the leaderboard as Prefect's table shows it."""
    return {
        "data": rows_words(entry),
        "model": entry.model,
        "settings": entry.settings,
        "input": entry.input,
        "accuracy": entry.score.rounded,
        "less the chosen": "" if entry.difference is None else f"{entry.difference.estimate:+.3f}",
        "standing": entry.standing.value,
    }


def _slug(name: str) -> str:
    return name.lower().replace("_", "-")


def _links() -> dict[str, str]:
    links = {
        "prefect.flow_run_id": flow_run.get_id() or "",
        "prefect.root_flow_run_id": flow_run.get_root_flow_run_id() or "",
        "prefect.flow_run_name": flow_run.get_name() or "",
    }
    if PREFECT_API_URL.value() and PREFECT_UI_ENABLED.value():  # a run's own server has no pages
        links["prefect.flow_run_url"] = flow_run.get_flow_run_ui_url() or ""
    return {name: value for name, value in links.items() if value}
