"""Jobs on workers, with Prefect's answers made up: who is asked again, and what is reported in the end."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending

from lib.errors import ChangedError, ConfigError, WorkerError
from tasks import pool
from tasks import server as prefect_server
from tasks.node import CHUNK_FLOW, on_worker
from tasks.pool import Job, run_on_worker


@pytest.fixture
def prefect_answers(monkeypatch):
    """Give the states in which the attempts of a chunk end; returns the idempotency keys that were used."""

    def answer(*states):
        left, keys = list(states), []

        def create(job, pool, title, idempotency_key):
            keys.append(idempotency_key)
            return uuid4()

        def wait(child, pool, title, minutes):
            return SimpleNamespace(id=child, name="brave-crab"), left.pop(0)

        monkeypatch.setattr(pool, "_create", create)
        monkeypatch.setattr(pool, "_wait", wait)
        names = {"get_root_flow_run_id": lambda: "root", "get_id": lambda: "parent", "get_run_count": lambda: 1}
        monkeypatch.setattr(pool, "flow_run", SimpleNamespace(**names))
        monkeypatch.setattr(pool, "LATE_FILES_SECONDS", 0)
        return keys

    return answer


def train(results=()):
    title = "heads chunk 1 of 2"
    return on_worker.fn({}, "heads", "gpu", title, positions=[0], key="k" * 64, results=list(results))


def test_a_chunk_that_failed_and_crashed_is_done_a_third_time(prefect_answers):
    killed = "Flow run encountered an exception: LostProcessError: a process that trained networks ended unexpectedly"
    keys = prefect_answers(Failed(message=killed), Crashed(), Completed())
    assert train()["attempt"] == 3
    assert len(set(keys)) == 3
    assert all("root" in key and ":chunk 1 of 2:" in key for key in keys)


def test_after_three_attempts_one_line_names_the_chunk_and_its_flow_run(prefect_answers):
    prefect_answers(Crashed(), Crashed(), Failed(message="CUDA error:\nout of memory"))
    with pytest.raises(WorkerError) as caught:
        train()
    message = str(caught.value)
    assert "heads chunk 1 of 2 ended Failed in attempt 3 of 3: CUDA error: out of memory" in message
    assert "'brave-crab'" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "state", [Cancelled(), Failed(message="Flow run encountered an exception: DataError: other data")]
)
def test_a_chunk_that_was_cancelled_or_had_bad_input_is_not_done_again(prefect_answers, state):
    keys = prefect_answers(state)
    with pytest.raises(WorkerError, match="in attempt 1 of 3"):
        train()
    assert len(keys) == 1


def test_an_image_that_changed_under_a_worker_is_reported_as_that_so_that_the_parent_verifies_anew(prefect_answers):
    prefect_answers(Failed(message="Flow run encountered an exception: ChangedError: a.png is another file by now"))
    with pytest.raises(ChangedError, match=r"a\.png is another file by now"):
        run_on_worker(Job(CHUNK_FLOW, "fc8 chunk 1 of 1", {}, "digest:1/1", []), "gpu")


def test_results_that_went_elsewhere_are_missed(prefect_answers, tmp_path):
    prefect_answers(Completed())
    with pytest.raises(WorkerError, match="let PROBEFLOW_DATA of the workers name the same shared folder"):
        train([str(tmp_path / "absent.json")])


class Server:
    """A server on which a run waits for a worker."""

    def __init__(self) -> None:
        self.state = Pending()
        self.workers: list[str] = []
        self.states: list[str] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read_flow_run(self, child):
        return SimpleNamespace(id=child, name="brave-crab", state=self.state)

    def read_workers_for_work_pool(self, pool, which):
        return self.workers

    def set_flow_run_state(self, child, state, force=False):
        self.states.append(state.name)
        if state.is_final():
            self.state = state


@pytest.fixture
def server(monkeypatch):
    server = Server()
    for asking in (pool, prefect_server):
        monkeypatch.setattr(asking, "get_client", lambda **_: server)
    monkeypatch.setattr(pool, "_NO_WORKER_SECONDS", 0)
    yield server
    pool.given_up.clear()


def test_a_chunk_that_no_worker_is_there_to_begin_is_cancelled_and_reported(server):
    with pytest.raises(
        WorkerError,
        match=r"waits, but no worker of pool 'gpu' is online; start one with `.*(flows|probeflow) work --pool gpu`",
    ):
        pool._wait(uuid4(), "gpu", "heads chunk 1 of 2")
    assert server.states == ["Cancelling"]


def test_a_chunk_that_a_worker_accepted_and_never_began_counts_as_crashed(server, monkeypatch):
    server.workers = ["one"]
    monkeypatch.setattr(pool, "_PENDING_SECONDS", 0)
    _, state = pool._wait(uuid4(), "gpu", "heads chunk 1 of 2")
    assert state.is_crashed()


def test_chunks_are_cancelled_when_their_run_is_interrupted(server):
    server.workers = ["one"]
    pool.given_up.set()
    with pytest.raises(WorkerError, match="cancelled, since its parent was interrupted"):
        pool._wait(uuid4(), "gpu", "heads chunk 1 of 2")
    assert server.states == ["Cancelling"]


def test_a_flow_in_the_pool_itself_is_refused_since_it_would_wait_for_its_own_place(server, monkeypatch):
    root = SimpleNamespace(work_pool_name="gpu")
    answers = {
        "api_healthcheck": lambda: None,
        "api_version": lambda: "3",
        "read_work_pool": lambda name: SimpleNamespace(is_push_pool=False, is_managed_pool=False),
        "read_deployment_by_name": lambda name: None,
        "read_flow_run": lambda run: root,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(server, name, answer, raising=False)
    monkeypatch.setattr(pool, "flow_run", SimpleNamespace(get_root_flow_run_id=lambda: str(uuid4())))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        with pytest.raises(ConfigError, match="work pool 'gpu' has no worker online"):
            pool.workers_online("gpu", CHUNK_FLOW)
        server.workers = ["one", "two"]
        with pytest.raises(ConfigError, match="this flow itself runs in work pool 'gpu'"):
            pool.workers_online("gpu", CHUNK_FLOW)
        root.work_pool_name = "cpu"
        assert pool.workers_online("gpu", CHUNK_FLOW) == 2


@pytest.mark.parametrize(
    ("ends", "raised"),
    [
        ([{}, WorkerError("first"), WorkerError("second")], WorkerError("first")),
        ([WorkerError("first"), {}, ChangedError("a.png")], ChangedError("a.png")),
        ([{}, {}, {}], None),
    ],
)
def test_all_jobs_are_waited_for_and_the_error_that_can_be_fixed_is_raised_before_others(monkeypatch, ends, raised):
    submitted = []

    def submit(**job):
        submitted.append(job["number"])
        return SimpleNamespace(result=lambda raise_on_failure: ends[job["number"]])

    monkeypatch.setattr(pool, "as_completed", list)
    jobs = [{"number": number} for number in range(3)]
    if raised is None:
        pool.submit_all(SimpleNamespace(submit=submit), jobs, "features")
    else:
        with pytest.raises(type(raised), match=str(raised)):
            pool.submit_all(SimpleNamespace(submit=submit), jobs, "features")
    assert submitted == [0, 1, 2]
