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


@task(name="show", **POLICY)
def show_study(folder: str) -> dict[str, Any]:
    """Log the study record in `folder` to MLflow and publish it in Prefect.

    Returns the outcome: study, folder, headline, flags, the dataset's warnings, seconds of training, and the MLflow run.
    """
    from lib.report import REPORT
    from lib.studies.record import open_record
    from lib.tracking.records import log_record
    from lib.tracking.store import connect

    record = open_record(Path(folder))
    tracking = connect(places())
    run = log_record(tracking, record, _links())
    url = tracking.run_url(run)
    slug = record.study.replace("_", "-")
    create_markdown_artifact(f"{record.notes}\nMLflow: {url}\n", key=f"{slug}-notes", description=record.headline)
    if url.startswith("http"):
        create_link_artifact(
            url,
            key=f"{slug}-mlflow",
            link_text=record.parent.name,
            description="Parameters, curves and models in MLflow",
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
