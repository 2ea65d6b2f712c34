"""What is done when a run ends other than well: children, the note in the UI, and the end of restarts."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import Cancelled, Completed, Crashed, Failed, Running, Scheduled

from lib.addresses import without_credentials
from lib.errors import WorkerError
from tasks import ends
from tests.processes import wait_for


class Server:
    """A server that knows a tree of runs."""

    def __init__(self) -> None:
        self.children, self.states, self.artifacts, self.history = {}, {}, [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read_flow_runs(self, flow_run_filter, sort=None, limit=200, offset=0):
        (parent,) = flow_run_filter.parent_flow_run_id.any_
        return self.children.get(parent, [])[offset : offset + min(limit, 200)]

    def set_flow_run_state(self, run, state):
        self.states[run] = state.name

    def create_artifact(self, artifact):
        self.artifacts.append(artifact)

    def read_flow_run_states(self, run):
        return self.history


def run(state, deployed: bool = False, child: bool = False):
    return SimpleNamespace(
        id=uuid4(), name="pipeline embedded", state=state, deployment_id=uuid4() if deployed else None,
        parent_task_run_id=uuid4() if child else None,
    )  # fmt: skip


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(ends, "get_client", lambda **_: server)
    return server


@pytest.fixture
def family(server):
    """A pipeline whose sweep, in its process, has handed out three chunks, one of which is done."""
    parent, sweep = run(Running(), deployed=True), run(Running(), child=True)
    chunks = [run(state, deployed=True, child=True) for state in (Completed(), Running(), Scheduled())]
    server.children = {parent.id: [sweep], sweep.id: chunks}
    return parent, sweep, chunks


@pytest.mark.parametrize("hook", [ends.cancel_with_parent, ends.end_with_failure])
def test_a_run_that_is_cancelled_or_fails_cancels_all_below_it_that_has_not_ended(server, family, hook):
    parent, sweep, (_, running, waiting) = family
    hook(None, parent, Failed(message="no"))
    assert server.states == {sweep.id: "Cancelled", running.id: "Cancelling", waiting.id: "Cancelling"}


def test_children_beyond_a_page_of_the_server_are_found_too(server, family):
    parent, sweep, _ = family
    server.children[sweep.id] = [run(Running(), deployed=True, child=True) for _ in range(450)]
    ends.cancel_children(parent)
    assert set(server.states) == {sweep.id, *(child.id for child in server.children[sweep.id])}


@pytest.mark.parametrize(
    ("state", "ended"), [(Cancelled(), True), (Failed(), True), (Crashed(), False), (Running(), False)]
)
def test_a_chunk_ends_when_its_pipeline_has_ended_for_good(server, monkeypatch, state, ended):
    own, root = uuid4(), uuid4()
    monkeypatch.setattr(
        ends, "current", SimpleNamespace(get_id=lambda: str(own), get_root_flow_run_id=lambda: str(root))
    )
    asked = []
    server.read_flow_run = lambda run: asked.append(run) or SimpleNamespace(state=state)
    with ends.while_wanted(poll=0.01):
        wait_for(lambda: own in server.states if ended else len(asked) > 3)
    assert asked[0] == root
    assert server.states == ({own: "Cancelling"} if ended else {})


def test_chunks_below_a_run_that_has_ended_are_found_too(server, family):
    parent, sweep, (_, running, waiting) = family
    sweep.state = Crashed()
    ends.cancel_children(parent)
    assert set(server.states) == {running.id, waiting.id}


def test_the_children_of_a_deployed_run_that_crashed_go_on_since_it_is_begun_again(server, family):
    ends.end_with_crash(None, family[0], Crashed(message="process gone"))
    assert server.states == {}
    family[0].deployment_id = None
    ends.end_with_crash(None, family[0], Crashed(message="process gone"))
    assert len(server.states) == 3


def test_a_run_whose_worker_is_told_to_end_crashes_with_what_ran_in_its_process_and_leaves_chunks(server, family):
    parent, sweep, _ = family
    ends.crash_lost([parent.id], "its worker was told to end")
    assert server.states == {sweep.id: "Crashed", parent.id: "Crashed"}


@pytest.mark.parametrize(
    ("deployed", "state", "onward"),
    [
        (False, Failed, "Run the same command again"),
        (True, Failed, "press *Retry*: it goes on"),
        (True, Crashed, "begun again by itself, 2 times at most"),
    ],
)
def test_a_note_says_what_failed_and_how_to_go_on_without_passwords(server, deployed, state, onward):
    ended = run(None, deployed)
    hook = ends.end_with_failure if state is Failed else ends.end_with_crash
    hook(None, ended, state(message="DataError: https://ann:s3cret@mirror/mnist.gz\nis not there"))
    (note,) = server.artifacts
    assert note.flow_run_id == ended.id
    assert "DataError: https://mirror/mnist.gz is not there" in note.data
    assert "s3cret" not in note.data + note.description
    assert onward in note.data


def test_a_flow_inside_another_leaves_the_note_to_that(server):
    ends.end_with_failure(None, run(None, child=True), Failed(message="no"))
    assert server.artifacts == []


@pytest.mark.parametrize(("restarts", "refused"), [(1, False), (2, False), (3, True)])
def test_a_run_that_crashes_again_and_again_is_refused_after_two_restarts(server, monkeypatch, restarts, refused):
    server.history = [Scheduled(), *[Running(), Crashed(), Scheduled(name=ends.RESTARTING)] * restarts]
    names = {
        "get_id": lambda: str(uuid4()),
        "get_run_count": lambda: restarts + 1,
        "get_parent_flow_run_id": lambda: None,
    }
    monkeypatch.setattr(ends, "current", SimpleNamespace(**names))
    if refused:
        with pytest.raises(WorkerError, match="crashed 3 times and is not begun again"):
            ends.refuse_endless_restarts()
    else:
        ends.refuse_endless_restarts()


def test_retries_by_hand_are_no_restarts(server, monkeypatch):
    server.history = [Scheduled(), *[Running(), Failed(), Scheduled(name="AwaitingRetry")] * 9]
    names = {"get_id": lambda: str(uuid4()), "get_run_count": lambda: 10, "get_parent_flow_run_id": lambda: None}
    monkeypatch.setattr(ends, "current", SimpleNamespace(**names))
    ends.refuse_endless_restarts()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@host/a?b=c@d", "https://host/a?b=c@d"),
        ("from 's3://key@bucket/x' and http://host/y", "from 's3://bucket/x' and http://host/y"),
        ("mail a@b.c about file:///x", "mail a@b.c about file:///x"),
    ],
)
def test_addresses_are_shown_without_credentials(text, shown):
    assert without_credentials(text) == shown
