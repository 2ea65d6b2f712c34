"""Where trials train, and how much memory their programs may take there."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_MARGIN = 0.8
"""Share of the free memory that is planned with: the rest is for kernels' workspaces, fragments and other processes."""

_MEMORY = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def training_device() -> str:
    """The first CUDA device if there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def program_memory(device: str, rows_bytes: int = 0) -> int | None:
    """Bytes that programs may take on `device` beside `rows_bytes` of rows; None when the system does not tell."""
    free = torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else free_memory()
    return None if free is None else max(0, int(free * _MARGIN) - rows_bytes)


def free_memory() -> int | None:
    """RAM available without swapping, in bytes: the machine's, or the container's if it has less."""
    found = [free for free in (_machine(), _container()) if free is not None]
    return min(found) if found else None


def _machine() -> int | None:
    try:
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _container() -> int | None:
    """What a control group (version 2) leaves; file pages that the kernel can drop count as free."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        figures = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        return None if limit == "max" else int(limit) - used + int(figures["inactive_file"])
    except (OSError, ValueError, KeyError):
        return None
