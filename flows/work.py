"""This machine as workers of a pool: one for each of its GPUs, or one without; started again when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from flows.health import worker_name
from lib.errors import ConfigError

_RESTART_SECONDS = 10.0
"""Pause before a worker that died is started again: whatever ended it may end it again."""

_END_SECONDS = 30.0
"""How long a worker may take to end when asked to."""

_RUN_VARIABLE = b"PREFECT__FLOW_RUN_ID="


@dataclass
class Worker:
    """A process that is to run until it is told to end."""

    title: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    due: float = field(default=0.0, init=False)

    def tend(self, pause: float) -> None:
        """Report the process if it died, and start it when it is due."""
        if self.process is not None and (status := self.process.poll()) is not None:
            _say(f"{self.title}: its worker ended by itself (status {status}); starting it again in {pause:g} s")
            self.process, self.due = None, time.monotonic() + pause
        if self.process is None and time.monotonic() >= self.due:
            # A session of its own: Ctrl-C reaches this process alone, which then ends the workers in order.
            self.process = subprocess.Popen(self.command, env=self.environment, start_new_session=True)
            _say(f"{self.title}: worker started (process {self.process.pid})")


def work(pool: str, limit: int | None = None) -> int:
    """Take runs of `pool` until Ctrl-C or SIGTERM: a worker for each GPU that this process may use.

    `limit`: one worker that runs so many at once and sees no GPU, for a pool of pipelines, which plan and wait.

    Raises ConfigError without a Prefect server or the pool, when the pool is not for processes on this machine, or when
    the limit is not a positive number.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit}: a worker must be let run one at least; give 1 or more")
    from tasks.pool import require_pool

    found = require_pool(pool)
    if found.type != "process":
        raise ConfigError(
            f"work pool {pool!r} is of type {found.type!r}, and this command starts workers of type 'process'; "
            f"start its own with `prefect worker start --pool {pool}`, or name another pool"
        )
    if limit is not None:
        _say(f"work pool {pool}: one worker, {limit} run(s) at once, on the CPU")
        # None of them sees a GPU: those belong to the chunks.
        return supervise([_worker(pool, limit, "CPU", "cpu", {"CUDA_VISIBLE_DEVICES": ""})])
    gpus = gpus_here()
    _say(
        f"work pool {pool}: {len(gpus)} GPU(s), one worker for each"
        if gpus
        else f"work pool {pool}: PyTorch sees no GPU here (driver? CUDA_VISIBLE_DEVICES?); one worker computes on the CPU"
    )
    return supervise(workers_for(pool, gpus))


def gpus_here() -> list[str]:
    """The GPUs this process may use, each as CUDA_VISIBLE_DEVICES names it: what that variable lists, else all."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if listed is None else [name.strip() for name in listed.split(",")]
    return names[:count]  # CUDA stops reading the list at the first name that it does not know


def workers_for(pool: str, gpus: Sequence[str]) -> list[Worker]:
    """A worker that sees one GPU alone for each of `gpus`, or one as it is."""
    places = [(f"GPU {gpu}", f"gpu {gpu}", {"CUDA_VISIBLE_DEVICES": gpu}) for gpu in gpus] or [("CPU", "cpu", {})]
    return [_worker(pool, 1, title, name, own) for title, name, own in places]


def _worker(pool: str, limit: int, title: str, name: str, own: Mapping[str, str]) -> Worker:
    return Worker(
        title,
        # The name is kept when a worker is started again, so that the pool does not count the dead one too.
        [
            *(sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", str(limit)),
            *("--name", worker_name(name)),
        ],
        {"PREFECT_WORKER_QUERY_SECONDS": "2"} | os.environ | dict(own),
    )


def supervise(workers: Sequence[Worker], pause: float = _RESTART_SECONDS) -> int:
    """Keep `workers` running until SIGINT or SIGTERM, then end them all and wait; a second signal kills them."""
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Set even where SIGINT is ignored (a script's `&`): the workers would inherit that, and not stop on SIGTERM.
        signal.signal(number, lambda number, _: signals.append(number))
    try:
        while not signals:
            for worker in workers:
                worker.tend(pause)
            time.sleep(0.2)
        _say("ending the workers and what they run; once more (Ctrl-C) to kill them")
    finally:
        processes = [worker.process for worker in workers if worker.process is not None]
        interrupted = _flow_runs(processes)
        _end(processes, signals)
        _report(interrupted)
    return 0


def _flow_runs(processes: Sequence[subprocess.Popen[bytes]]) -> list[UUID]:
    """The flow runs that the workers run, as the environment of these processes tells (on Linux)."""
    found = set()
    for pid in _started_by(processes):
        with suppress(OSError):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            found |= {each.partition(b"=")[2] for each in variables if each.startswith(_RUN_VARIABLE)}
    return [UUID(each.decode()) for each in sorted(found)]


def _report(interrupted: Sequence[UUID]) -> None:
    """Tell the server that these runs have lost their process, which Prefect's worker does not: nobody waits for silence."""
    if not interrupted:
        return
    from tasks.ends import crash_lost

    _say(f"{len(interrupted)} run(s) were under way; the server has them done again elsewhere")
    try:
        crash_lost(interrupted, "its worker was told to end")
    except Exception as error:  # the server is away: its watch over heartbeats finds them
        _say(f"the server could not be told ({type(error).__name__}); it notices by itself in two minutes")


def _end(processes: Sequence[subprocess.Popen[bytes]], signals: Sequence[int]) -> None:
    for process in processes:
        process.terminate()
    end, told = time.monotonic() + _END_SECONDS, len(signals)
    while any(process.poll() is None for process in processes):
        if time.monotonic() > end or len(signals) > told:
            for process in processes:
                if process.poll() is None:
                    _kill(process)
        time.sleep(0.1)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and what it runs, which Prefect starts in sessions of their own."""
    for pid in _started_by([process]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.kill()


def _started_by(processes: Sequence[subprocess.Popen[bytes]]) -> set[int]:
    """Ids of what the processes started, and of what that started."""
    parents = _parents()
    first = {process.pid for process in processes}
    found = set(first)
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - first


def _parents() -> dict[int, int]:
    """Which process started which: as Linux tells it, for slim images have no `ps`, else as `ps` does."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            found[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    if found:
        return found
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(child): int(parent) for child, parent in map(str.split, listing.splitlines())}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
