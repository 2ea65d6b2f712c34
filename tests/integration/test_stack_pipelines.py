"""Pipelines on the team's stack: the inline run's figures, eight at once, and no trace of a secret afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lib.profile import load_profile
from tests.processes import REPOSITORY
from tests.small_profile import small_profile
from tests.stack import FOREIGN
from tests.team import all_runs, content, records, require_one_run_each, start, traces, wait_ended

OTHERS = {
    "data": {"patches": {"stride": 31}},
    "studies": {"activations": {"seeds": [2, 3]}, "hidden_units": {"seeds": [2]}},
}
"""Changes of the small profile after which nothing of another test's run is there already."""

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(900)]


def data_of(stack) -> Path:
    return Path(stack.client["PROBEFLOW_DATA"])


@pytest.mark.parametrize("name", ["small", pytest.param("embedded", marks=pytest.mark.long)])
def test_a_profile_through_the_pools_has_the_inline_run_s_figures(name, as_user, no_schedules, stack, tmp_path):
    profile = small_profile() if name == "small" else load_profile(name, environment={})
    run = start("as inline", profile)
    file = tmp_path / "profile.yaml"
    file.write_text(profile.model_dump_json())
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    own = {name: str(tmp_path / name.lower()) for name in ("PROBEFLOW_DATA", "PROBEFLOW_MLRUNS", "PREFECT_HOME")}
    inline = subprocess.run(
        [sys.executable, "-m", "flows", "run", "--profile-file", str(file)],
        cwd=REPOSITORY, env=clean | own, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert inline.returncode == 0, inline.stdout + inline.stderr
    (ended,) = wait_ended(as_user, [run], 400).values()
    assert ended.state.is_completed(), ended.state.message

    there, here = records(data_of(stack)), records(Path(own["PROBEFLOW_DATA"]))
    there = {identity: there[identity] for identity in here}  # the stack may have studies of other tests
    assert {study for study, _ in here} == {"pipeline", *(node.name for node in profile.graph.recorded)}
    for identity, record in here.items():
        assert content(there[identity]) == content(record), identity
    shards = sorted(Path(own["PROBEFLOW_DATA"]).glob("features/*/*/part-*"))
    assert shards
    for shard in shards:
        assert (data_of(stack) / shard.relative_to(own["PROBEFLOW_DATA"])).read_bytes() == shard.read_bytes()
    chunks = [each for each in all_runs(as_user) if each.work_pool_name == "gpu"]
    assert chunks
    assert {each.state.type.value for each in chunks} == {"COMPLETED"}
    assert require_one_run_each(MlflowClient(stack.client["MLFLOW_TRACKING_URI"]), data_of(stack)) > 40


@pytest.mark.long
def test_eight_pipelines_at_once_all_complete_and_log_each_trial_once(as_user, no_schedules, stack):
    before = {run.id for run in all_runs(as_user)}
    started = [start(f"one of eight, {number}", small_profile(**OTHERS)) for number in range(1, 9)]
    ended = wait_ended(as_user, started, 800)
    assert {run.state.type.value for run in ended.values()} == {"COMPLETED"}
    new = [run for run in all_runs(as_user) if run.id not in before]
    assert {run.state.type.value for run in new} == {"COMPLETED"}
    keys = [run.idempotency_key for run in new if run.idempotency_key]
    assert len(keys) == len(set(keys))
    require_one_run_each(MlflowClient(stack.client["MLFLOW_TRACKING_URI"]), data_of(stack))
    for log in (stack.folder / "logs").iterdir():
        assert "database is locked" not in log.read_text(errors="replace")


def test_no_secret_stands_in_logs_data_artifacts_or_databases(stack):
    assert traces(stack) == {}
    # The search finds what is there: a database's name of a user, and a secret put into a log.
    (stack.folder / "logs" / "planted.log").write_text(f"x{stack.secrets['MLFLOW_FLASK_SERVER_SECRET_KEY']}x")
    assert traces(stack) == {"MLFLOW_FLASK_SERVER_SECRET_KEY": ["logs/planted.log"]}
