"""Lanes: processes of this one's own in which NumPy's programs train, each on a core of its own.

Threads do not do for these: a step of small networks takes as long in the interpreter as in its products, and threads share
one interpreter.
"""

from __future__ import annotations

import atexit
import mmap
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import reduction
from typing import Any

import numpy as np
import numpy.typing as npt

from lib import processes
from lib.mlp.layout import Layout
from lib.mlp.numpy_program import NumpyProgram
from lib.mlp.stacked import Rows
from lib.mlp.trial import Trial
from lib.processes import OwnProcess, Server

Array = npt.NDArray[Any]

_ALIGNED = 64
"""Bytes: where an array may begin, so that vector instructions load whole lines of a cache."""

_Place = tuple[str, tuple[int, ...], int]
"""Of an array in a file: dtype, shape, and where it begins."""

_idle: list[Lane] = []
_guard = threading.Lock()


class Lane(OwnProcess):
    """A process that holds programs and trains them. One thread at a time may call it."""

    def __init__(self) -> None:
        # One thread of BLAS, which reads this as it is loaded: a core each, and the same bits on every machine.
        alone = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        super().__init__(__name__, "trained networks", alone)

    def hold(self, descriptor: int, places: Sequence[_Place]) -> None:
        """Let the lane see the rows of a file in memory (see `_shared`)."""
        self._tell("hold", places)
        with self._noticing():
            reduction.send_handle(self._connection, descriptor, self._process.pid)
        self._answer()


class LaneProgram:
    """A program in a lane (see `lib.mlp.stacked.StackedProgram`)."""

    def __init__(self, lane: Lane, layout: Layout) -> None:
        self._lane, self._seeds = lane, layout.seeds
        self._number: int = lane.call("make", layout.trials, layout.inputs, layout.classes)

    @property
    def steps(self) -> int:
        return int(self._lane.call("steps", self._number))

    @steps.setter
    def steps(self, steps: int) -> None:
        self._lane.call("set_steps", self._number, steps)

    def run_epoch(self, orders: Mapping[int, npt.NDArray[np.int64]]) -> dict[str, list[float]]:
        figures: dict[str, list[float]] = self._ask("run_epoch", {seed: orders[seed] for seed in self._seeds})
        return figures

    def draw(self, indices: Sequence[int]) -> None:
        self._ask("draw", indices)

    def export(self, indices: Sequence[int], state: bool) -> list[dict[str, npt.NDArray[np.floating]]]:
        vectors: list[dict[str, npt.NDArray[np.floating]]] = self._ask("export", indices, state)
        return vectors

    def load(self, index: int, vectors: Mapping[str, npt.NDArray[np.floating]]) -> None:
        self._ask("load", index, dict(vectors))

    def close(self) -> None:
        """Free what it takes over there."""
        self._lane.call("close", self._number)

    def _ask(self, method: str, *arguments: Any) -> Any:
        return self._lane.call("ask", self._number, method, arguments)


@contextmanager
def lanes_with(count: int, rows: Rows[Array]) -> Iterator[list[Lane]]:
    """So many lanes for the block, which see the rows: one copy of these in memory, whatever their number."""
    with _guard:
        living = [lane for lane in _idle if lane.lives()]
        taken = living[:count]
        _idle[:] = living[count:]
    taken += [Lane() for _ in range(count - len(taken))]  # they start side by side
    try:
        with _shared((rows.X, rows.y, rows.X_validation, rows.y_validation)) as (descriptor, places):
            for lane in taken:
                lane.hold(descriptor, places)
        yield taken
        for lane in taken:
            lane.call("clear")
    except BaseException:
        for lane in taken:  # in the middle of something, for all that is known
            lane.end()
        raise
    with _guard:
        _idle.extend(taken)


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


os.register_at_fork(after_in_child=_idle.clear)  # they answer the parent


@contextmanager
def _shared(arrays: Sequence[Array]) -> Iterator[tuple[int, list[_Place]]]:
    """A file in memory that holds the arrays: its descriptor, and the place of each."""
    places, end = [], 0
    for each in arrays:
        places.append((each.dtype.str, each.shape, end))
        end += -(-max(each.nbytes, 1) // _ALIGNED) * _ALIGNED
    with _file_in_memory() as file:
        for each, (_, _, start) in zip(arrays, places, strict=True):
            file.seek(start)
            file.write(np.ascontiguousarray(each).reshape(-1).view(np.uint8).data)
        file.truncate(end)
        file.flush()
        yield file.fileno(), places


def _file_in_memory() -> Any:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("probeflow-rows"), "wb")
    return tempfile.TemporaryFile()


class _Programs(Server):
    """What a lane holds, and answers to calls."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: Rows[Array] | None = None
        self._programs: dict[int, NumpyProgram] = {}
        self._made = 0

    def hold(self, places: Sequence[_Place]) -> None:
        descriptor = reduction.recv_handle(self.connection)
        memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        os.close(descriptor)
        self._rows = Rows(*(np.ndarray(shape, dtype, memory, offset=start) for dtype, shape, start in places))

    def make(self, trials: Sequence[Trial], inputs: int, classes: int) -> int:
        assert self._rows is not None
        self._made += 1
        self._programs[self._made] = NumpyProgram(Layout(trials, inputs, classes), self._rows)
        return self._made

    def steps(self, number: int) -> int:
        return self._programs[number].steps

    def set_steps(self, number: int, steps: int) -> None:
        self._programs[number].steps = steps

    def ask(self, number: int, method: str, arguments: tuple[Any, ...]) -> Any:
        """What a method of a program returns."""
        return getattr(self._programs[number], method)(*arguments)

    def close(self, number: int) -> None:
        del self._programs[number]

    def clear(self) -> None:
        self._programs.clear()
        self._rows = None


def serve() -> None:
    """A lane's own loop."""
    processes.serve(_Programs())
