"""Where things are and who works, from the environment; one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.errors import ConfigError
from lib.machine import from_home
from lib.places import places, workers_here


def test_places_follow_the_environment(tmp_path):
    where = places({"PROBEFLOW_DATA": str(tmp_path / "d"), "PROBEFLOW_MLRUNS": str(tmp_path / "m m")})
    assert where.data == tmp_path / "d"
    assert where.tracking_uri == f"sqlite:///{tmp_path / 'm m' / 'mlflow.db'}"
    assert places({"MLFLOW_TRACKING_URI": "http://h:1"}).tracking_uri == "http://h:1"


@pytest.mark.parametrize(
    ("variable", "name", "message"),
    [
        ("PROBEFLOW_DATA", "caf\udce9", r"PROBEFLOW_DATA: '.*caf\\udce9' is no UTF-8, .*; rename it"),
        ("PROBEFLOW_MLRUNS", "caf\udce9", r"PROBEFLOW_MLRUNS: '.*caf\\udce9' is no UTF-8"),
        ("PROBEFLOW_MLRUNS", "runs #1", "PROBEFLOW_MLRUNS: '.*runs #1' holds a '#', which MLflow takes for a mark"),
    ],
)
def test_a_folder_whose_name_would_be_misread_is_refused(tmp_path, variable, name, message):
    with pytest.raises(ConfigError, match=message):
        places({variable: str(tmp_path / name)})


@pytest.mark.parametrize("variable", ["PROBEFLOW_DATA", "PROBEFLOW_MLRUNS", "PROBEFLOW_MIRROR"])
def test_a_blank_address_and_one_with_a_slash_too_few_are_refused(variable):
    with pytest.raises(ConfigError, match=f"^{variable} is blank"):
        places({variable: " "})
    with pytest.raises(ConfigError, match=f"^{variable} is 's3:/bucket/x'; did you mean s3://bucket/x"):
        places({variable: "s3:/bucket/x"})


def test_workers_come_from_arguments_then_variables_and_change_no_profile():
    environment = {
        "PROBEFLOW_POOL": "gpu",
        "PROBEFLOW_CHUNKS": "4",
        "PROBEFLOW_CHUNK_IMAGES": "500",
        "PROBEFLOW_CHUNK_MINUTES": "30",
    }
    assert workers_here(environment=environment).model_dump() == {
        "pool": "gpu",
        "chunks": 4,
        "chunk_images": 500,
        "chunk_minutes": 30,
    }
    minutes = {"chunk_minutes": 30}
    assert (
        workers_here("cpu", 2, environment).model_dump() == {"pool": "cpu", "chunks": 2, "chunk_images": 500} | minutes
    )
    assert workers_here(environment={}).model_dump() == {"pool": None, "chunks": None, "chunk_images": 20_000} | {
        "chunk_minutes": 360
    }


@pytest.mark.parametrize(
    ("pool", "chunks", "message"),
    [
        (None, "4", "workers: 4 chunks need a work pool"),
        ("gpu", "0", "workers: chunks: input should be greater than 0"),
        ("gpu", "many", "workers: chunks: "),
    ],
)
def test_workers_that_cannot_be_are_refused(pool, chunks, message):
    with pytest.raises(ConfigError, match=message):
        workers_here(pool, chunks, {})
    with pytest.raises(ConfigError, match="workers: chunk_images: "):
        workers_here(environment={"PROBEFLOW_CHUNK_IMAGES": "few"})


def test_a_mirror_may_be_a_path_and_is_refused_where_nothing_is_fetched(tmp_path):
    assert places({"PROBEFLOW_MIRROR": str(tmp_path)}).mirror == tmp_path.as_uri()
    assert places({"PROBEFLOW_MIRROR": "https://host/data"}).mirror == "https://host/data"
    with pytest.raises(ConfigError, match="PROBEFLOW_MIRROR is 'ftp://host': ftp is not fetched from"):
        places({"PROBEFLOW_MIRROR": "ftp://host"})


def test_the_home_folder_is_known_in_places_and_a_home_of_nobody_is_a_name_like_others(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = places({"PROBEFLOW_DATA": "~/data", "PROBEFLOW_MLRUNS": "~/runs", "PROBEFLOW_MIRROR": "~/mirror"})
    assert (found.data, found.mlruns) == (tmp_path / "data", tmp_path / "runs")
    assert found.mirror == (tmp_path / "mirror").as_uri()
    assert from_home("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
