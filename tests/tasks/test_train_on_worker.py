"""Chunks on workers, with Prefect's answers made up: who is asked again, and what is said in the end."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending

from lib.errors import ConfigError, WorkerError
from tasks import chunks
from tasks.chunks import require_server, train_on_worker


@pytest.fixture
def prefect_answers(monkeypatch):
    """Give the states in which the attempts of a chunk end; returns the idempotency keys that were used."""

    def answer(*states):
        left, keys = list(states), []

        def create(pool, title, parameters, idempotency_key):
            keys.append(idempotency_key)
            return uuid4()

        def wait(child, pool, chunk):
            return SimpleNamespace(id=child, name="brave-crab"), left.pop(0)

        monkeypatch.setattr(chunks, "_create", create)
        monkeypatch.setattr(chunks, "_wait", wait)
        names = {"get_root_flow_run_id": lambda: "root", "get_id": lambda: "parent", "get_run_count": lambda: 1}
        monkeypatch.setattr(chunks, "flow_run", SimpleNamespace(**names))
        monkeypatch.setattr(chunks, "_LATE_FILES_SECONDS", 0)
        return keys

    return answer


def train(small, results=()):
    return train_on_worker.fn(
        "hidden_units", small.hidden_units, "gpu", number=1, of=2, trials=[0], key="k" * 64, results=list(results)
    )


def test_a_chunk_that_failed_and_crashed_is_done_a_third_time(small, prefect_answers):
    keys = prefect_answers(Failed(message="CUDA error"), Crashed(), Completed())
    assert train(small)["attempt"] == 3
    assert len(set(keys)) == 3
    assert all("root" in key and ":1/2:" in key for key in keys)


def test_after_three_attempts_one_line_names_the_chunk_and_its_flow_run(small, prefect_answers):
    prefect_answers(Crashed(), Crashed(), Failed(message="CUDA error:\nout of memory"))
    with pytest.raises(WorkerError) as caught:
        train(small)
    message = str(caught.value)
    assert "hidden_units chunk 1 of 2 ended Failed in attempt 3 of 3: CUDA error: out of memory" in message
    assert "'brave-crab'" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "state", [Cancelled(), Failed(message="Flow run encountered an exception: DataError: other data")]
)
def test_a_chunk_that_was_cancelled_or_had_bad_input_is_not_done_again(small, prefect_answers, state):
    keys = prefect_answers(state)
    with pytest.raises(WorkerError, match="in attempt 1 of 3"):
        train(small)
    assert len(keys) == 1


def test_results_that_went_elsewhere_are_missed(small, prefect_answers, tmp_path):
    prefect_answers(Completed())
    with pytest.raises(WorkerError, match="let PROBEFLOW_DATA of the workers name the same shared folder"):
        train(small, [str(tmp_path / "absent.json")])


class Server:
    """A server on which a run waits for a worker."""

    def __init__(self) -> None:
        self.workers: list[str] = []
        self.states: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read_flow_run(self, child):
        return SimpleNamespace(id=child, name="brave-crab", state=Pending())

    def read_workers_for_work_pool(self, pool, which):
        return self.workers

    def set_flow_run_state(self, child, state):
        self.states.append(state.name)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(chunks, "get_client", lambda **_: server)
    monkeypatch.setattr(chunks, "_NO_WORKER_SECONDS", 0)
    yield server
    chunks.begin()


def test_a_chunk_that_no_worker_is_there_to_begin_is_cancelled_and_told(server):
    with pytest.raises(
        WorkerError, match=r"waits, but no worker of pool 'gpu' is online; start one with `.*worker start"
    ):
        chunks._wait(uuid4(), "gpu", "hidden_units chunk 1 of 2")
    assert server.states == ["Cancelling"]


def test_chunks_are_cancelled_when_their_sweep_is_interrupted(server):
    server.workers = ["one"]
    chunks.give_up()
    with pytest.raises(WorkerError, match="cancelled, since its sweep was interrupted"):
        chunks._wait(uuid4(), "gpu", "hidden_units chunk 1 of 2")
    assert server.states == ["Cancelling"]


def test_without_a_server_a_pool_is_refused_with_what_to_start():
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(ConfigError, match="prefect server start"):
        require_server("gpu")
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ConfigError, match="does not answer"),
    ):
        require_server("gpu")
