"""Opening MLflow's store: a local one, a server, and what is neither, which is one line within seconds."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from lib.errors import StorageError
from lib.places import Places
from lib.tracking import store
from lib.tracking.store import connect
from tests.wrong_servers import NOBODY, answering, wrong_server


@pytest.fixture
def at(tmp_path, where):
    """Places with another tracking address, for a while: MLflow's current store is global to the process."""
    yield lambda uri: Places(data=tmp_path, mlruns=tmp_path / "mlruns", tracking_uri=uri)
    connect(where)


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    mlruns = tmp_path / "file" / "mlruns"
    with pytest.raises(StorageError, match="is a file, not a folder"):
        connect(Places(data=tmp_path, mlruns=mlruns, tracking_uri=f"sqlite:///{mlruns / 'mlflow.db'}"))


def test_opening_a_store_leaves_the_environment_alone(where, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    connect(where)
    assert "MLFLOW_TRACKING_URI" not in os.environ
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    connect(where)
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://elsewhere"


def test_ctrl_c_ends_a_wait_although_polars_is_installed():
    code = (
        "import sys, threading\nimport lib.tracking.store\nassert 'polars' in sys.modules\n"
        "print('waits', flush=True)\nthreading.Event().wait()"
    )
    waiting = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with waiting:
        assert waiting.stdout.readline() == "waits\n"
        time.sleep(0.2)  # until it does
        waiting.send_signal(signal.SIGINT)
        try:
            assert "KeyboardInterrupt" in waiting.communicate(timeout=10)[1]
        finally:
            waiting.kill()
    assert waiting.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("nobody", r"does not answer \(.*Connection refused\); check MLFLOW_TRACKING_URI"),
        ("hanging", r"does not answer \(.*timed out.*\); check MLFLOW_TRACKING_URI"),
        ("page", r"does not answer \(.*not in a valid JSON format.*Welcome.*\); check MLFLOW_TRACKING_URI"),
        ("401", "refuses this user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("403", "refuses this user"),
        ("404", r"does not answer \(.*404.*\); check MLFLOW_TRACKING_URI"),
        ("500", r"does not answer \(.*500.*\); check MLFLOW_TRACKING_URI"),
    ],
)
def test_a_server_that_does_not_do_is_one_line_within_seconds(how, problem, at, monkeypatch):
    monkeypatch.setitem(store._HASTE, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    before, started = dict(os.environ), time.monotonic()
    with wrong_server(how) as address, pytest.raises(StorageError, match=f"^MLflow at {address} {problem}") as told:
        connect(at(address))
    assert time.monotonic() - started < 5
    assert "\n" not in str(told.value)
    assert dict(os.environ) == before


def test_who_says_how_often_to_ask_is_asked_so_often(at, monkeypatch):
    asked = []
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with answering(503, told=asked.append) as address, pytest.raises(StorageError, match="503"):
        connect(at(address))
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("http://:nothing", "MLflow at http://:nothing does not answer"),
        ("htp://host", "MLflow at htp://host does not answer .*unsupported URI"),
        ("mysql+absent://host/db", "MLflow at mysql.absent://host/db does not answer|needs the package"),
    ],
)
def test_an_address_that_is_none_is_one_line(at, uri, problem):
    with pytest.raises(StorageError, match=problem) as told:
        connect(at(uri))
    assert "\n" not in str(told.value)


def test_two_processes_may_make_a_store_at_once(tmp_path):
    script = (
        "import sys; from pathlib import Path; from lib.places import Places; from lib.tracking.store import connect\n"
        "print('in', flush=True); sys.stdin.readline(); here = Path(sys.argv[1])\n"
        "connect(Places(data=here, mlruns=here, tracking_uri=f'sqlite:///{here / \"mlflow.db\"}'))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, tmp_path / "new"]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) for _ in range(2)]
    assert [each.stdout.readline() for each in both] == [b"in\n"] * 2  # MLflow is imported
    for each in both:
        each.stdin.write(b"\n")
        each.stdin.flush()
    for each in both:
        each.communicate(timeout=240)
    assert [each.returncode for each in both] == [0, 0]


@pytest.mark.parametrize("what", ["text", "folder", "another program's"])
def test_a_file_that_is_no_store_of_mlflow_is_named_at_once(at, tmp_path, what):
    file = tmp_path / "mlruns" / "mlflow.db"
    file.parent.mkdir()
    if what == "folder":
        file.mkdir()
    elif what == "text":
        file.write_text("no database " * 100)
    else:
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE runs (id INTEGER)")
        database.close()
    with pytest.raises(StorageError, match=f"^MLflow's store .*{file} cannot be "):
        connect(at(f"sqlite:///{file}"))


def test_artifacts_at_s3_need_their_package_from_the_beginning(at, monkeypatch):
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    found = '{"experiments": [{"experiment_id": "0", "name": "Default", "artifact_location": "s3://bucket/x"}]}'
    with answering(200, found, "application/json") as address:
        with pytest.raises(
            StorageError, match=r"artifacts at s3://bucket/x, which needs the package boto3: pip install"
        ):
            connect(at(address))
        monkeypatch.undo()
        assert connect(at(address)).uri == address


def test_no_password_of_an_address_is_shown(at):
    with pytest.raises(StorageError, match="does not answer") as told:
        connect(at(NOBODY.replace("://", "://me:secret@")))
    assert "secret" not in str(told.value)


def test_a_store_that_a_newer_mlflow_made_is_told_in_a_line(at, tmp_path):
    """As it is after a downgrade: its schema has a revision that this MLflow does not know."""
    made, newer = tmp_path / "made.db", tmp_path / "newer.db"
    connect(at(f"sqlite:///{made}"))
    shutil.copy(made, newer)
    with closing(sqlite3.connect(newer)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'fffffffffff9'")
    with pytest.raises(StorageError, match=r"MLflow's store sqlite:///.*/newer\.db cannot be used \(.*fffffffffff9"):
        connect(at(f"sqlite:///{newer}"))
