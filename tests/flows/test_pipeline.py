"""The flows on a real Prefect API: the whole pipeline, run alone, run again, and its artifacts."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.console import console_on, show
from flows.features import list_sets
from flows.pipeline import pipeline
from flows.plan import show_plan
from flows.report import closing_table
from flows.reproduce import reproduce_run
from flows.verify import verify_sets
from lib.errors import ConfigError, DataError, LeakageError, command, program
from lib.features.sets import find_set
from lib.files import digest_file
from lib.graph import check_graph, leaderboard, plan_run
from lib.places import Workers, places
from lib.studies.record import open_record
from lib.studies.study import kind_named, kind_names
from lib.tracking.background import log_study
from lib.tracking.store import connect
from tasks import node
from tasks.tracking import show_study
from tests.image_files import write_images
from tests.processes import running, wait_for
from tests.report_page import require_self_contained
from tests.small_profile import SMALL, small_profile


@pytest.fixture(scope="module", autouse=True)
def prefect_api(prefect_server, tmp_path_factory):
    """The Prefect API, and places of its own, for this module."""
    base = tmp_path_factory.mktemp("flows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBEFLOW_DATA", str(base / "data"))
        patch.setenv("PROBEFLOW_MLRUNS", str(base / "mlruns"))
        patch.delenv("PROBEFLOW_MIRROR", raising=False)
        api = {PREFECT_API_URL: prefect_server["PREFECT_API_URL"], PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with temporary_settings(api):
            yield


@pytest.fixture(scope="module")
def result(small):
    return pipeline(small)


def record_of(outcome):
    return open_record(Path(outcome["folder"]))


def all_runs(study: str):
    client = connect(places()).client
    return client.search_runs([client.get_experiment_by_name(f"probeflow/{study}").experiment_id], max_results=1000)


def artifacts(key: str):
    """Prefect's artifacts of this key, those of other tests' runs on the shared server among them."""

    async def read():
        async with get_client() as client:
            return await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))

    return asyncio.run(read())


def test_every_node_ends_with_a_headline_and_a_run(result, small):
    assert list(result["nodes"]) == [node.name for node in small.graph.recorded]
    for name, outcome in result["nodes"].items():
        assert outcome["name"] == name
        assert outcome["headline"]
        assert outcome["run_id"]
    assert result["promotion"]["promoted"]


@pytest.mark.parametrize(("width", "encoding"), [(118, "utf-8"), (60, "ascii")])
def test_the_closing_table_has_all_that_a_user_needs(result, width, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    console = console_on(stream, width)
    show(console, closing_table(result, "classifier", places(), console))
    text = stream.buffer.getvalue().decode(encoding)
    for words in (
        "photo-patches, 96 test images",
        "logistic regressio",
        f"{result['promotion']['model']} version 1",
        "mlflow.db",
        f"{program()} ui",
        "report.html",
    ):
        assert words in text
    for study in ("activations", "hidden_units", "classifier"):
        assert re.search(
            rf"{study}, its configurations as a table, best first:\s+http://127.0.0.1:5000/#/experiments/\d+/runs\?view",
            text,
        )
    assert f"{program()} ui (the links need it, on its default port)" in text
    assert all(outcome["seconds"] > 0 for outcome in result["nodes"].values())
    words = " ".join(text.split())
    assert words.count("weights are RANDOM: nothing here speaks") == 1  # each warning once
    wide = [line for line in text.splitlines() if len(line) > width and "/" not in line]  # a path may be long
    assert wide == []


def test_the_report_stands_alone_lies_with_the_run_s_record_and_is_an_artifact_in_mlflow(result):
    report = Path(result["pipeline"]["report"])
    assert report == Path(result["pipeline"]["folder"]) / "report.html"
    page = require_self_contained(report.read_text())
    assert len(page.figures) == sum(len(record_of(outcome).figures) for outcome in result["nodes"].values())
    for outcome in result["nodes"].values():
        assert outcome["headline"] in page.words
    assert report.stat().st_size < 5_000_000
    client = connect(places()).client
    assert {"report.html", "history.html"} <= {
        item.path for item in client.list_artifacts(result["pipeline"]["run_id"])
    }


def test_prefect_links_to_the_report_s_page_where_mlflow_has_pages(result, monkeypatch):
    assert artifacts("pipeline-report") == []  # a local store has none
    address = f"http://mlflow/{result['pipeline']['run_id']}/report.html"
    monkeypatch.setattr("tasks.tracking.log_study", lambda *given: replace(log_study(*given), report=address))
    assert show_study(result["pipeline"]["folder"]) == result["pipeline"]
    (artifact,) = artifacts("pipeline-report")
    assert address in artifact.data


def test_prefect_s_notes_lead_to_mlflow_s_comparison(result):
    link = f"[all 4 configurations, best first]({result['nodes']['activations']['compare']})"
    (notes,) = [each.data for each in artifacts("activations-notes") if link in each.data]
    assert f"(once {command('ui')} runs)" in notes


def test_the_leaderboard_and_how_far_the_run_is_are_artifacts_of_prefect(result):
    tables = [[row["model"] for row in json.loads(each.data)] for each in artifacts("leaderboard")]
    entries = leaderboard({name: record_of(outcome) for name, outcome in result["nodes"].items()}, "classifier")
    assert [entry.model for entry in entries] in tables
    assert any(entry.study == "classifier" for entry in entries)
    nodes = len(result["nodes"])
    shown = {(bar.data, bar.description.partition(",")[0]) for bar in artifacts("progress")}
    assert (100.0, f"{nodes} of {nodes} nodes are done") in shown


def test_what_was_understood_of_the_data_and_what_is_to_do_is_an_artifact(result):
    said = [artifact.data for artifact in artifacts("preflight")]
    whole = [each for each in said if re.search(r"^- (to compute|there already): .*classifier", each, re.MULTILINE)]
    assert any(re.search("^- patches: 2 classes: ", each, re.MULTILINE) for each in whole)


def test_mlflow_runs_lead_back_to_their_flow_runs(result):
    tags = {name for name in all_runs("activations")[0].data.tags if name.startswith("prefect.")}
    assert tags == {"prefect.flow_run_id", "prefect.root_flow_run_id", "prefect.flow_run_name", "prefect.flow_run_url"}


def untimed(outcomes):
    return {name: {key: each for key, each in value.items() if key != "seconds"} for name, value in outcomes.items()}


def test_running_again_computes_nothing_and_adds_no_run(result, small, monkeypatch):
    before = {study: len(all_runs(study)) for study in result["nodes"]}
    for name in kind_names():
        monkeypatch.setattr(type(kind_named(name)), "compute", None)
    again = pipeline(small)
    assert untimed(again["nodes"]) == untimed(result["nodes"])
    assert {study: len(all_runs(study)) for study in result["nodes"]} == before


def content(record):
    """What a record says, without how long it took and where it lies."""

    def plain(value):
        if isinstance(value, dict):
            times = ("folder", "speeds", "images_per_second")
            return {key: plain(each) for key, each in value.items() if key not in times and "seconds" not in key}
        return [plain(each) for each in value] if isinstance(value, list) else value

    return plain(json.loads(record.result.model_dump_json()))


@pytest.mark.stack
def test_killed_and_gone_on_from_on_another_machine_that_shares_an_object_store_it_shows_the_same(
    result, small, s3_place, tmp_path, monkeypatch, capsys
):
    on_path = {name: record_of(outcome) for name, outcome in result["nodes"].items()}
    features_on_path = places().features
    first, second, third = (s3_place.variables(name) for name in ("first", "second", "third"))
    profile = tmp_path / "small.yaml"
    profile.write_text(json.dumps(SMALL))
    sweeps = places(first).studies / "activations"
    with running(os.environ | first, tmp_path / "run.log", "flows", "run", "--profile-file", str(profile)) as begun:
        wait_for(lambda: begun.poll() is not None or sweeps.is_dir())  # features are sealed, and a sweep has begun
        assert begun.poll() is None, (tmp_path / "run.log").read_text()[-3000:]
        os.killpg(begun.pid, signal.SIGKILL)

    for name, value in second.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:
        patch.setattr("lib.features.cpu_program.CpuProgram.features", None)  # the killed run has made them all
        again = pipeline(small)
    assert again["nodes"].keys() == on_path.keys()
    for name, outcome in again["nodes"].items():
        record, other = record_of(outcome), on_path[name]
        assert (record.key, record.figures) == (other.key, other.figures)
        assert content(record) == content(other)
        for figure in record.figures:
            one, two = (each.folder / "figures" / figure.file for each in (record, other))
            assert digest_file(one) == digest_file(two)

    # A third machine, which has computed nothing, shows all of it.
    there = places(third)
    assert list_sets(there) == verify_sets(None, there) == 0
    assert f"in {s3_place.address}/features; `features DIGEST`" in capsys.readouterr().out
    digest = on_path["fc8"].result.digest
    one, other = find_set(digest, features_on_path), find_set(digest, there.features)
    for file in (*one.glob("part-*"), one / "manifest.json"):
        assert file.read_bytes() == (other / file.name).read_bytes()
    assert open_record(there.studies / "classifier" / on_path["classifier"].key[:16]).key == on_path["classifier"].key


def planned(profile, only=None):
    """The state of each node of a run that has not begun."""
    return {node.name: node.state for node in plan_run(profile, only, places(), Workers()).nodes}


def test_a_plan_finds_cached_what_has_run(result, small, capsys):
    assert set(planned(small).values()) == {"cached", "each run"}
    assert list(planned(small)) == ["digits", "patches", *result["nodes"], "promote", "report"]
    before = sorted(places().data.rglob("*"))
    assert show_plan(small, (), places(), Workers()) == 0
    printed = capsys.readouterr().out
    for outcome in result["nodes"].values():
        assert outcome["folder"] in printed
    assert sorted(places().data.rglob("*")) == before


EPOCHS = {"studies": {"activations": {"variants": {"sgd": {"base": {"epochs": 5}}}}}}


@pytest.mark.parametrize(
    ("change", "to_do", "reason"),
    [
        ({"features": {"fc8": {"layer": "fc7"}}}, {"fc8", "classifier"}, "fc8: features.fc8.layer fc8 -> fc7"),
        (
            {"data": {"patches": {"stride": 30}}},
            {"exploration", "fc8", "classifier"},
            "exploration: data.patches.stride 32 -> 30",
        ),
        (
            {"studies": {"classifier": {"seeds": [1]}}},
            {"classifier"},
            "classifier: studies.classifier.seeds [0] -> [1]",
        ),
        (EPOCHS, {"activations", "map"}, "map: studies.activations.variants.sgd.base.epochs 4 -> 5"),
        ({"features": {"fc8": {"batch_size": 8}}}, set(), "All of it is there"),
    ],
)
def test_a_plan_says_which_setting_makes_which_node_run_anew(result, change, to_do, reason, capsys):
    changed = small_profile(**change)
    states = planned(changed)
    assert {name for name, state in states.items() if state == "to do"} == to_do | ({"report"} if to_do else set())
    show_plan(changed, None, places(), Workers())
    out = capsys.readouterr().out
    assert reason in " ".join(out.split())
    if to_do:
        assert re.search(r"^Time: about \d.* estimated from$", out, re.MULTILINE)


def test_a_change_of_one_study_leaves_the_others(result):
    changed = small_profile(studies={"map": {"sample": 60, "perplexity": 5}})
    states = planned(changed)
    again = pipeline(changed)
    same = {name for name, outcome in again["nodes"].items() if outcome["run_id"] == result["nodes"][name]["run_id"]}
    assert same == set(result["nodes"]) - {"map"} == {name for name in result["nodes"] if states[name] == "cached"}


def test_a_run_made_again_is_the_same_to_the_last_bit_and_leaves_no_trace(result, tmp_path, capsys):
    outcome = result["nodes"]["hidden_units"]
    runs = len(all_runs("hidden_units"))
    before = sorted(places().data.rglob("*"))
    assert reproduce_run(outcome["run_id"][:12], tmp_path / "kept", places()) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^hidden_units +same to the last bit +.*tables +(\S+) of \1$", printed, re.MULTILINE)
    assert "Commit, versions and machine are the same as then." in printed
    assert len(all_runs("hidden_units")) == runs
    assert sorted(places().data.rglob("*")) == before
    made = open_record(next((tmp_path / "kept").glob("data/studies/hidden_units/*")))
    assert content(made) == content(record_of(outcome))


def test_a_run_of_one_trial_or_with_no_record_here_cannot_be_made_again(result, tmp_path):
    trial = next(run for run in all_runs("hidden_units") if "mlflow.parentRunId" in run.data.tags)
    with pytest.raises(
        ConfigError, match=f"is of a part of a study; give the run of the study, {trial.data.tags['probeflow.root']}"
    ):
        reproduce_run(trial.info.run_id, None, places())
    elsewhere = places().model_copy(update={"data": tmp_path})
    with pytest.raises(ConfigError, match=r"which is not there: set PROBEFLOW_DATA to the data folder"):
        reproduce_run(result["pipeline"]["run_id"], None, elsewhere)


@pytest.mark.long
def test_a_whole_run_made_again_is_the_same_to_the_last_bit(result, capsys):
    assert reproduce_run(result["pipeline"]["run_id"], None, places()) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\w+ +same to the last bit ", printed, re.MULTILINE)) == len(result["nodes"])


@pytest.mark.parametrize(
    ("only", "nodes"),
    [
        (["data"], []),
        (["features"], ["fc8"]),
        (["hidden_units"], ["hidden_units"]),
        (["fc8", "hidden_units"], ["fc8", "hidden_units"]),
        (["sweep"], ["fc8", "activations", "hidden_units", "classifier"]),
        (["promote"], ["fc8", "classifier"]),
        (["map"], ["activations", "map"]),
    ],
)
def test_nodes_run_alone_with_what_they_need(result, small, only, nodes):
    again = pipeline(small, only=only)
    assert sorted(again["nodes"]) == sorted(nodes)
    assert again["pipeline"] is None


def test_a_profile_without_an_axis_a_map_or_a_test_runs_to_its_report():
    plain = small_profile(
        name="plain",
        studies={
            "activations": {"axis": None, "test": False},
            "classifier": {"test": False, "also_on": []},
            "map": None,
        },
        promote=None,
    )
    result = pipeline(plain)
    assert result["promotion"] is None
    assert Path(result["pipeline"]["report"]).exists()
    assert list(result["nodes"]) == [node.name for node in plain.graph.recorded]


def test_leaking_test_images_stop_the_run(tmp_path):
    for part in ("train", "test"):
        write_images(tmp_path / part, ("a", "b"), 6)
    with pytest.raises(LeakageError, match="12 of 12 test images"):
        pipeline(small_profile(data={"pets": {"source": "folder", "path": str(tmp_path)}}))


def test_bad_input_is_not_tried_again(monkeypatch):
    tries = []
    monkeypatch.setattr(node, "check_graph", lambda *given, here: tries.append(given) or check_graph(*given, here=here))
    absent = small_profile(
        data={"pets": {"source": "folder", "path": "/absent"}}, studies={"exploration": {"on": "pets"}}
    )
    with pytest.raises(DataError, match="'/absent' not found"):
        pipeline(absent, only=["exploration"])
    assert len(tries) == 1
