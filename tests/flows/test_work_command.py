"""This machine as workers: one for each GPU, ended together, and started again when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import tasks.pool
from flows.work import gpus_here, work, workers_for
from lib.errors import ConfigError
from tests.conftest import REPOSITORY
from tests.processes import alive, wait_for

SUPERVISE = """
import os, sys
from flows.work import Worker, supervise
sys.exit(supervise([Worker(n, [sys.executable, "-c", sys.argv[2], sys.argv[1] + "/" + n], os.environ) for n in "ab"], 0.5))
"""
OBEDIENT = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


@pytest.fixture
def supervisor(tmp_path):
    """Start two workers a and b under supervision; each writes its process id to a file of its name."""
    started = []

    def start(program: str) -> subprocess.Popen[str]:
        # SIGINT is ignored, as in what a script starts with `&`
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", SUPERVISE, str(tmp_path), program]
        programs = tmp_path / "bin"  # no `ps`: the image has none
        programs.mkdir()
        (programs / "sh").symlink_to("/bin/sh")
        environment = os.environ | {"PATH": str(programs)}
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def ids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_workers_and_is_waited_for(supervisor, tmp_path, ending):
    process = supervisor(OBEDIENT)
    wait_for(lambda: ids(tmp_path / "a") and ids(tmp_path / "b"), 120)
    process.send_signal(ending)
    assert process.wait(120) == 0
    assert not any(alive(pid) for name in "ab" for pid in ids(tmp_path / name))


def test_a_worker_that_dies_is_reported_and_started_again_and_the_other_goes_on(supervisor, tmp_path):
    process = supervisor(OBEDIENT)
    wait_for(lambda: ids(tmp_path / "a") and ids(tmp_path / "b"), 120)
    os.kill(ids(tmp_path / "a")[0], signal.SIGKILL)
    wait_for(lambda: len(ids(tmp_path / "a")) == 2, 120)
    assert len(ids(tmp_path / "b")) == 1
    process.send_signal(signal.SIGTERM)
    assert "a: its worker ended by itself (status -9); starting it again in 0.5 s" in process.communicate()[0]


def test_a_second_signal_kills_workers_that_do_not_end(supervisor, tmp_path):
    process = supervisor(STUBBORN)
    wait_for(lambda: ids(tmp_path / "a") and ids(tmp_path / "b"), 120)
    process.send_signal(signal.SIGTERM)
    for line in process.stdout:
        if line.startswith("ending"):
            break
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not any(alive(pid) for name in "ab" for pid in ids(tmp_path / name))


@pytest.mark.parametrize(
    ("listed", "count", "gpus"),
    [(None, 0, []), (None, 2, ["0", "1"]), ("3, 1", 2, ["3", "1"]), ("GPU-a,-1,0", 1, ["GPU-a"]), ("", 0, [])],
)
def test_the_gpus_are_those_that_cuda_visible_devices_leaves(monkeypatch, listed, count, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert gpus_here() == gpus


def test_each_gpu_has_a_worker_that_sees_it_alone_and_takes_one_chunk_at_a_time(monkeypatch):
    monkeypatch.delenv("PREFECT_WORKER_QUERY_SECONDS", raising=False)
    workers = workers_for("gpu", ["3", "GPU-a"])
    assert [worker.environment["CUDA_VISIBLE_DEVICES"] for worker in workers] == ["3", "GPU-a"]
    assert {worker.environment["PREFECT_WORKER_QUERY_SECONDS"] for worker in workers} == {"2"}
    assert all("--pool gpu --limit 1" in " ".join(worker.command) for worker in workers)
    assert len({worker.command[-1] for worker in workers}) == 2  # one name would count as one worker
    (alone,) = workers_for("gpu", [])
    assert alone.environment.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_pool_whose_workers_are_no_processes_of_this_machine_is_refused(monkeypatch):
    monkeypatch.setattr(tasks.pool, "require_pool", lambda name: SimpleNamespace(type="kubernetes"))
    with pytest.raises(ConfigError, match="work pool 'gpu' is of type 'kubernetes'"):
        work("gpu")
