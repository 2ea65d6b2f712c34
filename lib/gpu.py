"""One chunk of work at a time on a GPU of this machine, however many workers share it and however they were started.

The lock is a file named by the GPU's UUID, taken with flock: the kernel drops it however its holder ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.files import storage_errors

_logger = logging.getLogger(__name__)

_SYSTEM_FOLDER = Path("/tmp")
"""Not TMPDIR if it can be helped: that may be another folder for each worker."""


@contextmanager
def gpu_to_itself(device: str) -> Iterator[None]:
    """Hold the GPU that `device` ("auto", "cpu", "cuda" or "cuda:N") names while the block runs; a CPU is not held.

    Waits until nobody else holds it, and says so in the log.

    Raises StorageError when the lock file cannot be made.
    """
    uuid = gpu_uuid(device)
    if uuid is None:
        yield
        return
    with lock_of(uuid):
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
    """Hold the lock named `uuid` among all processes of this machine while the block runs."""
    path = (folder or _folder()) / f"probeflow-gpu-{uuid}.lock"
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _logger.info("GPU %s is taken by another chunk on this machine (%s); waiting for it", uuid, path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _logger.info("GPU %s is free; going on", uuid)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough while a forked process has the file open too
        os.close(descriptor)


def _folder() -> Path:
    return _SYSTEM_FOLDER if _SYSTEM_FOLDER.is_dir() else Path(tempfile.gettempdir())


def _open(path: Path) -> int:
    """The lock file, made when absent. Opened for reading, so that another user's file will do; never followed as a link."""
    with storage_errors(path):
        while True:
            try:
                return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                pass
            try:
                return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                continue  # made by another process between the two
