"""What the processes of one test session share: made by the one that asks first, ended with the session."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import kill_tree

_FOLDER = "TESTS_SHARED_FOLDER"
_WATCH = 'while kill -0 "$1" && kill -0 "$2"; do sleep 1; done; kill -s KILL -- "-$2"'
"""Ends a server with its process group when pytest is gone, however it ended."""


def begin_sharing() -> None:
    """Make the folder of what is shared, which the processes that pytest starts find in their environment."""
    folder = tempfile.mkdtemp(prefix="probeflow-tests-")
    (Path(folder) / "pytest.pid").write_text(str(os.getpid()))
    os.environ[_FOLDER] = folder


def end_sharing() -> None:
    """Kill the servers, and remove the folder."""
    folder = Path(os.environ.pop(_FOLDER))
    for file in folder.glob("*/pid"):
        kill_tree(int(file.read_text()))
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def shared(name: str) -> Iterator[Path]:
    """A folder of this name for whoever asks; for the length of the block no other process has it."""
    folder = Path(os.environ[_FOLDER]) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def shared_server(name: str, start: Callable[[Path], tuple[subprocess.Popen[bytes], dict[str, str]]]) -> dict[str, str]:
    """The environment of clients of a server, which `start` gives with its process, once, when the server answers."""
    with shared(name) as folder:
        file = folder / "clients.json"
        if not file.exists():
            server, clients = start(folder)
            (folder / "pid").write_text(str(server.pid))
            session = (folder.parent / "pytest.pid").read_text()
            watch = ["sh", "-c", _WATCH, "sh", session, str(server.pid)]
            subprocess.Popen(watch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            file.write_text(json.dumps(clients))
        return dict(json.loads(file.read_text()))
