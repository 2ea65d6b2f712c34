"""MLflow in a process of its own: the same runs, errors, progress and log lines as if it were in this one."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lib.errors import DataError, LostProcessError, LostStoreError, StorageError
from lib.progress import shown_by
from lib.studies.presentation import markdown
from lib.tracking import background
from lib.tracking.background import consider_study, log_study, open_store
from lib.tracking.store import connect
from tests.processes import REPOSITORY, alive


@pytest.fixture
def where(small_run, tmp_path):
    own = {"mlruns": tmp_path, "tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    return small_run.where.model_copy(update=own)


class Shown:
    """A display that notes what is counted."""

    def __init__(self):
        self.bars, self.open = [], 0

    def began(self, step, kind):
        raise AssertionError(step)

    def ended(self, step, outcome, stopped=False):
        raise AssertionError(step)

    @contextmanager
    def bar(self, label, total, unit, step):
        own = [label, total, unit, 0]
        self.bars.append(own)
        self.open += 1

        def advance(count):
            own[3] += count

        try:
            yield advance
        finally:
            self.open -= 1


def _pid() -> int:
    assert background._process is not None
    return background._process._process.pid


def test_a_study_is_logged_once_with_its_progress_told_here(small_run, where):
    record, display = small_run.records["activations"], Shown()
    with shown_by(display):
        logged = log_study(record.folder, {"prefect.flow_run_id": "abc"}, where)
    shown = record.present()
    runs = len(shown.runs)
    assert display.bars == [["activations to MLflow", runs, "run", runs]]
    assert display.open == 0
    assert log_study(record.folder, {}, where) == logged
    assert (logged.title, logged.headline, logged.notes) == (shown.title, shown.headline, markdown(shown))
    tracking = connect(where)
    run = tracking.client.get_run(logged.run_id)
    assert run.data.tags["prefect.flow_run_id"] == "abc"
    assert (run.info.run_name, run.info.status) == (logged.run_name, "FINISHED")
    assert logged.address == tracking.run_url(run)
    assert [page.name for page in logged.comparisons]
    assert all(page.address in logged.comparison_links for page in logged.comparisons)
    assert logged.report is None


def test_the_gate_s_decision_is_plain_values(small_run, where):
    record = small_run.records["classifier"]
    logged = log_study(record.folder, {}, where)
    decision = consider_study(small_run.profile, record.folder, logged.run_id, where)
    assert type(decision["outcome"]) is str
    assert decision["model"] in decision["markdown"]
    assert {"promoted", "why", "version"} <= set(decision)


def test_a_caller_s_environment_is_the_one_it_is_answered_in(small_run, where, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    open_store(where, patient=False)
    environ = Path(f"/proc/{_pid()}/environ")  # as it was started
    before = environ.read_bytes()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = where.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(StorageError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer"):
        open_store(away, patient=True)  # for minutes, with the retries that MLflow has by itself
    assert environ.read_bytes() == before


def test_errors_arrive_as_what_they_are(small_run, where, tmp_path):
    with pytest.raises(DataError, match="holds no finished study"):
        log_study(tmp_path / "nothing", {}, where)
    record = small_run.records["exploration"]
    log_study(record.folder, {}, where)
    with closing(sqlite3.connect(where.mlruns / "mlflow.db")) as database:
        database.execute("DROP TABLE tags")
    with pytest.raises(LostStoreError, match=r"MLflow at sqlite:.* fails \(no such table: tags\); see to it"):
        log_study(record.folder, {}, where)
    (where.mlruns / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_store(where.model_copy(), patient=False)


def test_a_killed_process_is_told_and_the_next_call_has_another(where):
    open_store(where, patient=False)
    killed = _pid()
    os.kill(killed, signal.SIGSTOP)  # it takes the call, and never answers
    stopper = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(0.5); os.kill({killed}, 9)"])
    with pytest.raises(LostProcessError, match=r"a process that logs to MLflow ended unexpectedly"):
        open_store(where, patient=False)
    stopper.wait()
    open_store(where, patient=False)
    assert _pid() != killed


def test_what_it_logs_and_writes_is_logged_and_written_here(where, caplog, capsys):
    open_store(where, patient=False)
    process = background._process
    made = logging.LogRecord("lib.tracking.turns", logging.INFO, __file__, 1, "waiting for a-host-1", None, None)
    with caplog.at_level(logging.INFO, "lib.tracking.turns"):
        process.heard("log", made)
    assert caplog.messages == ["waiting for a-host-1"]
    with caplog.at_level(logging.WARNING, "lib.tracking.turns"):
        process.heard("log", made)
    assert len(caplog.messages) == 1
    process.heard("written", "a warning\n")
    assert capsys.readouterr().err == "a warning\n"


def test_it_gives_way_to_what_computes(where):
    open_store(where, patient=False)
    assert os.getpriority(os.PRIO_PROCESS, _pid()) == os.getpriority(os.PRIO_PROCESS, 0) + 5


def test_a_caller_imports_no_mlflow_and_its_process_ends_with_it(tmp_path):
    script = (
        "import sys\n"
        "from lib.places import places\n"
        "from lib.tracking import background\n"
        "background.begin(); background.open_store(places(), patient=False)\n"
        "import tasks.tracking, tasks.node, flows.report, flows.pipeline\n"
        "assert 'mlflow' not in sys.modules, 'MLflow is imported'\n"
        "print(background._process._process.pid)"
    )
    environment = os.environ | {"PROBEFLOW_MLRUNS": str(tmp_path)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not alive(int(done.stdout))
