"""What a machine gives a process: a container's share of the cores, where it has one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lib import machine


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 5),
        ("max 100000", 5),
        (None, 5),
    ],
)
def test_a_container_s_share_of_the_cores_is_all_that_is_used(limit, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5), raising=False)
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    if limit is not None:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert machine.cores() == cores


KNOWN_HERE = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
SUBNORMAL = np.full(1000, 1e-42, np.float32)


@pytest.mark.skipif(
    not KNOWN_HERE, reason="where the processor's flags are is known for Linux on x86-64 and aarch64 alone"
)
def test_subnormals_are_zero_within_the_block_and_in_its_thread_alone():
    elsewhere, started, ended = [], threading.Event(), threading.Event()

    def other():
        started.set()
        ended.wait()
        elsewhere.append((SUBNORMAL * np.float32(1)).max())

    thread = threading.Thread(target=other)
    thread.start()
    started.wait()
    with machine.subnormals_as_zero():
        assert (SUBNORMAL * np.float32(1)).max() == 0  # as what comes in
        assert (np.full(1000, 1e-38, np.float32) * np.float32(0.1)).max() == 0  # as what comes out
        assert np.float32(1.5e-38) * np.float32(1) > 0
        ended.set()
        thread.join()
        with pytest.raises(ZeroDivisionError), machine.subnormals_as_zero():
            raise ZeroDivisionError
        assert (SUBNORMAL * np.float32(1)).max() == 0
    assert (SUBNORMAL * np.float32(1)).max() == SUBNORMAL[0]
    assert elsewhere == [SUBNORMAL[0]]


def test_where_the_flags_are_not_known_nothing_is_set(monkeypatch):
    monkeypatch.setattr(machine, "_flags_of_environment", lambda: None)
    with machine.subnormals_as_zero():
        assert (SUBNORMAL * np.float32(1)).max() == SUBNORMAL[0]


def test_the_collector_looks_rarely_and_not_at_the_exit():
    shown = "import atexit, gc; atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 1000))"
    collecting = "from lib.machine import collect_rarely; collect_rarely(); collect_rarely()"
    done = subprocess.run([sys.executable, "-c", f"{shown}\n{collecting}"], capture_output=True, text=True, check=True)
    assert done.stdout == "20000 True\n"


class TestInTurn:
    @pytest.fixture
    def pool(self):
        with ThreadPoolExecutor(2) as pool:
            yield pool

    def test_results_come_in_order_and_no_more_are_held_than_asked_for(self, pool):
        begun = []

        def items():
            for item in range(20):
                begun.append(item)
                yield item

        for position, result in enumerate(machine.in_turn(pool, lambda item: item * 10, items(), 3)):
            assert result == 10 * position
            assert len(begun) - position <= 4
        assert begun == list(range(20))

    def test_an_error_of_the_items_comes_after_what_was_made_before(self, pool):
        def items():
            yield from range(3)
            raise OSError("no more")

        results = machine.in_turn(pool, str, items(), 10)
        assert [next(results), next(results), next(results)] == ["0", "1", "2"]
        with pytest.raises(OSError, match="no more"):
            next(results)

    def test_an_error_of_the_function_ends_it(self, pool):
        results = machine.in_turn(pool, lambda item: 1 // item, [1, 0, 1], 10)
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []
