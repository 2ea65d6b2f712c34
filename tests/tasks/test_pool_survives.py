"""Waiting for jobs while things go wrong around it: a job that hangs, a server that is away, a parent begun again."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Running

from lib.errors import WorkerError
from tasks import pool


class Server:
    """A server on which a run goes through the given states, one for each time it is asked."""

    def __init__(self, *states) -> None:
        self.states, self.told, self.workers = list(states), [], ["one"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read_flow_run(self, run):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, Exception):
            raise state
        return SimpleNamespace(id=run, name="brave-crab", state=state, run_count=2, work_queue_name="nightly")

    def read_workers_for_work_pool(self, pool, which):
        return self.workers

    def set_flow_run_state(self, run, state, force=False):
        self.told.append((state.name, state.message, force))
        if state.is_final():
            self.states = [state]


@pytest.fixture
def server(monkeypatch):
    def states(*given) -> Server:
        server = Server(*given)
        monkeypatch.setattr(pool, "get_client", lambda **_: server)
        return server

    monkeypatch.setattr(pool, "_LONGEST_POLL_SECONDS", 0.01)
    monkeypatch.setattr(pool.time, "sleep", lambda seconds: None)
    yield states
    pool.given_up.clear()


def refusal(status: int) -> PrefectHTTPStatusError:
    request = httpx.Request("GET", "http://server/api")
    return PrefectHTTPStatusError("refused", request=request, response=httpx.Response(status, request=request))


def test_a_job_that_runs_too_long_is_ended_by_its_worker_and_counts_as_crashed(server):
    asked = server(Running(), Running(), Cancelling(), Cancelled())
    _, state = pool._wait(uuid4(), "gpu", "chunk", minutes=0)
    assert state.is_crashed()
    assert "ran longer than 0 minutes (PROBEFLOW_CHUNK_MINUTES)" in state.message
    assert [name for name, *_ in asked.told] == ["Cancelling"]


def test_a_job_that_hangs_and_whose_worker_is_gone_is_ended_without_it(server, monkeypatch):
    monkeypatch.setattr(pool, "_HUNG_SECONDS", 0)
    asked = server(Running())
    _, state = pool._wait(uuid4(), "gpu", "chunk", minutes=0)
    assert state.is_crashed()
    assert [(name, force) for name, _, force in asked.told] == [("Cancelling", False), ("Crashed", True)]


def test_a_job_that_completes_though_it_was_told_to_end_is_complete(server):
    server(Running(), Running(), Completed())
    assert pool._wait(uuid4(), "gpu", "chunk", minutes=0)[1].is_completed()


def test_without_a_limit_a_job_may_run_for_ever(server):
    asked = server(*[Running()] * 5, Completed())
    assert pool._wait(uuid4(), "gpu", "chunk")[1].is_completed()
    assert asked.told == []


def test_a_server_that_is_away_is_asked_again(server):
    server(Running(), httpx.ConnectError("refused"), refusal(503), httpx.ReadTimeout("slow"), Completed())
    assert pool._wait(uuid4(), "gpu", "chunk")[1].is_completed()


def test_a_server_that_refuses_is_not_asked_again(server):
    server(refusal(404))
    with pytest.raises(PrefectHTTPStatusError):
        pool._wait(uuid4(), "gpu", "chunk")


def test_a_server_that_stays_away_is_an_error_in_the_end(server, monkeypatch):
    monkeypatch.setattr(pool, "_AWAY_SECONDS", 0)
    server(httpx.ConnectError("refused"))
    with pytest.raises(httpx.ConnectError):
        pool._wait(uuid4(), "gpu", "chunk")


def test_a_job_is_created_once_though_the_answer_was_lost_and_takes_its_parents_queue(server, monkeypatch):
    server(Running())
    made, calls = {}, []

    def run_deployment(name, idempotency_key, work_queue_name, **_):
        calls.append((name, work_queue_name))
        made.setdefault(idempotency_key, SimpleNamespace(id=uuid4()))
        if len(calls) == 1:
            raise httpx.ReadError("the server was restarted before it answered")
        return made[idempotency_key]

    monkeypatch.setattr(pool, "run_deployment", run_deployment)
    monkeypatch.setattr(pool, "FlowRun", SimpleNamespace)
    monkeypatch.setattr(pool, "flow_run", SimpleNamespace(get_root_flow_run_id=lambda: str(uuid4())))
    created = pool._create(pool.Job("chunk", "heads chunk 1 of 1", {}, "1/1", []), "gpu", "chunk", "key:1")
    assert calls == [("chunk/gpu", "nightly")] * 2
    assert [created] == [run.id for run in made.values()]


def test_a_run_begun_again_waits_for_what_it_submitted_before_however_that_ends(server, monkeypatch):
    asked = server(Running())
    deployment = uuid4()
    asked.read_deployment_by_name = lambda name: SimpleNamespace(id=deployment)
    left = [SimpleNamespace(id=uuid4(), name=name, deployment_id=of) for name, of in
            (("mine", deployment), ("lost", deployment), ("another flow's", uuid4()))]  # fmt: skip
    waited = []

    def wait(child, pool_name, title):
        waited.append(title)
        if title == "lost":
            raise WorkerError("no worker is online")
        return None, Crashed()

    monkeypatch.setattr(pool, "unfinished_children", lambda client, root: left)
    monkeypatch.setattr(pool, "_wait", wait)
    monkeypatch.setattr(pool, "flow_run", SimpleNamespace(get_root_flow_run_id=lambda: str(uuid4())))
    pool.await_predecessors("chunk", "gpu")
    assert waited == ["mine", "lost"]
