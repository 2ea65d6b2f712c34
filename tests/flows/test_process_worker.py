"""Our worker of processes beside Prefect's, which ends when a run that it still holds is scheduled anew."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from uuid import uuid4

import anyio
import pytest

from flows.process_worker import make_worker


def take(worker, *runs) -> list:
    """Offer `runs` to the worker as its server does, without starting them; returns those it took, by their ids."""
    taken = []
    worker._runs_task_group = SimpleNamespace(start_soon=lambda _, run: taken.append(run.id))
    worker._limiter = worker._limiter or anyio.CapacityLimiter(2)
    responses = [SimpleNamespace(flow_run=run) for run in runs]
    asyncio.run(worker._submit_scheduled_flow_runs(flow_run_response=responses))
    worker._submitting_flow_run_ids.clear()  # they have been started
    return taken


def run():
    return SimpleNamespace(id=uuid4(), flow_id=uuid4(), deployment_id=None, name="pipeline")


def test_a_run_that_is_still_held_is_left_to_the_next_look_and_others_are_taken(monkeypatch):
    worker = make_worker("cpu", "here", 2)
    monkeypatch.setattr(worker, "get_flow_run_logger", lambda run: SimpleNamespace(info=lambda *_: None))
    crashed, other = run(), run()
    assert take(worker, crashed) == [crashed.id]
    assert take(worker, crashed, other) == [other.id]
    worker._limiter.release_on_behalf_of(crashed.id)
    assert take(worker, crashed) == [crashed.id]


def test_prefects_own_worker_would_end(monkeypatch):
    """When this fails, Prefect has fixed it, and `flows/process_worker.py` may go."""
    worker = make_worker("cpu", "here", 2)
    monkeypatch.setattr(worker, "get_flow_run_logger", lambda run: SimpleNamespace(info=lambda *_: None))
    monkeypatch.setattr(worker, "_submit_scheduled_flow_runs", type(worker)._submit_scheduled_flow_runs.__get__(worker))
    crashed = run()
    take(worker, crashed)
    with pytest.raises(RuntimeError, match="already holding"):
        take(worker, crashed)
