"""Where a result comes from: when, which commit of this code, which versions, what machine. No names of people or hosts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lib.machine import cores

_PACKAGES = (
    "probeflow", "numpy", "scipy", "torch", "torchvision", "scikit-learn", "optuna", "pandas", "pyarrow", "pillow",
    "matplotlib", "mlflow", "prefect",
)  # fmt: skip
_SOURCE = Path(__file__).resolve().parent.parent


def made_now() -> dict[str, str]:
    """What a result that is made now comes from, in words."""
    return {"when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), **_surroundings()}


@cache
def _surroundings() -> dict[str, str]:
    versions = {}
    if (project := _SOURCE / "pyproject.toml").exists():  # this code's own, also where it is not installed
        versions["probeflow"] = str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions.setdefault(name, version(name))
    return {
        "commit": _commit(),
        "machine": _machine(),
        "python": platform.python_version(),
        **versions,
    }


def _commit() -> str:
    """The commit of the checkout that this code lies in, and whether it was changed since; else that it is not known.

    An image has no checkout, and the commit that it was built from in PROBEFLOW_COMMIT.
    """
    if not (_SOURCE / ".git").exists():  # else git would answer for a checkout that holds the environment
        return os.environ.get("PROBEFLOW_COMMIT") or "not known: the code lies in no git checkout"
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "not known: git did not answer"
    return f"{head}, with changes that are not committed" if changed else head


def _git(*arguments: str) -> str:
    command = ("git", "-C", str(_SOURCE), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _machine() -> str:
    parts = [f"{platform.system()} {platform.machine()}", f"{_processor()}, {cores()} core(s)"]
    with suppress(ValueError, OSError, AttributeError):
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB")
    torch = sys.modules.get("torch")  # who used a GPU has imported it
    if torch is not None and torch.cuda.is_available():
        parts.append(f"GPU {torch.cuda.get_device_name()}")
    return ", ".join(parts)


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor of unknown make"
