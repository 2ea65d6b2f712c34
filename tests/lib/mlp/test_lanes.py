"""Programs in processes of their own: the same bits, and processes that end with the one that began them."""

import doctest
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lib.errors import ConfigError, LostProcessError
from lib.machine import one_blas_thread
from lib.mlp import engine, lanes
from lib.mlp.fused import train_many
from lib.mlp.initialisation import row_orders, streams
from lib.mlp.lanes import Lane, LaneProgram, lanes_with
from lib.mlp.layout import Layout
from lib.mlp.numpy_program import NumpyProgram
from lib.mlp.stacked import Rows
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from tests.processes import alive

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X, watched = rng.standard_normal((301, 17)).astype(np.float32), rng.standard_normal((50, 17)).astype(np.float32)
    return Rows(X, rng.integers(0, 3, 301), watched, rng.integers(0, 3, 50))


@pytest.fixture
def lane(rows):
    with lanes_with(1, rows) as (found,):
        yield found


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_program_there_has_the_bits_of_one_here(rows, lane, optimizer):
    trials = [Trial(hidden=(units,), optimizer=optimizer, epochs=2, seed=seed) for units in (5, 70) for seed in (0, 1)]
    layout = Layout(trials, 17, 3)
    here, there = NumpyProgram(layout, rows), LaneProgram(lane, layout)
    for index in range(len(trials)):
        for program in (here, there):
            size = len(here.export([index], state=False)[0]["parameters"])
            program.load(index, {"parameters": np.random.default_rng(index).normal(0, 0.1, size).astype(np.float32)})
    orders = {seed: row_orders(len(rows.X), streams(seed)[1]) for seed in (0, 1)}
    with one_blas_thread():
        for _ in range(2):
            of_epoch = {seed: next(each) for seed, each in orders.items()}
            assert here.run_epoch(of_epoch) == there.run_epoch(of_epoch)
    assert there.steps == here.steps > 0
    for index in range(len(trials)):
        [ours], [theirs] = here.export([index], state=True), there.export([index], state=True)
        assert {name: each.tobytes() for name, each in ours.items()} == {
            n: each.tobytes() for n, each in theirs.items()
        }


def _rows_in(lane):
    """The file in memory that a lane has its rows in: its inode, and what the lane may do with it."""
    maps = Path(f"/proc/{lane._process.pid}/maps").read_text().splitlines()
    return [(line.split()[4], line.split()[1]) for line in maps if "probeflow-rows" in line]


def test_all_lanes_see_one_copy_of_the_rows(rows):
    with lanes_with(2, rows) as several:
        ((_, rights),) = {file for each in several for file in _rows_in(each)}
        assert rights == "r--s"
    assert not any(map(_rows_in, several)), "an idle lane keeps none"


def test_rows_are_shared_and_cannot_be_written(rows, lane):
    program = LaneProgram(lane, Layout([Trial(hidden=(), epochs=1)], 17, 3))
    order = {0: np.arange(len(rows.X))}
    before = program.run_epoch(order)["validation_loss"]
    assert np.isfinite(before).all()
    assert rows.X.flags.writeable, "those of this process are its own"


def test_lanes_live_on_from_call_to_call_and_a_dead_one_is_replaced(rows):
    with lanes_with(2, rows) as first:
        assert [LaneProgram(each, Layout([Trial(epochs=1)], 17, 3)).steps for each in first] == [0, 0]
        processes = {each._process.pid for each in first}
    with lanes_with(2, rows) as again:
        assert {each._process.pid for each in again} == processes
    os.kill(again[0]._process.pid, signal.SIGKILL)
    again[0]._process.wait(10)
    with lanes_with(2, rows) as later:
        assert all(each.lives() for each in later)
        assert again[0] not in later


def test_what_a_program_raises_there_is_raised_here(lane):
    with pytest.raises(KeyError):
        lane.call("steps", 99)
    assert lane.lives()


def test_a_killed_lane_is_an_error_that_says_how_it_ended_and_what_to_do(rows):
    def killed():
        with lanes_with(1, rows) as (lane,):
            os.kill(lane._process.pid, signal.SIGKILL)
            LaneProgram(lane, Layout([Trial(epochs=1)], 17, 3))

    with pytest.raises(LostProcessError, match=r"killed by signal 9.*Run it again"):
        killed()


def test_what_fails_there_while_it_takes_the_rows_is_raised_here(lane):
    with Path(__file__).open("rb") as file, pytest.raises(TypeError, match="data type 'nothing' not understood"):
        lane.hold(file.fileno(), [("nothing", (1,), 0)] * 4)
    assert lane.lives()


def test_a_call_that_was_interrupted_ends_its_lanes_however_long_their_epoch(rows):
    def interrupted(seen):
        with ThreadPoolExecutor(1) as pool, lanes_with(1, rows) as (lane,):
            program = LaneProgram(lane, Layout([Trial(epochs=1)], 17, 3))
            os.kill(lane._process.pid, signal.SIGSTOP)
            seen += [lane, pool.submit(program.run_epoch, {0: np.arange(len(rows.X))}), time.monotonic()]
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(seen)
    lane, epoch, began = seen
    assert not lane.lives()
    assert time.monotonic() - began < 4
    with pytest.raises(LostProcessError, match="killed by signal 9"):
        epoch.result()


def test_ctrl_c_of_a_terminal_does_not_reach_a_lane():
    lane = Lane()
    assert os.getpgid(lane._process.pid) != os.getpgid(0)
    lane.end()


def test_a_forked_child_leaves_the_lanes_to_its_parent(rows):
    with lanes_with(1, rows):
        pass
    child = os.fork()
    if child == 0:
        os._exit(len(lanes._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lanes._idle


def test_lanes_start_after_a_change_of_folder():
    here = "sys.path = ['', *(each for each in sys.path if each != os.getcwd())]"
    code = f"import os, sys; {here}; from lib.mlp.lanes import Lane; os.chdir('/'); print(Lane().call('clear'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_lanes_start_where_standard_streams_are_closed(closed):
    code = "import os; from lib.mlp.lanes import Lane; assert Lane().call('clear') is None; os._exit(7)"
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, cwd=REPOSITORY).returncode == 7


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_lanes_end_with_the_process_that_began_them(how):
    code = (
        "import numpy as np, time\n"
        "from lib.mlp.lanes import lanes_with\nfrom lib.mlp.stacked import Rows\n"
        "rows = Rows(np.zeros((9, 2), np.float32), np.zeros(9, np.int64), np.zeros((0, 2), np.float32), np.zeros(0, np.int64))\n"
        "with lanes_with(2, rows) as lanes:\n"
        "    print(*(each._process.pid for each in lanes), flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        processes = list(map(int, parent.stdout.readline().split()))
        assert len(processes) == 2
        assert all(map(alive, processes))
        parent.send_signal(how)
        parent.wait(30)
    end = time.monotonic() + 30
    while any(map(alive, processes)):
        assert time.monotonic() < end, "a lane outlives its parent"
        time.sleep(0.1)


def test_a_module_beside_the_data_is_not_taken_for_one_of_ours(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(tmp_path)
    lane = Lane()
    assert lane.call("clear") is None
    lane.end()


class TestLanesOn:
    def test_little_work_has_one_lane_and_much_has_all_cores(self, monkeypatch):
        monkeypatch.setattr(engine, "cores", lambda: 3)
        of = [[Trial(hidden=(64,), epochs=epochs)] for epochs in (1, 1000)]
        assert [engine.lanes_on("cpu", "numpy", trials, 9000, 128, 10) for trials in of] == [1, 3]
        assert engine.lanes_on("cpu", "torch", of[0], 10, 9216, 2) == 3
        assert engine.lanes_on("cuda", "torch", of[1], 9000, 128, 10) == 1

    def test_programs_go_to_the_lane_that_has_least_to_do(self):
        assert doctest.testmod(engine).failed == 0

    def test_numpy_on_a_gpu_is_refused(self, rows):
        data = TrialData(rows.X, rows.y, rows.X_validation, rows.y_validation, 3)
        with pytest.raises(ConfigError, match="backend numpy computes on the cpu only"):
            train_many([Trial(epochs=1)], data, backend="numpy", device="cuda:0")
