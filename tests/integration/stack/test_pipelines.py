"""Pipelines on the team's stack: the inline run's figures whatever is killed, eight at once, and no trace of a secret."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter

from flows.automations import SILENCE_SECONDS
from lib.profile import Profile, load_profile
from tasks.ends import descendants
from tests.processes import flows, kill_flow_run, kill_tree, running, wait_for
from tests.small_profile import longer_profile, small_profile
from tests.stack import FOREIGN
from tests.team import (
    all_runs,
    compare_places,
    require_one_run_each,
    running_chunk,
    start,
    traces,
    wait_ended,
)

OTHERS = {
    "data": {"patches": {"stride": 31}},
    "studies": {"activations": {"seeds": [2, 3]}, "hidden_units": {"seeds": [2]}},
}
"""Changes of the small profile after which nothing of another test's run is there already."""

pytestmark = [pytest.mark.integration, pytest.mark.stack, pytest.mark.timeout(900)]


def data_of(stack) -> Path:
    return Path(stack.client["PROBEFLOW_DATA"])


@contextmanager
def inline(profile: Profile, folder: Path, only: Sequence[str] = ()) -> Iterator[Path]:
    """The data folder of a run without servers, which begins with the block and has ended well when that is left."""
    file = folder / "profile.yaml"
    file.write_text(profile.model_dump_json())
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    own = {name: str(folder / name.lower()) for name in ("PROBEFLOW_DATA", "PROBEFLOW_MLRUNS", "PREFECT_HOME")}
    nodes = [word for name in only for word in ("--only", name)]
    with running(clean | own, folder / "inline.log", "flows", "run", "--profile-file", str(file), *nodes) as process:
        yield Path(own["PROBEFLOW_DATA"])
        assert process.wait(400) == 0, (folder / "inline.log").read_text()[-3000:]


@pytest.mark.long  # some four minutes alone, and much longer beside other tests
def test_a_profile_through_the_pools_shows_what_an_inline_run_shows_whatever_was_killed(
    as_user, no_schedules, stack, tmp_path
):
    only = ["exploration", "hidden_units", "promote"]
    profile = longer_profile()
    run = start("as inline", profile, only, workers={"pool": "gpu", "chunks": 2, "chunk_images": 8})
    with stack.another("worker-chunks"), inline(profile, tmp_path, only) as own:
        left = {"fc8", "hidden_units"}
        while left:  # in the order in which the workers take them
            chunk = wait_for(lambda: running_chunk(as_user, left, run), 300)
            kill_flow_run(chunk.id)
            left.remove(chunk.name.split()[0])
        flows(stack.client, "set-up", "--no-schedules")  # a new version, say, while all of this runs
        kill_flow_run(run)
        (ended,) = wait_ended(as_user, [run], 600).values()
    assert ended.state.is_completed(), ended.state.message
    assert ended.run_count == 2  # it was begun again, and waited for the chunks that it had submitted

    compare_places(data_of(stack), own)
    below = {each.name: each for each in descendants(as_user, run)}
    lost = [name for name, each in below.items() if each.state.is_crashed()]
    assert [name.split()[0] for name in sorted(lost)] == ["fc8", "hidden_units"]
    assert {name for name in below if "attempt" in name} == {f"{name}, attempt 2" for name in lost}
    assert {each.state.type.value for name, each in below.items() if name not in lost} == {"COMPLETED"}
    begun = [each for name, each in below.items() if name.startswith(("exploration", "fc8", "hidden_units"))]
    spans = sorted((each.start_time, each.end_time) for each in begun)
    assert any(later[0] < earlier[1] for earlier, later in pairwise(spans))  # workers and nodes side by side
    features, classifier = (
        [each for name, each in below.items() if name.startswith(node)] for node in ("fc8", "class")
    )
    assert min(each.start_time for each in classifier) >= max(each.end_time for each in features)  # which it needs
    assert require_one_run_each(MlflowClient(stack.client["MLFLOW_TRACKING_URI"]), data_of(stack)) > 10


def seen(client, run, event: str) -> bool:
    """Whether the server has kept such an event of a run, until now."""
    resource = EventResourceFilter(id=[f"prefect.flow-run.{run}"])
    kept = EventFilter(event=EventNameFilter(name=[f"prefect.flow-run.{event}"]), resource=resource)
    return client.read_events(kept, limit=1).total > 0


@pytest.mark.long
def test_a_pipeline_goes_on_after_all_machines_were_without_power_for_minutes(as_user, no_schedules, stack):
    run = start("without power", longer_profile(7), ["hidden_units"])
    chunk = wait_for(lambda: next((each for each in descendants(as_user, run) if each.state.is_running()), None))
    wait_for(lambda: seen(as_user, chunk.id, "heartbeat"))  # what has not reached the database is lost with the server
    names = list(stack.processes)
    for name in names:
        kill_tree(stack.pid(name))
        stack.processes[name].wait()
    time.sleep(SILENCE_SECONDS + 90)  # a server forgets by default what ran out a minute ago
    stack.start(*names)
    wait_for(lambda: as_user.read_flow_run(run).run_count == 2, 120)
    (ended,) = wait_ended(as_user, [run], 300).values()
    assert ended.state.is_completed(), ended.state.message
    assert as_user.read_flow_run(chunk.id).state.is_crashed()


@pytest.mark.long
def test_the_embedded_profile_through_the_pools_has_the_inline_run_s_figures(as_user, no_schedules, stack, tmp_path):
    profile = load_profile("embedded", environment={})
    run = start("as inline", profile)
    with inline(profile, tmp_path) as own:
        pass
    (ended,) = wait_ended(as_user, [run], 400).values()
    assert ended.state.is_completed(), ended.state.message
    compare_places(data_of(stack), own)
    require_one_run_each(MlflowClient(stack.client["MLFLOW_TRACKING_URI"]), data_of(stack))


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
