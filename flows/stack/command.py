"""`python -m flows stack up|down|status`: start the stack, end it, say how it goes."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.stack.placement import CHECKOUT, LOOPBACK, Stack, read_stack, shell_lines, stack_folder
from flows.stack.postgres import DATA
from flows.stack.processes import Identity, end, kill, lives, of_service
from flows.stack.secrets import add_secrets, env_file
from flows.stack.supervisor import STARTING, UP, Supervisor, alone
from lib.errors import ConfigError, WorkerError
from lib.files import atomic_path, require_writable

_LONGEST_START_SECONDS = 300.0
_LONGEST_STOP_SECONDS = 300.0
_LOCK_SECONDS = 5.0
"""Commands that look whether a supervisor is there hold its lock for a moment, too."""

_LAST_LINES = 15

_LOGINS = {
    "prefect": "asks for the whole of PREFECT_API_AUTH_STRING, user:password",
    "mlflow": "asks for the user probeflow and MLFLOW_TRACKING_PASSWORD",
}
"""Who may see each server's pages."""


def up(names: Sequence[str] = ()) -> int:
    """Start the services `names` (all that suit this machine, when none), and return when all are up.

    The stack goes on after this returns, until `down`. When it is up already, nothing is started twice.

    Raises
    ------
    ConfigError
        When a secret, PostgreSQL or a free port is missing.
    WorkerError
        When a service does not start; what had been started is ended.
    """
    if added := add_secrets(env_file()):
        _say(f"made {len(added)} secrets in {env_file()}")
    stack = read_stack(tuple(names))
    require_writable(stack.folder)
    with alone(stack) as free:
        if free:
            _end_rest(stack)
            _require_ports(stack)
            Supervisor(stack)  # finds PostgreSQL, or says what is missing, while somebody reads it
            stack.state.unlink(missing_ok=True)
        elif other := _other_ports(stack):
            raise ConfigError(
                f"the stack is up with {other}; end it first (`make stack-down`), or leave the ports as they are"
            )
        elif absent := set(stack.placements) - set(_read(stack).get("services", stack.placements)):
            raise ConfigError(f"the stack is up without {', '.join(sorted(absent))}; end it first: `make stack-down`")
    process = _start_supervisor(stack, names) if free else None
    _follow(stack, process)
    with atomic_path(stack.client) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(shell_lines(stack.variables), encoding="utf-8")
    _tell(stack)
    return 0


def down() -> int:
    """End everything that the stack started, in reverse order, and wait for it; its volumes stay."""
    stack = read_stack(_started(), to_start=False)
    with alone(stack) as free:
        if free:
            left = _end_rest(stack)  # of a supervisor that was killed
            _say(_down(stack) if left else "the stack is not up")
            return 0
    supervisor = _supervisor(stack)
    if supervisor is not None:
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
    over = time.monotonic() + _LONGEST_STOP_SECONDS
    while supervisor is not None and lives(supervisor) and time.monotonic() < over:
        time.sleep(0.1)
    if supervisor is not None and lives(supervisor):
        os.kill(supervisor.pid, signal.SIGKILL)
    _end_rest(stack)
    _say(_down(stack))
    return 0


def _down(stack: Stack) -> str:
    return f"the stack is down; its data stays in {stack.folder / 'volumes'}"


def status() -> int:
    """A line for each service; 0 when all are up, 1 when not."""
    stack = read_stack(_started(), to_start=False)
    with alone(stack) as free:
        told_of = {} if free else _read(stack)
    state, ports = told_of.get("services", {}), told_of.get("ports", {})
    if not state:
        _say("the stack is not up; `make stack` starts it")
        return 1
    for name, told in state.items():
        process = f"process {told['process'][0]}" if told["process"] else ""
        again = f"started {told['starts']} times" if told["starts"] > 1 else ""
        _say(f"{name:14s} {told['state']:10s} {_address(name, ports):24s} {process} {again}".rstrip())
    return 0 if all(told["state"] in UP for told in state.values()) else 1


def supervise(names: Sequence[str] = ()) -> int:
    """Be the supervisor: what `up` starts in a session of its own."""
    stack = read_stack(tuple(names))
    over = time.monotonic() + _LOCK_SECONDS
    while True:
        with alone(stack) as free:
            if free:
                return Supervisor(stack).run()
        if time.monotonic() > over:
            return 1
        time.sleep(0.1)


def _started() -> tuple[str, ...]:
    """Names of the services that the last `up` chose: another choice may suit the environment now."""
    with suppress(OSError, ValueError):
        return tuple(json.loads((stack_folder() / "state.json").read_text())["services"])
    return ()


def _start_supervisor(stack: Stack, names: Sequence[str]) -> subprocess.Popen[bytes]:
    log = stack.folder / "logs" / "stack.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "flows", "stack", "supervise", *names],
            cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def _follow(stack: Stack, process: subprocess.Popen[bytes] | None) -> None:
    """Say a line for each service that comes up, until all are. Raises WorkerError when one does not."""
    begun = time.monotonic()
    shown: set[str] = set()
    while True:
        state = _read(stack)
        services: dict[str, Any] = state.get("services", {})
        for name, told in services.items():
            if told["state"] in UP and name not in shown:
                shown.add(name)
                _say(
                    f"{name:14s} {told['state']:10s} {_address(name, stack.ports):24s} {time.monotonic() - begun:4.0f} s"
                )
        if services and set(services) == shown:
            return
        failed = [name for name, told in services.items() if told["state"] == "failed"]
        ended = _gone(stack, process)
        late = time.monotonic() - begun > _LONGEST_START_SECONDS
        if failed or ended or late:
            late_ones = [name for name, told in services.items() if told["state"] not in UP | {"waiting"}]
            _give_up(stack, process, (failed or late_ones or ["stack"])[0], late)
        time.sleep(0.1)


def _gone(stack: Stack, process: subprocess.Popen[bytes] | None) -> bool:
    """Whether the supervisor has ended: this command's own, or the one that was there before."""
    if process is not None:
        return process.poll() is not None
    supervisor = _supervisor(stack)
    return supervisor is not None and not lives(supervisor)


def _give_up(stack: Stack, process: subprocess.Popen[bytes] | None, name: str, late: bool) -> None:
    if process is not None:
        if process.poll() is None and late:
            process.terminate()
        process.wait()
        _end_rest(stack)
    log = stack.folder / "logs" / f"{name}.log"
    with suppress(OSError):
        lines = log.read_text(errors="replace").rpartition(STARTING)[2].splitlines()
        sys.stdout.write("".join(f"  {line}\n" for line in lines[-_LAST_LINES:]))
    problem = f"was not up within {_LONGEST_START_SECONDS:g} s" if late else "did not start"
    raise WorkerError(f"{name} {problem}, and all was ended again; {log} says why")


def _end_rest(stack: Stack) -> bool:
    """End what a supervisor that was killed left behind; whether there was anything."""
    state = _read(stack).get("services", {})
    found = False
    for name, placement in reversed(stack.placements.items()):
        working_in = placement.folders.get(DATA)

        def find(name: str = name, working_in: Path | None = working_in) -> list[Identity]:
            return of_service(stack.folder, name, working_in)

        told = (state.get(name) or {}).get("process")
        first = [process for process in [Identity(*told)] if lives(process)] if told else []
        if first or find():
            found = True
            number = signal.Signals[placement.service.stop_signal]
            end(find, first, number, placement.service.stop_grace_period)
    kill(lambda: of_service(stack.folder))  # of services that the file no longer has
    return found


def _supervisor(stack: Stack) -> Identity | None:
    told = _read(stack).get("supervisor")
    return Identity(*told) if told else None


def _read(stack: Stack) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(stack.state.read_text())
        return found
    return {}


def _other_ports(stack: Stack) -> str:
    """The ports that the running stack has and this environment does not ask for, in words; empty when there are none."""
    ports: dict[str, int] = _read(stack).get("ports", {})
    return ", ".join(
        f"{name} on port {port}, not {stack.ports[name]}"
        for name, port in ports.items()
        if stack.ports.get(name, port) != port
    )


def _require_ports(stack: Stack) -> None:
    for name, port in stack.ports.items():
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                raise ConfigError(f"port {port} is taken; choose another for {name} with {name.upper()}_PORT")


def _address(name: str, ports: Mapping[str, int]) -> str:
    port = ports.get(name)
    scheme = "" if name == "postgres" else "http://"
    return f"{scheme}{LOOPBACK}:{port}" if port is not None else ""


def _tell(stack: Stack) -> None:
    _say("\nIn a browser, with the passwords of " + str(env_file()) + ":")
    for name, whom in _LOGINS.items():
        if name in stack.ports:
            _say(f"  {_address(name, stack.ports)}  {whom}")
    if os.environ.get("PROBEFLOW_BIND"):
        _say("PROBEFLOW_BIND is for containers; these processes listen on this machine alone.")
    _say(f"Logs: {stack.folder / 'logs'}. `make stack-down` ends it.")
    command = Path(sys.executable)
    command = command.relative_to(CHECKOUT) if command.is_relative_to(CHECKOUT) else command
    _say(
        "To use it from a shell:\n"
        f"  set -a; . {shlex.quote(str(stack.client))}; set +a\n"
        f"  {command} -m flows run --pool gpu"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
