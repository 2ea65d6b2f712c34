"""The team's stack for tests, without containers: the services of docker-compose.yml as processes, on loopback and free ports.

Commands, environment, order and health checks are the file's own, read from it; only what an engine would make of them is
here: names of services are loopback, volumes are folders, and `postgres` is what the machine has.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import REPOSITORY, free_port, kill_tree

FILE = REPOSITORY / "docker-compose.yml"
FOREIGN = ("PREFECT_", "PROBEFLOW_", "MLFLOW_", "PG", "POSTGRES_", "COMPOSE_", "AWS_")
SECRETS = sorted(set(re.findall(r"\$\{(\w+):\?", FILE.read_text())))
"""Names of the variables that the file has no default for."""

_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?)([^${}]*))?\}")


def read_env(file: Path) -> dict[str, str]:
    """Variables of a file of NAME=value lines."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def read_compose(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services as docker-compose.yml has them, with variables replaced as Compose does."""

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        assert variables.get(name) or kind != ":?", f"{name}: {rest}"
        return variables.get(name) or rest or ""

    def replaced(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: replaced(each) for key, each in content.items()}
        if isinstance(content, list):
            return [replaced(each) for each in content]
        count = isinstance(content, str)
        while count:  # the innermost first: a default may hold others
            content, count = _VARIABLE.subn(value, content)
        return content

    return replaced(yaml.safe_load(FILE.read_text())["services"])


@dataclass
class Stack:
    """Services that run, or ran.

    Attributes
    ----------
    secrets : dict of str to str
        The passwords, by name.
    """

    folder: Path
    secrets: dict[str, str]
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        variables = self.secrets | {f"{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        self.services = read_compose(variables)

    def start(self, *names: str) -> None:
        """Start services, each once those that it waits for are fit, and return when all are."""
        for name in names:
            for other, needed in self.services[name].get("depends_on", {}).items():
                if needed["condition"] == "service_completed_successfully":
                    assert self.processes[other].wait(120) == 0, self.log(other)
                else:
                    self.wait_fit(other)
            for folder in self._folders(name).values():
                if folder != self._data and not folder.exists():
                    folder.mkdir(parents=True)
            new = name == "postgres" and not self._data.exists()
            if new:
                self._make_cluster()
            self.processes[name] = self._run(name, self.services[name]["command"])
            if new:
                self.wait_fit(name)
                self._make_databases()
        for name in names:
            self.wait_fit(name)

    def wait_fit(self, name: str, seconds: float = 120) -> None:
        """Wait until a service's own health check succeeds."""
        check, end = self.services[name].get("healthcheck"), time.monotonic() + seconds
        while check and self._run(name, check["test"][1:], log="checks").wait():
            assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < end, self.log(name)
            time.sleep(0.5)

    @contextmanager
    def killed(self, *names: str) -> Iterator[None]:
        """Kill all processes of services; they are started again, as by an engine, while the block runs."""
        for name in names:
            kill_tree(self.pid(name))
            self.processes[name].wait()
        with ThreadPoolExecutor(1) as engine:
            started = engine.submit(self.start, *names)
            yield
            started.result()

    @contextmanager
    def another(self, name: str) -> Iterator[None]:
        """One more container of a service, say, for the length of the block."""
        process = self._run(name, self.services[name]["command"])
        try:
            yield
        finally:
            kill_tree(process.pid)
            process.wait()

    def end(self) -> None:
        """End all services, the last first."""
        for name, process in reversed(self.processes.items()):
            if name == "postgres":  # it leaves shared memory when it is killed
                process.send_signal(signal.SIGINT)
                process.wait(60)
            if process.poll() is None:
                kill_tree(process.pid)
                process.wait()

    def pid(self, name: str) -> int:
        """Id of the service's first process."""
        return self.processes[name].pid

    def log(self, name: str) -> str:
        """What a service said."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def environment(self, name: str) -> dict[str, str]:
        """The service's environment here: the file's, over what of ours would not reach a container."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        own = {}
        for key, value in self.services[name]["environment"].items():
            if value is not None:
                loopback = key.endswith("HOST") and value in self.services
                own[key] = "127.0.0.1" if loopback else self._here(name, value)
        image = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "PGDATA": str(self._data)}
        return clean | image | own

    @property
    def client(self) -> dict[str, str]:
        """The environment of a user of the stack: what a worker has, but for its own folders."""
        own = ("HOME", "PREFECT_HOME", "MPLCONFIGDIR", "PROBEFLOW_MLRUNS")
        return {key: value for key, value in self.environment("worker-cpu").items() if key not in own}

    @property
    def _data(self) -> Path:
        return self.folder / "volumes" / "postgres"

    def _folders(self, name: str) -> dict[str, Path]:
        """Where a container's volumes, mounted files and temporary folders are here."""
        service, found = self.services[name], {}
        for mount in service.get("volumes", []):
            source, target = mount.split(":")[:2]
            found[target] = REPOSITORY / source if source.startswith(".") else self.folder / "volumes" / source
        return found | {each: self.folder / "tmp" / name / each[1:].replace("/", "-") for each in service["tmpfs"]}

    def _here(self, name: str, text: str) -> str:
        text = re.sub(rf"(?<![\w.-])({'|'.join(self.services)}):(?=\d)", "127.0.0.1:", text)
        for inside, outside in self._folders(name).items():
            if text == inside or text.startswith(f"{inside}/"):
                return f"{outside}{text.removeprefix(inside)}"
        return text.replace("0.0.0.0", "127.0.0.1")

    def _run(
        self, name: str, command: list[str], log: str = "", script: Path | None = None, **more: str
    ) -> subprocess.Popen[bytes]:
        program, *rest = [self._here(name, word) for word in command]
        account: dict[str, Any] = {}
        if name == "postgres":
            rest += ["-c", "unix_socket_directories="] if program == "postgres" else []  # none where others have theirs
            program = str(_postgres() / program)
            if os.geteuid() == 0:  # which it refuses to run as
                account = {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "cwd": self.folder}
        (self.folder / "logs").mkdir(exist_ok=True)
        with (
            (self.folder / "logs" / f"{log or name}.log").open("ab") as output,
            (script or Path(os.devnull)).open() as given,
        ):
            return subprocess.Popen(
                [sys.executable if program == "python" else program, *rest],
                env=self.environment(name) | more, stdin=given, stdout=output, stderr=output, start_new_session=True,
                **{"cwd": REPOSITORY} | account,
            )  # fmt: skip

    def _make_cluster(self) -> None:
        """What the image does on its first start: a cluster with its superuser's password, then the scripts."""
        password, options = self._data.with_suffix(".password"), self.services["postgres"]["environment"]
        self._data.mkdir(parents=True, mode=0o700)
        password.touch(mode=0o600)
        password.write_text(self.secrets["POSTGRES_PASSWORD"])
        if os.geteuid() == 0:
            for path in (self._data, password):
                shutil.chown(path, "postgres", "postgres")
        initdb = ["initdb", "--username=postgres", f"--pwfile={password}", "--no-sync", "--locale=C.UTF-8"]
        assert self._run("postgres", [*initdb, *options["POSTGRES_INITDB_ARGS"].split()]).wait() == 0, self.log(
            "postgres"
        )
        password.unlink()

    def _make_databases(self) -> None:
        superuser = {"PGHOST": "127.0.0.1", "PGPORT": str(self.ports["postgres"]), "PGUSER": "postgres"}
        psql = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        scripts = [path for target, path in self._folders("postgres").items() if target.endswith(".sql")]
        for script in scripts:
            done = self._run("postgres", psql, script=script, PGPASSWORD=self.secrets["POSTGRES_PASSWORD"], **superuser)
            assert done.wait() == 0, self.log("postgres")


def _postgres() -> Path:
    """The folder of PostgreSQL's programs, 15 or newer (whose psql reads passwords from the environment)."""
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    for folder in [*on_path, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.skip("PostgreSQL is not installed (no `postgres` and `initdb` found): apt install postgresql")


@contextmanager
def stack_up(*names: str) -> Iterator[Stack]:
    """The services that run for the block, in a folder of their own: all that need no GPU, when none is named."""
    _postgres()
    # Not pytest's folder: PostgreSQL runs as another user when this is root, and may not enter that.
    folder = Path(tempfile.mkdtemp(prefix="probeflow-stack-", dir="/tmp"))
    folder.chmod(0o755)
    environment = os.environ | {"COMPOSE_ENV_FILES": str(folder / ".env")}
    subprocess.run([sys.executable, REPOSITORY / "deploy" / "make_secrets.py"], env=environment, check=True)
    ports = {name: free_port() for name in ("postgres", "prefect", "mlflow")}
    stack = Stack(folder, read_env(folder / ".env"), ports)
    try:
        stack.start(*names or [name for name in stack.services if name != "worker-gpu"])
        yield stack
    finally:
        stack.end()
        shutil.rmtree(folder, ignore_errors=True)
