"""Where and by what the programs of a call run: NumPy or torch on the cores of the CPU, side by side, or torch on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np

from lib.errors import ConfigError
from lib.machine import all_cores, cores, one_blas_thread
from lib.mlp.grouping import WIDE, WORTHWHILE, Group
from lib.mlp.layout import Layout
from lib.mlp.numpy_program import NumpyProgram
from lib.mlp.stacked import Backend, Rows, StackedProgram
from lib.mlp.training import TrialData

Result = TypeVar("Result")


class Engine:
    """Makes programs and runs them: on the CPU `lanes` at once, each on a core of its own; on a GPU, which one fills, in turn.

    `memory` is the number of bytes they may take together, if it is limited.
    """

    def __init__(
        self, backend: Backend, device: str, memory: int | None, lanes: int = 1, pool: ThreadPoolExecutor | None = None
    ) -> None:
        self.memory = memory
        self._backend, self._device, self._lanes, self._pool = backend, device, lanes, pool

    def rows(self, data: TrialData, dtype: np.dtype[Any]) -> Rows[Any]:
        """The rows of `data` where programs want them."""
        X, X_validation = (np.ascontiguousarray(rows, dtype) for rows in (data.X_train, data.X_validation))
        y, y_validation = (np.ascontiguousarray(labels, np.int64) for labels in (data.y_train, data.y_validation))
        given: list[Any] = [X, y, X_validation, y_validation]
        if self._backend == "torch":
            import torch

            given = [torch.from_numpy(each).to(self._device) for each in given]
        return Rows(*given)

    def program(self, layout: Layout, rows: Rows[Any]) -> StackedProgram:
        """A program with parameters of zero."""
        if self._backend == "numpy":
            return NumpyProgram(layout, rows)
        from lib.mlp.torch_program import TorchProgram

        return TorchProgram(layout, rows)

    def side_by_side(self, work: Callable[[int], Result], items: Sequence[int]) -> Iterator[Result]:
        """`work` of each item, in their order; several at once where the engine can."""
        return self._pool.map(work, items) if self._pool is not None and self._lanes > 1 else map(work, items)


def lanes_on(device: str) -> int:
    """Programs that run at once: one on each core of the CPU, one on a GPU."""
    return cores() if device == "cpu" else 1


_SWITCH_SECONDS = 5e-4


@contextmanager
def make_engine(
    device: str, backend: Backend, memory: int | None, lanes: int, groups: Sequence[Group]
) -> Iterator[Engine]:
    """An engine for the block that runs the programs of `groups` (see `lib.mlp.fused.train_many` for the rest).

    Raises ConfigError when NumPy is asked to compute on another device than the CPU.
    """
    if device != "cpu":
        if backend == "numpy":
            raise ConfigError(f"backend numpy computes on the cpu only, not on {device!r}; leave backend or device out")
        yield Engine(backend, device, memory)
        return
    lanes = min(lanes, len(groups))
    large = len(groups) == 1 and groups[0].operations > WORTHWHILE
    with ExitStack() as stack:
        stack.enter_context(all_cores())
        if not large:
            # A lane keeps its core busy by itself: a BLAS that starts threads of its own in each would be in the way. And
            # small products gain nothing from a second core that they do not lose by going there and back.
            stack.enter_context(one_blas_thread())
            if backend == "torch":
                stack.enter_context(_one_torch_thread())
        if lanes > 1:
            # A lane that waits for the interpreter is let in after this; at Python's 5 ms it would sit out many steps.
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(_SWITCH_SECONDS)
        pool = stack.enter_context(ThreadPoolExecutor(lanes, "sweep-lane"))
        yield Engine(backend, device, memory, lanes, pool)


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
