"""Nights of one deployment: nothing changed, then a class of images was added."""

from __future__ import annotations

import asyncio
import doctest
import shutil
import sys
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.pipeline import pipeline
from lib.graph.history import last_step
from lib.places import places
from lib.profile import parse_profile
from lib.studies.record import open_record
from lib.studies.study import kind_named, kind_names
from lib.tracking.store import connect
from tests.image_files import write_images
from tests.report_page import require_self_contained


@pytest.fixture
def night(prefect_server, tmp_path, monkeypatch):
    """Runs the profile of images in `pets`, and digits; the state that its flow run ended in."""
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PROBEFLOW_MLRUNS", str(tmp_path / "mlruns"))
    monkeypatch.delenv("PROBEFLOW_MIRROR", raising=False)
    sweep = {"base": {"hidden": [4], "batch_size": 8, "epochs": 2}}
    profile = parse_profile(
        {
            "name": "pets",
            "data": {"pets": {"source": "folder", "path": str(tmp_path / "pets")}, "digits": {"source": "digits"}},
            "studies": {
                "look": {"kind": "exploration", "on": "pets"},
                "heads": {"kind": "sweep", "on": "pets", "seeds": [0], "test": True, "variants": {"mlp": sweep}},
                "other": {"kind": "exploration", "on": "digits", "scatter": 100},
            },
            "promote": "heads",
        }
    )
    api = {PREFECT_API_URL: prefect_server["PREFECT_API_URL"], PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(api):
        yield lambda: pipeline(profile, return_state=True)


def test_the_last_message_of_a_run_is_as_its_examples_show():
    assert doctest.testmod(sys.modules[pipeline.fn.__module__]).failed == 0


def notes_in_prefect(run_id) -> str:
    """The notes of the whole run, as an artifact of the flow run."""

    async def read():
        async with get_client() as client:
            return await client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
            )

    (notes,) = [each.data for each in asyncio.run(read()) if each.key == "pipeline-notes"]
    return notes


@pytest.mark.slow
def test_an_unchanged_night_computes_nothing_and_one_with_a_new_class_only_what_is_missing_and_says_so(
    night, tmp_path, monkeypatch
):
    everything = write_images(tmp_path / "everything", ("cat", "dog", "emu"), 20)
    shutil.copytree(everything, tmp_path / "pets", ignore=shutil.ignore_patterns("emu"))
    first = night()
    assert first.message == "computed look, heads, other (3 of 3 nodes)"
    begun = first.result()
    assert "Changed since" not in Path(begun["pipeline"]["report"]).read_text()

    with monkeypatch.context() as patch:
        for name in kind_names():
            patch.setattr(type(kind_named(name)), "compute", None)
        second = night()
    assert second.message == "nothing computed: all 3 nodes were done already"
    assert second.result()["pipeline"]["folder"] == begun["pipeline"]["folder"]

    shutil.copytree(everything / "emu", tmp_path / "pets" / "emu")
    third = night()
    before = open_record(Path(begun["pipeline"]["folder"])).made["when"]
    new_class = "data: pets 40 -> 60 images (class emu added)"
    assert third.message == f"computed look, heads (2 of 3 nodes); changed since the run of {before}: {new_class}"
    ended = third.result()
    same = [name for name, each in ended["nodes"].items() if each["folder"] == begun["nodes"][name]["folder"]]
    assert same == ["other"]

    record = open_record(Path(ended["pipeline"]["folder"]))
    (change,) = last_step(record).data
    assert (change.images, change.classes_added, change.classes_removed) == ((40, 60), ("emu",), ())
    words = require_self_contained(Path(ended["pipeline"]["report"]).read_text()).words
    note = connect(places()).client.get_run(ended["pipeline"]["run_id"]).data.tags["mlflow.note.content"]
    prefect = notes_in_prefect(third.state_details.flow_run_id)
    for shown in (words, note.replace("\\", ""), prefect.replace("\\", "").replace("&gt;", ">")):
        assert "Changed since the run before" in shown
        assert new_class in shown.replace("&gt;", ">")
        assert "scored on other images, so the two do not compare" in shown
