"""A real Prefect server for the tests that need one, and processes that run beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.integration.test_servers import children


@contextmanager
def running(environment, log: Path, *arguments: str):
    """A process and its children, which are killed at the block's end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for pid in (*children(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def of_environment(name: str, value: str) -> list[int]:
    """Ids of processes that were started with this variable."""
    wanted = f"{name}={value}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def kill_flow_run(run_id) -> None:
    """Kill the process of a flow run, as when its machine is gone; nothing of it can say a last word."""
    for pid in of_environment("PREFECT__FLOW_RUN_ID", str(run_id)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def flows(environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of ours, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done
