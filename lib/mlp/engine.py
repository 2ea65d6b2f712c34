"""Where and by what the programs of a call run: NumPy or torch on the cores of the CPU, side by side, or torch on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from lib.errors import ConfigError
from lib.machine import all_cores, cores, one_blas_thread
from lib.mlp.grouping import WIDE, WORTHWHILE, Group, operations
from lib.mlp.lanes import Lane, LaneProgram, lanes_with
from lib.mlp.layout import Layout
from lib.mlp.numpy_program import NumpyProgram
from lib.mlp.stacked import Backend, Rows, StackedProgram
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial

Result = TypeVar("Result")


class Engine:
    """Makes programs and runs them: on the CPU `lanes` at once, each on a core of its own; on a GPU, which one fills, in turn.

    Threads of `pool` run them: NumPy's in `processes`, one a lane, torch's themselves. `memory` is the number of bytes that
    programs may take together, if it is limited.
    """

    def __init__(
        self,
        backend: Backend,
        device: str,
        memory: int | None,
        rows: Rows[Any],
        pool: ThreadPoolExecutor | None = None,
        lanes: int = 1,
        processes: Sequence[Lane] = (),
    ) -> None:
        self.memory = memory
        self._backend, self._device, self._rows = backend, device, rows
        self._pool, self._lanes, self._processes = pool, lanes, processes

    def program(self, layout: Layout, lane: int) -> StackedProgram:
        """A program with parameters of zero, in a lane."""
        if self._processes:
            return LaneProgram(self._processes[lane], layout)
        if self._backend == "numpy":
            return NumpyProgram(layout, self._rows)
        from lib.mlp.torch_program import TorchProgram

        return TorchProgram(layout, self._rows)

    def spread(self, costs: Sequence[int]) -> list[int]:
        """The lane of each program, by what it costs: the dearest first, each to the lane that has least to do.

        >>> Engine("numpy", "cpu", None, None, lanes=2).spread([1, 5, 3, 3])
        [0, 0, 1, 1]
        """
        loads, found = [0] * self._lanes, [0] * len(costs)
        for place in sorted(range(len(costs)), key=lambda place: -costs[place]):
            found[place] = min(range(self._lanes), key=loads.__getitem__)
            loads[found[place]] += costs[place]
        return found

    def side_by_side(
        self, work: Callable[[int], Result], items: Sequence[int], lanes: Sequence[int]
    ) -> Iterator[Result]:
        """`work` of each item, in their order; those of different lanes at once. `lanes` has the lane of every item."""
        if self._pool is None:
            return map(work, items)
        of_lane: dict[int, list[int]] = {}
        for item in items:
            of_lane.setdefault(lanes[item], []).append(item)
        done = self._pool.map(lambda several: [(item, work(item)) for item in several], of_lane.values())
        found = dict(chain.from_iterable(done))
        return (found[item] for item in items)


def lanes_on(device: str, backend: Backend, trials: Sequence[Trial], rows: int, features: int, classes: int) -> int:
    """Programs that run at once: one on each core of the CPU, if there is enough to do for processes; one on a GPU.

    It depends on the work alone, never on whether processes are there already: how trials are grouped decides last bits.
    """
    if device != "cpu":
        return 1
    if backend == "numpy":
        work = sum(trial.epochs * operations(trial, rows, features, classes) for trial in trials)
        return cores() if work > _WORTH_PROCESSES else 1
    return cores()


_WORTH_PROCESSES = 10**10
"""Floating-point operations of a call from which processes pay: a core's tenths of a second, as long as they take to start."""
_SWITCH_SECONDS = 5e-4


@contextmanager
def make_engine(
    device: str,
    backend: Backend,
    memory: int | None,
    lanes: int,
    groups: Sequence[Group],
    data: TrialData,
    dtype: np.dtype[Any],
) -> Iterator[Engine]:
    """An engine for the block that runs the programs of `groups` on `data` (see `lib.mlp.fused.train_many` for the rest).

    Raises ConfigError when NumPy is asked to compute on another device than the CPU.
    """
    if device != "cpu" and backend == "numpy":
        raise ConfigError(f"backend numpy computes on the cpu only, not on {device!r}; leave backend or device out")
    rows = _rows(data, dtype, backend, device)
    if device != "cpu":
        yield Engine(backend, device, memory, rows)
        return
    lanes = min(lanes, len(groups))
    with ExitStack() as stack:
        stack.enter_context(all_cores())
        in_processes = backend == "numpy" and lanes > 1  # which have one thread of BLAS each
        if not in_processes and (len(groups) > 1 or groups[0].operations <= WORTHWHILE):
            # A lane keeps its core busy by itself: a BLAS that starts threads of its own in each would be in the way. And
            # small products gain nothing from a second core that they do not lose by going there and back.
            stack.enter_context(one_blas_thread())
            if backend == "torch":
                stack.enter_context(_one_torch_thread())
        # A thread that waits for the interpreter, among others of a call or with one that logs, is let in after this: at
        # Python's 5 ms it would sit out many steps.
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_SWITCH_SECONDS)
        if lanes == 1:
            yield Engine(backend, device, memory, rows)
            return
        pool = stack.enter_context(ThreadPoolExecutor(lanes, "sweep-lane"))
        processes: Sequence[Lane] = ()
        if in_processes:
            processes = stack.enter_context(lanes_with(lanes, rows))
        yield Engine(backend, device, memory, rows, pool, lanes, processes)


def _rows(data: TrialData, dtype: np.dtype[Any], backend: Backend, device: str) -> Rows[Any]:
    """The rows of `data` where programs want them."""
    X, X_validation = (np.ascontiguousarray(rows, dtype) for rows in (data.X_train, data.X_validation))
    y, y_validation = (np.ascontiguousarray(labels, np.int64) for labels in (data.y_train, data.y_validation))
    given: list[Any] = [X, y, X_validation, y_validation]
    if backend == "torch":
        import torch

        given = [torch.from_numpy(each).to(device) for each in given]
    return Rows(*given)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Torch computes with one thread in this thread, and in those that the block starts."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def backend_of(device: str, features: int, backend: Backend | None = None) -> Backend:
    """What computes on a device, unless it is said: torch on a GPU and for wide rows, else NumPy.

    It depends on nothing that differs between the parts of a sweep, so that a trial is trained alike in each.
    """
    return backend or ("numpy" if device == "cpu" and features < WIDE else "torch")
