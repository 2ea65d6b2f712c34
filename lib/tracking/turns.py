"""One writer at a time for what is shown in MLflow under one key, among all processes that share the store.

MLflow knows no unique key and no lock, and two that look for a run, find none, and make it, make two. So they take turns by
Lamport's bakery algorithm (Comm. ACM 17(8), 1974), whose only need is a place for each that all can read: tags of the
experiment, which are gone when the turn is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lib.machine import lives, this_process

_TAG = "probeflow.turn"
_CHOOSING = 0
"""In place of a ticket, while it is being drawn; tickets begin at 1."""

_BEAT_SECONDS = 10.0
_SILENCE_SECONDS = 60.0
"""After so long without a beat, one counts as dead."""

_AWAY_SECONDS = 30.0
"""When the store was silent for so long between two looks, it was away, and no beat of anybody could come through."""

_RETURN_SECONDS = 120.0
"""How long after that one's next beat may take: MLflow's client waits longer from attempt to attempt (see the stack)."""

_POLL_SECONDS = 0.5
_logger = logging.getLogger(__name__)


@contextmanager
def turn(client: MlflowClient, experiment_id: str, key: str) -> Iterator[None]:
    """Wait until no other has the turn for `key` in this experiment, and hold it for the block.

    The turn of a process that died passes on: at once if it was of this machine, else after a minute without a beat.
    """
    queue = _Queue(client, experiment_id, key)
    queue.join()
    beating = threading.Thread(target=queue.beat, name="mlflow-turn", daemon=True)
    beating.start()
    try:
        queue.wait()
        yield
    finally:
        queue.done.set()
        beating.join()
        queue.leave()


class _Queue:
    """This process among all who wait for the turn of one key."""

    def __init__(self, client: MlflowClient, experiment_id: str, key: str) -> None:
        self._client = client
        self._experiment = experiment_id
        self._prefix = f"{_TAG}.{key[:32]}."
        self._name = uuid4().hex[:16]
        self._ticket = _CHOOSING
        self._beats = 0
        self._seen: dict[str, tuple[str, float]] = {}
        self._looked = time.monotonic()
        self._patience_until = 0.0
        self.done = threading.Event()

    def join(self) -> None:
        """Draw a ticket that is higher than all that are out."""
        self._show()
        self._ticket = 1 + max((ticket for _, ticket in self._others().values()), default=0)
        self._show()

    def wait(self) -> None:
        """Wait for all with a lower ticket, and for those who are drawing one that may be."""
        told = False
        while ahead := [
            process
            for name, (process, ticket) in self._others().items()
            if ticket == _CHOOSING or (ticket, name) < (self._ticket, self._name)
        ]:
            if not told:
                _logger.info("MLflow: waiting for %s, which logs the same", ", ".join(ahead))
                told = True
            time.sleep(_POLL_SECONDS)

    def beat(self) -> None:
        """Show that this process lives, until it is done."""
        while not self.done.wait(_BEAT_SECONDS):
            self._beats += 1
            with suppress(MlflowException):  # a server that is away for a moment is not the end
                self._show()

    def leave(self) -> None:
        self._remove(self._name)

    def _show(self) -> None:
        value = f"{this_process()} {self._ticket} {self._beats}"
        self._client.set_experiment_tag(self._experiment, self._prefix + self._name, value)

    def _remove(self, name: str) -> None:
        with suppress(MlflowException):  # removed by somebody who took this process for dead
            self._client.delete_experiment_tag(self._experiment, self._prefix + name)

    def _others(self) -> dict[str, tuple[str, int]]:
        """Process and ticket of each other that lives; those that do not are removed."""
        tags = self._client.get_experiment(self._experiment).tags
        now = time.monotonic()
        if now - self._looked > _AWAY_SECONDS:
            self._patience_until = now + _RETURN_SECONDS
        self._looked = now
        found = {}
        for tag, value in tags.items():
            name = tag.removeprefix(self._prefix)
            if not tag.startswith(self._prefix) or name == self._name:
                continue
            process, ticket, _ = value.split(" ")
            if self._lives(name, process, value):
                found[name] = (process, int(ticket))
            else:
                _logger.warning("MLflow: %s ended while it logged the same; going on in its place", process)
                self._remove(name)
        return found

    def _lives(self, name: str, process: str, value: str) -> bool:
        last, since = self._seen.get(name, ("", 0.0))
        if value != last:
            since = time.monotonic()
            self._seen[name] = (value, since)
        # One of this machine is also asked for its beats: its number may be another process's by now.
        silent = time.monotonic() - since >= _SILENCE_SECONDS and time.monotonic() >= self._patience_until
        return lives(process) is not False and not silent
