"""Turns: what several processes must not do at once, one of them does while the others wait."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.files import storage_errors
from lib.progress import tell

_PATIENCE_SECONDS, _POLL_SECONDS = 3.0, 0.05


@contextmanager
def alone(path: Path, others: str = "") -> Iterator[None]:
    """Let one process at a time, or thread, make `path`; the kernel ends the turn of one that dies.

    `others` says what another process does meanwhile, for who waits long; without it that it makes `path`.

    On a file system without locks nobody waits, and who is last to make it wins.
    """
    lock = path.with_name(f".{path.name}.lock")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(lock, others or f"{path} is being made by another process")
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        with suppress(OSError):  # closing is not enough while a forked process has the file open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _locked(lock: Path, others: str) -> int:
    """The lock file, open and locked; it is made for the purpose, and gone with its holder's turn."""
    begun, told = time.monotonic(), False
    while True:
        # NFS locks only what is open for writing; another user's lock file may be open for reading alone.
        mode = os.O_RDONLY if lock.exists() and not os.access(lock, os.W_OK) else os.O_RDWR
        descriptor = os.open(lock, mode | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except BlockingIOError:
            if not told and time.monotonic() - begun > _PATIENCE_SECONDS:
                told = True
                tell(f"{others}; waiting for it")
            time.sleep(_POLL_SECONDS)
        except FileNotFoundError:
            pass
        except OSError:
            return descriptor
        os.close(descriptor)
