"""Runs the stack's services until it is told to end: starts them in order, checks them, starts them again.

It is to the processes what a container engine is to containers: their `depends_on`, `healthcheck`, `restart`,
`stop_signal` and `stop_grace_period` mean here what they mean there. How it goes stands in `state.json`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.stack.placement import CHECKOUT, Placement, Stack
from flows.stack.postgres import DATA, Cluster, cluster_of
from flows.stack.processes import Identity, end, identity, kill, of_service
from lib.errors import ProbeflowError, StorageError
from lib.files import write_json

_TURN_SECONDS = 0.2
_LONGEST_PAUSE = 10.0
_SOUND_SECONDS = 10.0
"""A service that ran this long starts again without a pause; before that each pause is twice the one before."""

STARTING = " starting"
"""How a service's log marks where it was started."""

UP = {"healthy", "running", "done"}
"""States of a service that is as it should be."""


@dataclass
class Running:
    """A service and how it goes.

    Attributes
    ----------
    state : str
        waiting (for others), starting, healthy, running (it has no check), unhealthy, ended (to be started again),
        done (it was to do its work once), failed (it will not be started again), stopped.
    """

    placement: Placement
    cluster: Cluster | None
    state: str = "waiting"
    process: subprocess.Popen[bytes] | None = None
    first: Identity | None = None
    starts: int = 0
    status: int | None = None
    _pause: float = 1.0
    _due: float = 0.0
    _began: float = 0.0
    _check: subprocess.Popen[bytes] | None = None
    _next_check: float = 0.0
    _failures: int = 0
    _said: list[str] = field(default_factory=list)

    def processes(self) -> list[Identity]:
        """All its processes, whoever started them."""
        folder, _, _ = self.placement.environment["PROBEFLOW_STACK_SERVICE"].rpartition(":")
        working_in = self.cluster.data if self.cluster else None
        return of_service(Path(folder), self.placement.name, working_in)

    def tend(self, settled: bool) -> None:
        """Start it when it is due, look at it, check it when that is due."""
        if self.state in ("done", "failed", "stopped"):
            return
        if self.process is None:
            if time.monotonic() >= self._due:
                self._start()
        elif (status := self.process.poll()) is not None:
            self._ended(status, settled)
        else:
            self._examine()

    def _start(self) -> None:
        placement = self.placement
        placement.log.parent.mkdir(parents=True, exist_ok=True)
        for folder in placement.folders.values():
            if not folder.exists() and (self.cluster is None or folder != self.cluster.data):
                folder.mkdir(parents=True)
        account: dict[str, Any] = {"cwd": CHECKOUT}
        try:
            if self.cluster:
                self.cluster.prepare()
                placement = self.cluster.placed()
                account = self.cluster.account_arguments()
        except ProbeflowError as error:
            self.say(str(error))
            self.say(str(error), log=True)
            self.state, self.status = "failed", 1
            return
        with placement.log.open("ab") as log:
            log.write(f"--- {datetime.now():%Y-%m-%d %H:%M:%S}{STARTING}\n".encode())
            log.flush()
            process: subprocess.Popen[bytes] = subprocess.Popen(
                placement.command, env=placement.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, **account,
            )  # fmt: skip
        self.process, self.first = process, identity(process.pid)
        self.starts += 1
        self.state = "starting" if self.placement.check or self.placement.one_shot else "running"
        self._began = time.monotonic()
        self._failures, self._next_check = 0, self._began

    def _ended(self, status: int, settled: bool) -> None:
        self.process, self.status = None, status
        self._drop_check()
        kill(self.processes)
        policy = self.placement.service.restart
        if policy == "no" or (policy == "on-failure" and status == 0):
            self.state = "failed" if status else "done"
        elif not settled and self.starts == 1:
            self.state = "failed"  # a start that goes wrong is told at once, not tried for ever
        else:
            self.state = "ended"
            self._pause = (
                1.0 if time.monotonic() - self._began > _SOUND_SECONDS else min(2 * self._pause, _LONGEST_PAUSE)
            )
            self._due = time.monotonic() + self._pause
            self.say(f"{self.placement.name} ended by itself (status {status}); starting it again in {self._pause:g} s")
        self.say(f"--- ended with status {status}", log=True)

    def _examine(self) -> None:
        placement, now = self.placement, time.monotonic()
        check = placement.service.healthcheck
        if placement.check is None or check is None:
            return
        if self._check is not None:
            status = self._check.poll()
            if status is None and now < self._next_check + check.timeout:
                return
            self._drop_check()
            self._next_check = now + (check.start_interval if self.state == "starting" else check.interval)
            if status == 0:
                self._failures, self.state = 0, "healthy"
            else:
                self._failures += 1
                if self._failures >= check.retries and now > self._began + check.start_period:
                    self.state = "unhealthy"
        elif now >= self._next_check:
            self._next_check = now
            self._check = subprocess.Popen(
                placement.check if self.cluster is None else self.cluster.placed().check or [],
                env=placement.environment, cwd=CHECKOUT, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def _drop_check(self) -> None:
        if self._check is not None and self._check.poll() is None:
            self._check.kill()
            self._check.wait()
        self._check = None

    def stop(self) -> None:
        """End it as its file says; what does not end in time is killed."""
        self._drop_check()
        first = [self.first] if self.process is not None and self.first is not None else []
        number = signal.Signals[self.placement.service.stop_signal]
        if self.process is not None:
            asked = end(self.processes, first, number, self.placement.service.stop_grace_period)
            self.status = self.process.wait()
            self.process = None
            if not asked:
                self.say(f"{self.placement.name} did not end within its grace period and was killed")
        if self.state not in ("done", "failed"):
            self.state = "stopped"

    def say(self, text: str, log: bool = False) -> None:
        """Into the supervisor's log, or the service's own."""
        if not log:
            sys.stdout.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")
            sys.stdout.flush()
            return
        with self.placement.log.open("ab") as own:
            own.write(f"{text}\n".encode())


class Supervisor:
    """All services of a stack, from the first start to the last stop."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.services = {
            name: Running(placement, cluster_of(placement) if DATA in placement.folders else None)
            for name, placement in stack.placements.items()
        }
        self.settled = False
        self.ending = False
        self._written: Any = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, or until a first start fails; all is ended then, and the volumes stay."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: setattr(self, "ending", True))
        failed = False
        try:
            while not self.ending and not failed:
                for running in self.services.values():
                    if running.state != "waiting" or self._may_start(running):
                        running.tend(self.settled)
                self.settled = self.settled or all(running.state in UP for running in self.services.values())
                failed = not self.settled and any(running.state == "failed" for running in self.services.values())
                self._write()
                time.sleep(_TURN_SECONDS)
        finally:
            self._stop_all()
        return 1 if failed else 0

    def _may_start(self, running: Running) -> bool:
        met = {
            "service_started": {"starting", "running", "healthy", "unhealthy", "done"},
            "service_healthy": {"healthy"},
            "service_completed_successfully": {"done"},
        }
        return all(
            self.services[name].state in met[dependency.condition]
            for name, dependency in running.placement.service.depends_on.items()
        )

    def _stop_all(self) -> None:
        left = dict(self.services)
        while left:
            needed = {name for running in left.values() for name in running.placement.service.depends_on}
            last = [running for name, running in left.items() if name not in needed]
            with ThreadPoolExecutor(len(last)) as threads:
                list(threads.map(Running.stop, last))
            left = {name: running for name, running in left.items() if running not in last}
            self._write()

    def _write(self) -> None:
        told = {
            "supervisor": identity(os.getpid()),
            "settled": self.settled,
            "ports": self.stack.ports,
            "services": {
                name: {
                    "state": running.state,
                    "process": running.first if running.process else None,
                    "starts": running.starts,
                    "status": running.status,
                }
                for name, running in self.services.items()
            },
        }
        if told != self._written:
            try:
                write_json(self.stack.state, told)
                self._written = told
            except StorageError as error:  # a full disk; the services may live through it, and this is tried again
                sys.stdout.write(f"{error}\n")


@contextmanager
def alone(stack: Stack) -> Iterator[bool]:
    """Hold the stack's lock for the block; false when a supervisor holds it. The kernel drops it however that ends."""
    stack.folder.mkdir(parents=True, exist_ok=True)
    with stack.lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
