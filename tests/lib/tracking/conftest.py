"""One MLflow store, and records of one small run, for the tests of tracking."""

from __future__ import annotations

import pytest

from lib.places import Places
from lib.tracking import promotion, records
from lib.tracking.store import Tracking, connect
from tests.gate import Gate, empty_model


@pytest.fixture(scope="session")
def where(small_run) -> Places:
    return small_run.where


@pytest.fixture(scope="session")
def tracking(where) -> Tracking:
    return connect(where)


@pytest.fixture
def gate_of(tracking, small_run, tmp_path, monkeypatch):
    """Makes the gate for a study's networks, which differ in their answers alone; their files are not logged."""
    monkeypatch.setattr(records, "log_network", lambda *_: None)
    monkeypatch.setattr(promotion, "log_image_classifier", empty_model)
    made = []

    def make(study: str) -> Gate:
        made.append(Gate(tracking, small_run, study, tmp_path))
        return made[-1]

    yield make
    for gate in made:
        if gate.registry.versions():
            tracking.client.delete_registered_model(gate.name)


@pytest.fixture
def gate(gate_of) -> Gate:
    """For networks on the pixels of the digits, 447 test images that do not come in groups."""
    return gate_of("activations")
