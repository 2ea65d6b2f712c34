"""A profile on a real Prefect server and two workers: independent nodes run at the same time, and as they do inline."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.pipeline import pipeline
from lib.graph import ready_node
from lib.places import Workers, places
from lib.studies.record import open_record
from tests.processes import flow_runs, flows, running, wait_for
from tests.small_profile import small_profile
from tests.team import content

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(600)]
POOL = "two"
TRAINED = {"variants": {"sgd": {"base": {"epochs": 150}}}}
"""Long enough for two processes that start a few seconds apart to meet."""


def test_independent_nodes_run_at_the_same_time_and_give_what_an_inline_run_gives(on_server, tmp_path, monkeypatch):
    profile = small_profile(studies={"activations": TRAINED, "hidden_units": TRAINED})
    for name in ("PROBEFLOW_DATA", "PROBEFLOW_MLRUNS"):
        monkeypatch.setenv(name, on_server[name])
    flows(on_server, "deploy", f"--pool={POOL}")
    with (
        running(on_server, tmp_path / "one.log", "flows", "work", f"--pool={POOL}"),
        running(on_server, tmp_path / "two.log", "flows", "work", f"--pool={POOL}"),
        temporary_settings({PREFECT_API_URL: on_server["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        wait_for(lambda: len(client.read_workers_for_work_pool(POOL)) == 2)
        result = pipeline(profile, only=["activations", "hidden_units", "map"], workers=Workers(pool=POOL, chunks=1))
        children = flow_runs(client, POOL)

    assert set(children) == {"activations", "hidden_units", "map"}
    assert {run.state.type.value for run in children.values()} == {"COMPLETED"}
    one, other = children["activations"], children["hidden_units"]
    overlap = min(one.end_time, other.end_time) - max(one.start_time, other.start_time)
    assert overlap.total_seconds() > 0
    assert children["map"].start_time >= children["activations"].end_time  # which it needs
    assert list(result["nodes"]) == ["activations", "hidden_units", "map"]

    there = {name: open_record(Path(outcome["folder"])) for name, outcome in result["nodes"].items()}
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "inline"))
    for name, record in there.items():
        inline = ready_node(profile, name, places()).run()
        assert record.key == inline.key
        assert content(record) == content(inline)
