"""Turns: one process does what several must not at once; the kernel drops its lock (flock) however it ends."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from lib.files import storage_errors
from lib.progress import tell

_PATIENCE_SECONDS, _POLL_SECONDS = 3.0, 0.05

_SYSTEM_FOLDER = Path("/tmp")
"""Not TMPDIR if it can be helped: that may be another folder for each worker."""

_logger = logging.getLogger(__name__)


@contextmanager
def alone(
    path: Path, others: str = "", say: Callable[[str], object] = tell, patience: float = _PATIENCE_SECONDS
) -> Iterator[None]:
    """Let one process at a time, or thread, make `path`.

    On a file system without locks nobody waits, and who is last to make it wins.

    `others`: what another process does meanwhile, for who waits longer than `patience` seconds; else that it makes
    `path`.
    """
    lock = path.with_name(f".{path.name}.lock")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(lock, others or f"{path} is being made by another process", say, patience)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        with suppress(OSError):  # closing is not enough while a forked process has the file open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextmanager
def gpu_to_itself(device: str, folder: Path | None = None) -> Iterator[None]:
    """Hold the GPU that `device` ("auto", "cpu", "cuda" or "cuda:N") names while the block runs; a CPU is not held.

    However many workers share it and however they were started, one computes there at a time; the log says who waits.
    `folder` is where all that share the GPU find its lock.
    """
    uuid = gpu_uuid(device)
    with nullcontext() if uuid is None else lock_of(uuid, folder):
        yield


def gpu_uuid(device: str) -> str | None:
    """The UUID of the GPU that `device` names; None for a CPU, or a GPU that is not there (who computes refuses it)."""
    if device == "cpu":
        return None
    import torch

    index = torch.device("cuda" if device == "auto" else device).index or 0
    return str(torch.cuda.get_device_properties(index).uuid) if index < torch.cuda.device_count() else None


@contextmanager
def lock_of(uuid: str, folder: Path | None = None) -> Iterator[None]:
    """Hold the GPU of that UUID among all processes of this machine while the block runs."""
    folder = folder or (_SYSTEM_FOLDER if _SYSTEM_FOLDER.is_dir() else Path(tempfile.gettempdir()))
    others = f"GPU {uuid} is taken by another chunk on this machine"
    with alone(folder / f"probeflow-gpu-{uuid}", others, _logger.info, patience=0):
        yield


def _locked(lock: Path, others: str, say: Callable[[str], object], patience: float) -> int:
    """The lock file, open and locked; it is made for the purpose, and gone with its holder's turn."""
    begun, told = time.monotonic(), False
    while True:
        descriptor = _open(lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        except BlockingIOError:
            if not told and time.monotonic() - begun >= patience:
                told = True
                say(f"{others}; waiting for it")
            time.sleep(_POLL_SECONDS)
        except FileNotFoundError:
            pass
        except OSError:
            return descriptor
        os.close(descriptor)


def _open(lock: Path) -> int:
    """The lock file, made when absent; another user's will do, and a link is never followed."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        # NFS locks only what is open for writing; another user's lock file may be open for reading alone.
        with suppress(FileNotFoundError):
            return os.open(lock, flags | (os.O_RDWR if os.access(lock, os.W_OK) else os.O_RDONLY))
        with suppress(FileExistsError):  # made by another process between the two
            return os.open(lock, flags | os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
