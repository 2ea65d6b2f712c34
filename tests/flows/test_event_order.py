"""Which events the server's automations hold back when their server was started again."""

from __future__ import annotations

import asyncio
import time

import pytest
from prefect.server.events.ordering import EventArrivedEarly, get_triggers_causal_ordering, memory
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.schemas.states import Crashed, Running, State
from prefect.settings import PREFECT_SERVER_EVENTS_CAUSAL_ORDERING, temporary_settings

from flows import event_order
from tests.stack import SECRETS, read_compose

COMPOSE = read_compose(dict.fromkeys(SECRETS, "secret"))["prefect"]["environment"]
OURS = COMPOSE[PREFECT_SERVER_EVENTS_CAUSAL_ORDERING.name]


@pytest.fixture(autouse=True)
def new_server():
    memory.CausalOrdering.clear_all_scopes()
    yield
    memory.CausalOrdering.clear_all_scopes()


def held(setting: str, state: State, after: State) -> bool:
    """Whether a run's change into `state` is held back until its change into `after` has been seen."""
    event = ReceivedEvent(
        occurred=state.timestamp, event=f"prefect.flow-run.{state.name}", resource={"prefect.resource.id": "a run"},
        id=state.id, follows=after.id,
    )  # fmt: skip

    async def see() -> None:
        async with get_triggers_causal_ordering().preceding_event_confirmed(None, event):
            pass

    with temporary_settings({PREFECT_SERVER_EVENTS_CAUSAL_ORDERING: setting}):
        try:
            asyncio.run(see())
        except EventArrivedEarly:
            return True
    return False


def test_a_crash_is_dealt_with_though_a_former_server_saw_the_run_begin(monkeypatch):
    begun = Running()
    time.sleep(0.002)
    monkeypatch.setattr(event_order, "_BEGUN", time.time())
    assert not held(OURS, Crashed(), begun)


def test_a_crash_waits_for_what_this_server_has_yet_to_see(monkeypatch):
    monkeypatch.setattr(event_order, "_BEGUN", time.time() - 1)
    assert held(OURS, Crashed(), Running())


def test_prefects_own_order_would_hold_it():
    """When this fails, Prefect has fixed it, and `flows/event_order.py` may go."""
    assert held(memory.__name__, Crashed(), Running())
