"""Where a run's pages are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from lib.tracking.store import Tracking

RUN: Any = SimpleNamespace(info=SimpleNamespace(experiment_id="8", run_id="abc"))


@pytest.mark.parametrize(
    ("uri", "page", "address"),
    [
        (
            "http://user:secret@mlflow:5000",
            None,
            "http://mlflow:5000/#/experiments/8/runs/abc/artifacts/report.html?workflowType=machine_learning",
        ),
        (
            "http://mlflow:5000",
            "https://ml.example/",
            "https://ml.example/#/experiments/8/runs/abc/artifacts/report.html?workflowType=machine_learning",
        ),
        ("sqlite:///mlruns/mlflow.db", None, None),
    ],
)
def test_an_artifact_s_page_is_where_browsers_find_it_and_a_local_store_has_none(tmp_path, uri, page, address):
    tracking = Tracking(MlflowClient(f"sqlite:///{tmp_path / 'unused.db'}"), uri, None, page)
    assert tracking.artifact_url(RUN, "report.html") == address


def test_a_page_of_a_local_store_is_where_make_ui_shows_it(tmp_path):
    client = MlflowClient(f"sqlite:///{tmp_path / 'unused.db'}")
    here = Tracking(client, "sqlite:///mlruns/mlflow.db", None).page_url("#/experiments/8")
    assert here == "http://127.0.0.1:5000/#/experiments/8"
    there = Tracking(client, "http://user:secret@mlflow:5000", None, "https://ml.example/").page_url("#/experiments/8")
    assert there == "https://ml.example/#/experiments/8"
