"""A tiny profile, run once: its records are made as in life."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.graph import ready_node, summarise
from lib.places import Places, Workers
from lib.profile import Profile, parse_profile
from lib.studies.study import Record

HERE = Workers()

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"digits": {"source": "digits"}},
    "studies": {
        "look": {"kind": "exploration", "on": "digits", "scatter": 50, "grid": 4},
        "rates": {
            "kind": "sweep",
            "on": "digits",
            "seeds": [0],
            "variants": {
                "sgd": {"base": {"hidden": [8], "epochs": 2}, "grid": {"learning_rate": [0.1, 0.01]}},
            },
        },
        "map": {"kind": "map", "of": "rates", "sample": 60, "perplexity": 5, "iterations": 260},
    },
}


def tiny_profile(**studies: Any) -> Profile:
    """The tiny profile with other settings of some studies, e.g. `rates={"seeds": [0, 1]}`."""
    changed = {name: settings | studies.get(name, {}) for name, settings in TINY["studies"].items()}
    return parse_profile(TINY | {"studies": changed})


def places_in(folder: Path) -> Places:
    return Places(data=folder / "data", mlruns=folder / "mlruns", tracking_uri="")


def run_all(profile: Profile, where: Places) -> dict[str, Record[Any]]:
    return {node.name: ready_node(profile, node.name, where).run() for node in profile.graph.recorded}


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return places_in(tmp_path)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, Mapping[str, Record[Any]], Record[Any]]:
    """Where the tiny profile was run, its records, and the run's own."""
    where = places_in(tmp_path_factory.mktemp("ran"))
    profile = tiny_profile()
    records = run_all(profile, where)
    return where, records, summarise(profile, records, where)


@pytest.fixture
def copied(ran: Any, tmp_path: Path) -> Places:
    """A place of its own with the same records."""
    shutil.copytree(ran[0].studies, tmp_path / "data" / "studies")
    return places_in(tmp_path)
