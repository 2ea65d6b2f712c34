"""Prefect's side of the record: studies shown in MLflow and as Prefect artifacts, linked both ways."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.futures import PrefectFuture
from prefect.runtime import deployment, flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_UI_ENABLED

from lib.errors import command
from lib.graph import RunResult, leaderboard, studies_of
from lib.graph.leaderboard import Entry, titled
from lib.places import places
from lib.profile import Profile
from lib.studies.record import open_record
from lib.tracking.background import consider_study, log_study, open_store
from tasks.policy import POLICY

_LARGEST_PICTURE = 200_000
"""Bytes of a figure that is put into an artifact; larger ones are in MLflow alone."""

_LONGEST_TABLE = 200
"""Rows of a table that is put into an artifact; longer ones are in MLflow alone."""


def require_store() -> None:
    """Open MLflow's store first; a deployment's run waits for a server that restarts.

    Raises StorageError when it is away; ConfigError when the machine is to be sampled and a package is missing.
    """
    where = places()
    if where.system_metrics:
        from lib.tracking.system_metrics import require_monitors

        require_monitors()
    open_store(where, patient=deployment.get_id() is not None)


@task(name="show", **POLICY)
def show_study(folder: str) -> dict[str, Any]:
    """Log the record in `folder` to MLflow and publish it in Prefect.

    Returns the outcome: name, kind, title, folder, headline, warnings, the dataset's warnings, the MLflow run, where
    MLflow compares what the study tried if it tried several settings, tables, and the report if there is one; of a whole run
    also what changed since the one before, in a line.
    """
    from lib.report import REPORT

    logged = log_study(Path(folder), _links(), places())
    record, report = open_record(Path(folder)), Path(folder) / REPORT
    on_server = logged.address.startswith("http")
    slug = _slug(record.name)
    where = f"MLflow: {logged.address}\n"
    if logged.comparisons:
        once = "" if on_server else f" (once {command('ui')} runs)"
        where += f"\nCompare: {logged.comparison_links}{once}\n"
    create_markdown_artifact(f"{logged.notes}\n{where}", key=f"{slug}-notes", description=logged.headline)
    if on_server:
        create_link_artifact(
            logged.address,
            key=f"{slug}-mlflow",
            link_text=logged.run_name,
            description="Parameters, curves and models in MLflow",
        )
        for page in logged.comparisons:
            create_link_artifact(
                page.address,
                key=f"{slug}-{page.name}",
                link_text=f"Compare {page.title}",
                description=f"{logged.title}, in MLflow",
            )
    if logged.report is not None:
        create_link_artifact(logged.report, key=f"{slug}-report", link_text=f"Report: {logged.title}")
    if isinstance(record.result, RunResult):
        create_table_artifact(
            [
                _shown_entry(title, each)
                for title, group in titled(leaderboard(studies_of(record), record.result.main))
                for each in group
            ],
            key="leaderboard",
            description=logged.headline,
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
        "title": logged.title,
        "folder": folder,
        "headline": logged.headline,
        "warnings": list(logged.warnings),
        "data_warnings": list(record.dataset.warnings),
        "run_id": logged.run_id,
        "run": logged.address,
        "tables": [str(record.folder / "tables" / table.file) for table in record.tables],
        **({"compare": logged.comparisons[0].address} if logged.comparisons else {}),
        **({"report": str(report)} if report.exists() else {}),
        **({"changed": logged.changed} if logged.changed else {}),
    }


class Showing:
    """Records that are shown while nodes compute."""

    def __init__(self) -> None:
        self._futures: dict[str, PrefectFuture[dict[str, Any]]] = {}
        self._done: set[str] = set()

    def begin(self, name: str, folder: str) -> None:
        """Have the record in `folder`, of the node `name`, shown."""
        self._futures[name] = show_study.submit(folder)
        self._futures[name].add_done_callback(lambda _: self._done.add(name))

    def outcomes(self, pending: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Nodes and their outcomes (see `show_study`): of what is shown by now, and of the oldest others until no more than
        `pending` are not.

        Raises what showing one raised.
        """
        for name in list(self._futures):
            if name in self._done or len(self._futures) > pending:
                yield name, self._futures.pop(name).result()


@task(name="promote", **POLICY)
def promote(profile: Profile, folder: str, run_id: str) -> dict[str, Any]:
    """Register the network of the sweep in `folder` as challenger, and make it champion if the gate lets it."""
    decision = consider_study(profile, Path(folder), run_id, places())
    create_markdown_artifact(decision.pop("markdown"), key="promotion", description="The gate's decision")
    return decision


def _shown_entry(title: str, entry: Entry) -> dict[str, Any]:
    """A line of the leaderboard as Prefect's table shows it."""
    return {
        "data": title,
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
