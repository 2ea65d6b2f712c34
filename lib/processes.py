"""Processes of this one's own: each answers calls, one after another.

They live on from call to call, and end with the process that began them, however that ends.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lib.errors import LostProcessError, ProbeflowError

_ROOT = str(Path(__file__).resolve().parents[1])
"""Where `lib` lies: a notebook may have found it by a path of the folder it was in before."""


class OwnProcess:
    """A process that answers calls by the methods of an object it makes. One thread at a time may call it."""

    def __init__(self, module: str, does: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it: it imports `module` and calls its `serve`, which calls this one's. `does`: such as "trained networks"."""
        self._does = does
        start = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import serve; serve()"
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", start, json.dumps([*sys.path, _ROOT]), str(os.getpid())],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | dict(environment or {}),
                start_new_session=True,  # a terminal's Ctrl-C is for who began it, from its first moment on
            )
        self._connection = Connection(ours.detach())

    def call(self, name: str, *arguments: Any) -> Any:
        """What a method over there returns. A call that is interrupted ends the process.

        Raises LostProcessError when the process is gone, and whatever the method raised.
        """
        self._tell(name, *arguments)
        return self._answer()

    def heard(self, kind: str, value: Any) -> None:
        """Called with what the process says of itself while it is at work (see `Server.say`)."""

    def end(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def lives(self) -> bool:
        return not self._connection.closed and self._process.poll() is None

    def _tell(self, name: str, *arguments: Any) -> None:
        with self._noticing():
            self._connection.send((name, arguments))

    def _answer(self) -> Any:
        try:
            while True:
                with self._noticing():
                    kind, value = self._connection.recv()
                if kind in ("answer", "raised"):
                    break
                self.heard(kind, value)
        except BaseException:
            self.end()  # what it answers later would be taken for the next call's
            raise
        if kind == "raised":
            raise value
        return value

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Say what became of a process that is gone."""
        try:
            yield
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            code = self._process.returncode
            how = f"killed by signal {-code}" if code and code < 0 else f"exit status {code}"
            raise LostProcessError(
                f"a process that {self._does} ended unexpectedly ({how}); was the machine out of memory? "
                "Run it again: it goes on from what is done"
            ) from None


class Server:
    """The other side of a process's calls: its methods answer them, and may say things meanwhile."""

    def __init__(self) -> None:
        self.connection = Connection(sys.stdin.fileno())
        self._one_at_a_time = threading.Lock()

    def answer(self, name: str, arguments: Sequence[Any]) -> Any:
        """What the method `name` returns."""
        return getattr(self, name)(*arguments)

    def say(self, kind: str, value: Any) -> None:
        """Send something to who called; nothing where nobody listens any more."""
        with self._one_at_a_time, suppress(OSError):
            self.connection.send((kind, value))


def serve(server: Server) -> None:
    """A process's own loop: answer what comes through the socket, its standard input, until the other end is closed."""
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    while True:
        try:
            name, arguments = server.connection.recv()
        except (EOFError, OSError):
            return
        try:
            kind, value = "answer", server.answer(name, arguments)
        except Exception as error:
            kind, value = "raised", _portable(error)
        server.say(kind, value)


def _portable(error: Exception) -> Exception:
    """The error as it arrives over there, a defect with its traceback as a note; one of many arguments may not arrive as
    itself.
    """
    if isinstance(error, ProbeflowError):
        return error
    note = f"In its process:\n{''.join(traceback.format_exception(error))}"
    error.add_note(note)
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, and not kept
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(note)
    return error


def _end_with(parent: int) -> None:
    """End in the middle of something, too, when the process that began this one was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
