"""The team's stack, and a user of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.processes import wait_for
from tests.stack import Stack, stack_up
from tests.team import all_runs, user_of


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """The team's stack, up for all tests of this folder: servers and two workers."""
    with stack_up() as running_stack:
        yield running_stack


@pytest.fixture
def as_user(stack) -> Iterator[SyncPrefectClient]:
    """The test's own process as a user of the stack; gives a client of its Prefect server."""
    with user_of(stack.client) as client:
        yield client


@pytest.fixture
def no_schedules(as_user) -> None:
    """No schedule starts a run in the middle of a test that looks at all runs there are."""
    active = [
        each for each in as_user.read_deployments() if not each.paused and any(one.active for one in each.schedules)
    ]
    if active:  # the server plans ahead: without such runs its scheduler would not be working
        wait_for(lambda: any(run.auto_scheduled for run in all_runs(as_user)), 240)
    for deployment in active:
        as_user.pause_deployment(deployment.id)
    wait_for(lambda: all(run.state.is_final() for run in all_runs(as_user) if run.auto_scheduled), 300)
