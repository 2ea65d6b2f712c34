"""The lock on a GPU, with made-up GPUs and real processes."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lib.locks import gpu_to_itself, gpu_uuid, lock_of
from lib.places import places
from tests.processes import REPOSITORY, wait_for

HOLD = """
import logging, sys, pathlib
from lib.locks import lock_of

logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
with lock_of("fake", pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


TAKEN = "GPU fake is taken by another chunk on this machine"


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the GPU "fake", once it has it, until its input is closed or it is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def holder(tmp_path):
    with hold(tmp_path) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("end", ["by itself", "killed"])
def test_a_gpu_is_waited_for_until_the_process_that_holds_it_ends(holder, tmp_path, caplog, end):
    caplog.set_level(logging.INFO)
    got = threading.Event()

    def take():
        with lock_of("fake", tmp_path):
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    wait_for(lambda: TAKEN in caplog.text)
    assert not got.is_set()
    if end == "killed":
        holder.kill()
    else:
        holder.stdin.close()
    waiting.join(60)
    assert got.is_set()


def test_a_chunk_holds_its_gpu_in_the_folder_that_probeflow_locks_names(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="fake"))
    shared = tmp_path / "data" / "locks"
    with gpu_to_itself("auto", places({"PROBEFLOW_LOCKS": str(shared)}).locks):
        process = hold(shared)
        assert process.stdout.readline().startswith(TAKEN)
    assert process.communicate("\n")[0].splitlines() == ["held"]


def test_another_gpu_of_the_machine_is_free_meanwhile(holder, tmp_path):
    with lock_of("other", tmp_path):
        assert holder.poll() is None


def test_a_gpu_is_known_by_its_uuid_and_a_cpu_is_not_held(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"uuid-{index}"))
    assert [gpu_uuid(device) for device in ("auto", "cuda", "cuda:1")] == ["uuid-0", "uuid-0", "uuid-1"]
    assert gpu_uuid("cpu") is gpu_uuid("cuda:2") is None
    with gpu_to_itself("cpu"), gpu_to_itself("cpu"):
        pass


def test_a_gpu_is_held_while_the_block_runs_and_no_longer(tmp_path):
    with lock_of("fake", tmp_path):
        process = hold(tmp_path)
        assert process.stdout.readline().startswith(TAKEN)
        assert process.poll() is None
    assert process.communicate("\n")[0].splitlines() == ["held"]
