"""What this machine gives a process, and which of its processes live."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import platform
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of control groups of version 2: microseconds of processors in so many of the clock."""


def cores() -> int:
    """Cores that this process may keep busy: those it may run on or, if that is less, its container's share of them."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, _QUOTA.read_text(encoding="ascii").split())
        return min(count, max(1, -(-quota // period)))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or one without a limit ("max 100000")
        return count


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_every_core = threading.RLock()


@contextmanager
def all_cores() -> Iterator[None]:
    """Hold the cores of this machine for the block.

    Two computations at once would only share them, and what is set for one (BLAS's threads, the interpreter's switching)
    is set for the whole process, so the second would undo it for the first.
    """
    with _every_core:
        yield


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products of matrices have the same bits wherever they are computed: the last ones depend on the number of threads."""
    with all_cores(), threadpool_limits(1, user_api="blas"):
        yield


RARELY = 20_000
"""Objects after which Python looks for garbage in cycles, instead of 700."""


def collect_rarely() -> None:
    """Have Python look for garbage in cycles `RARELY`, and not once more at the exit.

    Importing Prefect, MLflow and scikit-learn makes hundreds of thousands of objects, which all stay: a fifth of the time of
    these imports goes into looking at them again and again, and a second or more into a last look at the process's end.
    """
    gc.set_threshold(RARELY)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


_GIVING_WAY = 5
"""Of niceness: a third of the share of a processor that others get who want it as well."""
_AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Let this process have what others leave of the processors, and a third of a share where they leave nothing.

    Linux may share the processors between sessions first, each of which has a niceness of its own (sched(7), autogroups).
    """
    os.nice(_GIVING_WAY)
    with suppress(OSError):
        _AUTOGROUP.write_text(str(_GIVING_WAY), encoding="ascii")


_C = ctypes.CDLL(None)
_Environment = ctypes.c_uint32 * 16
"""C's floating-point environment, which takes no more on any processor."""


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Let this thread's processor take what lies below the smallest normal number (1.2e-38 in float32) for zero.

    Weights end there that a penalty shrinks for ever, and each operation on them takes many times as long as on others.

    The flags are in C's floating-point environment (`fegetenv`), whose layout is known here for Linux on x86-64 and aarch64;
    elsewhere nothing is set, and such networks train slowly.
    """
    flags = _flags_of_environment()
    if flags is None:
        yield
        return
    word, bits = flags
    before, environment = _Environment(), _Environment()
    _C.fegetenv(before)
    _C.fegetenv(environment)
    environment[word] |= bits
    _C.fesetenv(environment)
    try:
        yield
    finally:
        _C.fesetenv(before)


@cache
def _flags_of_environment() -> tuple[int, int] | None:
    """Which word of the environment holds the flags, and which bits they are; None where that is not known."""
    if sys.platform != "linux" or not hasattr(_C, "fesetenv"):
        return None
    # Of x86-64 flush-to-zero and denormals-are-zero in MXCSR, after 28 bytes of the x87's; of aarch64 flush-to-zero in FPCR.
    return {"x86_64": (7, 1 << 15 | 1 << 6), "aarch64": (0, 1 << 24)}.get(platform.machine())


def drawn_ahead(items: Iterable[_Item], count: int) -> Iterator[_Item]:
    """Items in order, each once so many that follow are drawn. An error in drawing one comes after those before it."""
    waiting: deque[_Item] = deque()
    rest, failed = iter(items), None
    while True:
        try:
            waiting.append(next(rest))
        except StopIteration:
            break
        except Exception as error:
            failed = error
            break
        if len(waiting) > count:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()
    if failed is not None:
        raise failed


def in_turn(
    pool: Executor, function: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int
) -> Iterator[_Result]:
    """What a function makes of each item, in order, while a pool computes so many that follow; no more are held.

    An error of `items` comes after what is made of those before.
    """
    for future in drawn_ahead((pool.submit(function, item) for item in items), ahead):
        yield future.result()


def from_home(path: str | Path) -> Path:
    """The path with `~` and `~user` as their home folders; where there is none, as it is, which is then not found."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's raises for a home of nobody


def this_process() -> str:
    """A name of this process among those of all machines, of letters, digits and "-".

    Containers may share a host's name, but each numbers its processes anew: the space of numbers is part of the name.
    """
    host = "".join(letter if letter.isalnum() else "-" for letter in platform.node())
    numbers = Path("/proc/self/ns/pid")
    space = numbers.stat().st_ino if numbers.exists() else 0
    return f"{host}-{space}-{os.getpid()}"


def lives(process: str) -> bool | None:
    """Whether the process that `this_process` named so lives; None when it is of another machine and nothing is known."""
    host, separator, _ = this_process().rpartition("-")
    if not process.startswith(host + separator):
        return None
    try:
        os.kill(int(process.removeprefix(host + separator)), 0)
    except ValueError:
        return None
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
