"""Processes beside a test: servers, workers, and what watches and kills them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def start(environment, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a module of Python with these arguments."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


@contextmanager
def running(environment, log: Path, *arguments: str):
    """A process and its children, which are killed at the block's end."""
    process = start(environment, log, *arguments)
    try:
        yield process
    finally:
        kill_tree(process.pid)
        process.wait()


def start_prefect(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """A Prefect server that answers, and the environment of its clients, where this checkout's code comes first."""
    port, foreign = free_port(), ("PREFECT_", "PROBEFLOW_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui")
    server = start(environment, folder / "server.log", *command)
    wait_for(lambda: server.poll() is not None or listens(port))
    return server, environment


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, as when their machine is gone."""
    for each in (*children(pid), pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, seconds: float = 180):
    """Wait until a condition holds; returns what it gave."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return found


def children(pid: int) -> list[int]:
    """Ids of the processes that `pid` started, and of theirs."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listing.splitlines())}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {pid})


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
