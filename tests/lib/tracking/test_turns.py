"""Turns: many that log the same at one moment make one run, and the turn of the dead passes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lib.places import Places
from lib.tracking import turns
from lib.tracking.records import log_record
from lib.tracking.store import KEY_TAG, connect
from lib.tracking.turns import turn
from tests.processes import REPOSITORY


@pytest.fixture(scope="module")
def where(tmp_path_factory) -> Places:
    base = tmp_path_factory.mktemp("turns")
    return Places(data=base / "data", mlruns=base / "mlruns", tracking_uri=f"sqlite:///{base / 'mlruns' / 'mlflow.db'}")


@pytest.fixture(scope="module")
def client(where):
    return connect(where).client


@pytest.fixture
def experiment(client, request) -> str:
    return client.create_experiment(request.node.name)


def tags(client, experiment: str) -> list[str]:
    return [tag for tag in client.get_experiment(experiment).tags if tag.startswith("probeflow.turn")]


def test_one_holds_the_turn_of_a_key_at_a_time_and_leaves_no_trace(client, experiment, monkeypatch):
    monkeypatch.setattr(turns, "_POLL_SECONDS", 0.01)
    inside, most, lock = 0, 0, threading.Lock()

    def once(_):
        nonlocal inside, most
        with turn(client, experiment, "a key"):
            with lock:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.01)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(once, range(18)))
    assert most == 1
    assert tags(client, experiment) == []


def test_turns_of_other_keys_are_not_waited_for(client, experiment):
    with turn(client, experiment, "a key"), turn(client, experiment, "another key"):
        assert len(tags(client, experiment)) == 2


def test_the_turn_of_a_dead_process_of_this_machine_passes_on_at_once(client, experiment):
    dead = subprocess.run(
        [sys.executable, "-c", "from lib.machine import this_process; print(this_process())"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    client.set_experiment_tag(experiment, "probeflow.turn.key.0123", f"{dead} 1 0")
    with turn(client, experiment, "key"):
        assert len(tags(client, experiment)) == 1
    assert tags(client, experiment) == []


class Clock:
    """Stands in for `time`: it goes on when somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    monkeypatch.setattr(turns, "_POLL_SECONDS", 5.0)
    return clock


def test_the_turn_of_another_machine_passes_on_when_its_beats_end(client, experiment, clock, monkeypatch, caplog):
    client.set_experiment_tag(experiment, "probeflow.turn.key.0123", "elsewhere-1-1 1 0")
    beats, last = iter(range(1, 20)), 0.0
    asked = client.get_experiment

    def beating(identifier):
        nonlocal last
        if (beat := next(beats, None)) is not None:
            last = clock.now
            client.set_experiment_tag(experiment, "probeflow.turn.key.0123", f"elsewhere-1-1 1 {beat}")
        return asked(identifier)

    monkeypatch.setattr(client, "get_experiment", beating)
    with turn(client, experiment, "key"):
        assert last > 60
        assert clock.now == last + 60
    assert "elsewhere-1-1 ended while it logged the same" in caplog.text


def test_nobody_counts_as_dead_for_beats_that_a_store_which_was_away_could_not_take(
    client, experiment, clock, monkeypatch, caplog
):
    client.set_experiment_tag(experiment, "probeflow.turn.key.0123", "elsewhere-1-1 1 0")
    asked, looks = client.get_experiment, iter(range(1000))

    def away_at_the_third_look(identifier):
        look = next(looks)
        if look == 2:
            clock.now += 80
        if look == 20:  # the other's client tries again later than this one's, and goes on
            client.set_experiment_tag(experiment, "probeflow.turn.key.0123", "elsewhere-1-1 1 1")
        if look == 22:
            client.delete_experiment_tag(experiment, "probeflow.turn.key.0123")
        return asked(identifier)

    monkeypatch.setattr(client, "get_experiment", away_at_the_third_look)
    with turn(client, experiment, "key"):
        assert next(looks) > 22
    assert "ended while it logged the same" not in caplog.text


def test_six_that_log_one_study_at_once_make_one_run_a_trial(small_run, where):
    record = small_run.records["classifier"]
    shown = record.present()
    start = threading.Barrier(6)

    def log(_) -> str:
        tracking = connect(where)
        start.wait()
        return log_record(tracking, record, {}).info.run_id

    with ThreadPoolExecutor(6) as pool:
        (parent,) = set(pool.map(log, range(6)))
    tracking = connect(where)
    experiment = tracking.client.get_experiment_by_name("probeflow/classifier").experiment_id
    logged = tracking.client.search_runs([experiment], max_results=1000)
    assert Counter(run.data.tags[KEY_TAG] for run in logged) == Counter(
        [shown.parent.key, *(each.key for each in shown.runs)]
    )
    ids = {run.data.tags[KEY_TAG]: run.info.run_id for run in logged}
    expected = {ids[each.key]: ids[each.below] if each.below else parent for each in shown.runs}
    assert {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in logged} == expected | {parent: None}


def test_a_run_that_a_server_made_twice_is_deleted(small_run, where, monkeypatch):
    record = small_run.records["activations"]
    shown = record.present()
    tracking = replace(connect(where), uri="http://127.0.0.1:9")  # as that of a server, whose answers may be lost
    create = tracking.client.create_run

    def twice(*arguments, **named):
        create(*arguments, **named)  # its answer is lost, and MLflow's client asks again
        return create(*arguments, **named)

    monkeypatch.setattr(tracking.client, "create_run", twice)
    log_record(tracking, record, {})
    experiment = tracking.client.get_experiment_by_name("probeflow/activations").experiment_id
    logged = tracking.client.search_runs([experiment], max_results=1000)
    assert {run.info.status for run in logged} == {"FINISHED"}
    assert len(logged) == 1 + len(shown.runs)

    # Killed when the trials stood below that of a configuration's doubles which goes: they move to the one that stays.
    first, below = shown.runs[0], [each.key for each in shown.runs if each.below]
    ids = {run.data.tags[KEY_TAG]: run for run in logged}
    double = create(experiment, None, dict(ids[first.key].data.tags), first.name).info.run_id
    for each in shown.runs:
        if each.below == first.key:
            tracking.client.set_tag(ids[each.key].info.run_id, "mlflow.parentRunId", double)
    tracking.client.update_run(ids[shown.parent.key].info.run_id, status="RUNNING")
    monkeypatch.undo()
    log_record(tracking, record, {})
    again = {run.info.run_id: run for run in tracking.client.search_runs([experiment], max_results=1000)}
    assert len(again) == 1 + len(shown.runs)
    assert all(
        run.data.tags["mlflow.parentRunId"] in again for run in again.values() if run.data.tags[KEY_TAG] in below
    )
