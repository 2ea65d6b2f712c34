"""The supervisor beside services that are a line of shell: order, health, restarts, ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from tests.conftest import REPOSITORY
from tests.processes import alive, children, wait_for

SUPERVISE = """
import sys
from pathlib import Path
from flows.stack.placement import read_stack
from flows.stack.supervisor import Supervisor
folder = Path(sys.argv[1])
environment = {"PROBEFLOW_STACK": str(folder), "COMPOSE_ENV_FILES": str(folder / "none"), "PATH": "/usr/bin:/bin"}
sys.exit(Supervisor(read_stack(environment=environment, file=folder / "compose.yml")).run())
"""
REST = {"worker-cpu": {"image": "x:1", "command": ["sleep", "60"], "profiles": ["never"]}}


@contextmanager
def supervised(folder: Path, **services):
    """A supervisor of services: their shell lines, with other keys of Compose."""
    content = {
        name.replace("_", "-"): {"image": "x:1", "restart": "always"}
        | service
        | {"command": ["sh", "-c", service["command"].replace("$", "$$")]}
        for name, service in services.items()
    }
    (folder / "compose.yml").write_text(yaml.safe_dump({"name": "x", "services": content | REST}))
    process = subprocess.Popen([sys.executable, "-c", SUPERVISE, str(folder)], cwd=REPOSITORY)
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for pid in (*children(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def told(folder: Path, name: str) -> dict:
    with suppress(OSError):
        return json.loads((folder / "state.json").read_text())["services"].get(name, {})
    return {}


def state(folder: Path, name: str) -> str | None:
    return told(folder, name).get("state")


def log(folder: Path, name: str) -> str:
    return (folder / "logs" / f"{name}.log").read_text()


def check(command: str, **more) -> dict:
    return {"test": ["CMD", "sh", "-c", command], "interval": "200ms", "start_interval": "100ms", **more}


def test_a_service_waits_until_what_it_needs_is_healthy_or_done_and_ends_before_it(tmp_path):
    ready = tmp_path / "ready"
    line = (
        f"trap 'echo NAME >> {tmp_path}/ended; exit' TERM; echo NAME >> {tmp_path}/begun; while :; do sleep 0.05; done"
    )
    with supervised(
        tmp_path,
        server={"command": line.replace("NAME", "server"), "healthcheck": check(f"test -e {ready}")},
        once={
            "command": f"echo once >> {tmp_path}/begun", "restart": "no",
            "depends_on": {"server": {"condition": "service_healthy"}},
        },
        client={
            "command": line.replace("NAME", "client"),
            "depends_on": {"once": {"condition": "service_completed_successfully"}},
        },
    ) as process:  # fmt: skip
        wait_for(lambda: state(tmp_path, "server") == "starting", 20)
        assert state(tmp_path, "once") == "waiting"
        ready.touch()
        wait_for(lambda: state(tmp_path, "client") == "running", 20)
        assert (state(tmp_path, "server"), state(tmp_path, "once")) == ("healthy", "done")
        wait_for(lambda: (tmp_path / "begun").read_text().split() == ["server", "once", "client"], 20)
        process.terminate()
        assert process.wait(20) == 0
    assert (tmp_path / "ended").read_text().split() == ["client", "server"]
    assert state(tmp_path, "client") == "stopped"


def test_a_service_that_ends_is_started_again_and_nothing_of_it_is_left(tmp_path):
    with supervised(tmp_path, server={"command": "sleep 300 & echo $! $$; wait"}):
        wait_for(lambda: state(tmp_path, "server") == "running" and len(log(tmp_path, "server").split()) == 6, 20)
        started, first = map(int, log(tmp_path, "server").split()[-2:])
        assert told(tmp_path, "server")["process"][0] == first
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: told(tmp_path, "server")["starts"] == 2, 20)
        assert not alive(started)
    assert "--- ended with status -9" in log(tmp_path, "server")


def test_a_first_start_that_fails_ends_everything(tmp_path):
    with supervised(
        tmp_path,
        server={"command": "echo $$; exec sleep 300"},
        broken={
            "command": "echo no such thing; exit 3", "healthcheck": check("false"),
            "depends_on": {"server": {"condition": "service_started"}},
        },
    ) as process:  # fmt: skip
        assert process.wait(20) == 1
    assert told(tmp_path, "broken") == {"state": "failed", "process": None, "starts": 1, "status": 3}
    assert state(tmp_path, "server") == "stopped"
    assert not alive(int(log(tmp_path, "server").split()[-1]))
    assert "no such thing" in log(tmp_path, "broken")


def test_a_service_whose_check_fails_for_long_is_unhealthy_until_it_succeeds_again(tmp_path):
    fit = tmp_path / "fit"
    fit.touch()
    with supervised(tmp_path, server={"command": "exec sleep 300", "healthcheck": check(f"test -e {fit}", retries=2)}):
        wait_for(lambda: state(tmp_path, "server") == "healthy", 20)
        fit.unlink()
        wait_for(lambda: state(tmp_path, "server") == "unhealthy", 20)
        fit.touch()
        wait_for(lambda: state(tmp_path, "server") == "healthy", 20)
        assert told(tmp_path, "server")["starts"] == 1  # as in Compose, being unfit starts nothing again


def test_a_check_that_hangs_counts_as_failed(tmp_path):
    hang = check("sleep 300", timeout="300ms", retries=1)
    with supervised(tmp_path, server={"command": "exec sleep 300", "healthcheck": hang}) as process:
        wait_for(lambda: state(tmp_path, "server") == "unhealthy", 20)
        assert len(children(process.pid)) <= 3  # the service, and a check at most


def test_a_service_gets_its_own_signal_and_is_killed_after_its_grace(tmp_path):
    line = "trap 'echo interrupted' INT; trap '' TERM; echo up; while :; do sleep 0.05; done"
    with supervised(
        tmp_path, server={"command": line, "stop_signal": "SIGINT", "stop_grace_period": "500ms"}
    ) as process:
        wait_for(lambda: state(tmp_path, "server") == "running" and "up\n" in log(tmp_path, "server"), 20)
        first = told(tmp_path, "server")["process"][0]
        process.terminate()
        assert process.wait(20) == 0
        assert not alive(first)
    assert "interrupted" in log(tmp_path, "server")
