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
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_UI_ENABLED

from lib.config import places
from lib.datasets.sources import Source
from lib.features.config import FeatureSettings
from tasks.policy import POLICY

_LARGEST_PICTURE = 200_000
"""Bytes of a figure that is put into an artifact; larger ones are in MLflow alone."""

_MAKE_UI = " (once `make ui` runs)"


@task(name="show", **POLICY)
def show_study(folder: str) -> dict[str, Any]:
    """Log the study record in `folder` to MLflow and publish it in Prefect.

    Returns the outcome: study, folder, headline, flags, the dataset's warnings, seconds of training, the MLflow run, and where
    MLflow compares what the study tried, if it tried several settings.
    """
    from lib.report import REPORT
    from lib.studies.record import open_record
    from lib.tracking.records import log_record
    from lib.tracking.store import connect
    from lib.tracking.views import as_markdown, comparison_links

    record = open_record(Path(folder))
    tracking = connect(places())
    run = log_record(tracking, record, _links())
    url = tracking.run_url(run)
    compared = comparison_links(tracking, run, record)
    slug = record.study.replace("_", "-")
    where = f"MLflow: {url}\n"
    if compared:
        where += (
            f"\nCompare: {as_markdown(compared, tracking.page_url(''))}{'' if url.startswith('http') else _MAKE_UI}\n"
        )
    create_markdown_artifact(f"{record.notes}\n{where}", key=f"{slug}-notes", description=record.headline)
    if url.startswith("http"):
        create_link_artifact(
            url,
            key=f"{slug}-mlflow",
            link_text=record.parent.name,
            description="Parameters, curves and models in MLflow",
        )
        for link in compared:
            create_link_artifact(
                tracking.page_url(link.path),
                key=f"{slug}-{link.name}",
                link_text=f"Compare {link.title}",
                description=f"{record.title}, in MLflow",
            )
    report = Path(folder) / REPORT
    if report.exists() and (page := tracking.artifact_url(run, REPORT)):
        create_link_artifact(page, key=f"{slug}-report", link_text=f"Report: {record.title}")
    for figure in record.figures[:1]:
        picture = (record.folder / "figures" / figure).read_bytes()
        if len(picture) <= _LARGEST_PICTURE:
            # In the address itself: a browser asks no server, so none has to let it in.
            address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
            create_image_artifact(address, key=f"{slug}-figure", description=record.headline)
    for table in record.tables:
        if table.startswith("reference"):
            rows = list(csv.DictReader((record.folder / "tables" / table).open(encoding="utf-8")))
            create_table_artifact(rows, key=f"{slug}-{Path(table).stem}", description="Reference study / this run")
    return {
        "study": record.study,
        "title": record.title,
        "folder": folder,
        "headline": record.headline,
        "flags": list(record.flags),
        "warnings": list(record.dataset.warnings),
        "training_seconds": record.parent.metrics.get("training_seconds"),
        "run_id": run.info.run_id,
        "run": url,
        **({"compare": tracking.page_url(compared[0].path)} if compared else {}),
        **({"report": str(report)} if report.exists() else {}),
    }


@task(name="promote", **POLICY)
def promote_classifier(folder: str, run_id: str, images: Source, features: FeatureSettings) -> dict[str, Any]:
    """Register the classifier in `folder` as challenger, and make it champion if the gate lets it."""
    from lib.datasets import acquire
    from lib.studies.record import open_record
    from lib.tracking.promotion import consider
    from lib.tracking.store import connect

    where = places()
    dataset = acquire(images, where.data, where.mirror)
    decision = consider(connect(where), open_record(Path(folder)), run_id, dataset, features, where)
    create_markdown_artifact(decision.sentence, key="promotion", description="The gate's decision")
    return asdict(decision)


def _links() -> dict[str, str]:
    """Tags that lead from an MLflow run back to the flow run that made it."""
    links = {
        "prefect.flow_run_id": flow_run.get_id() or "",
        "prefect.root_flow_run_id": flow_run.get_root_flow_run_id() or "",
        "prefect.flow_run_name": flow_run.get_name() or "",
    }
    if PREFECT_API_URL.value() and PREFECT_UI_ENABLED.value():  # a run's own server has no pages
        links["prefect.flow_run_url"] = flow_run.get_flow_run_ui_url() or ""
    return {name: value for name, value in links.items() if value}
