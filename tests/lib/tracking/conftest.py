"""One MLflow store, and one classifier trained on real images, for the tests of tracking."""

from __future__ import annotations

import pytest

from lib.config import Places
from lib.datasets import Dataset, acquire
from lib.features import extract
from lib.studies.classifier import classify
from lib.studies.record import StudyRecord
from lib.tracking import promotion, records
from lib.tracking.store import Tracking, connect
from tests.gate import Gate, empty_model


@pytest.fixture(scope="session")
def where(tmp_path_factory) -> Places:
    base = tmp_path_factory.mktemp("place with a space")
    mlruns = base / "mlruns"
    return Places(data=base / "data", mlruns=mlruns, tracking_uri=f"sqlite:///{mlruns / 'mlflow.db'}")


@pytest.fixture(scope="session")
def tracking(where) -> Tracking:
    return connect(where)


@pytest.fixture(scope="session")
def photos(small, where) -> Dataset:
    return acquire(small.images, where.data)


@pytest.fixture(scope="session")
def classified(small, where, photos) -> StudyRecord:
    return classify(small.classifier, extract(photos, small.features, where.features), photos, where.studies)


@pytest.fixture
def gate(tracking, where, photos, small, classified, tmp_path, monkeypatch):
    """The gate before a registered model of its own, for classifiers that differ in their answers alone."""
    monkeypatch.setattr(records, "log_network", lambda *_: None)
    monkeypatch.setattr(promotion, "log_image_classifier", empty_model)
    gate = Gate(tracking, where, photos, small.features, classified, tmp_path)
    yield gate
    if gate.registry.versions():
        tracking.client.delete_registered_model(gate.name)
