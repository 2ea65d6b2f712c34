"""PostgreSQL as a process: where it is installed, whom it runs as, and what its image does on the first start."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.stack.placement import LOOPBACK, Placement
from lib.errors import ConfigError, StorageError

DATA = "/var/lib/postgresql/data"
_SCRIPTS = "/docker-entrypoint-initdb.d/"
_OLDEST = 15
"""The first version whose psql reads a password from the environment (\\getenv)."""


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data folder, and how to run its server.

    Attributes
    ----------
    account : str or None
        Whom it runs as; None: whoever starts it.
    """

    binaries: Path
    data: Path
    account: str | None
    placement: Placement

    def prepare(self) -> None:
        """Make the cluster when it is not there: all of it, or nothing.

        Raises
        ------
        ConfigError
            When a step fails; the message has PostgreSQL's own last line.
        StorageError
            When the account cannot reach the folder.
        """
        if self.data.exists():
            return
        new = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(new, ignore_errors=True)  # of a first start that was cut short
        new.mkdir(parents=True, mode=0o700)
        self._give(new)
        self._require_reachable(new)
        password = new.with_name(".password")
        try:
            password.touch(mode=0o600)
            password.write_text(self.placement.environment["POSTGRES_PASSWORD"])
            self._give(password)
            self._run(
                *("initdb", "--pgdata", str(new), "--username=postgres", f"--pwfile={password}"),
                *(self.placement.environment["POSTGRES_INITDB_ARGS"].split()),
                *("--encoding=UTF8", "--locale=C.UTF-8"),
            )
        finally:
            password.unlink(missing_ok=True)
        options = " ".join(_OPTIONS + [f"-c {word}" for word in self.placement.command if word.startswith("port=")])
        self._run("pg_ctl", "--pgdata", str(new), "--wait", "--silent", "--options", options, "start")
        try:
            for target, script in self.placement.folders.items():
                if target.startswith(_SCRIPTS):
                    self._run("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", text=script.read_text())
        finally:
            self._run("pg_ctl", "--pgdata", str(new), "--wait", "--silent", "--mode=fast", "stop")
        new.rename(self.data)

    def placed(self) -> Placement:
        """The service with its command as it is to run here, on the cluster."""
        program, *options = self.placement.command
        command = [str(self.binaries / program), "-D", str(self.data), *options, *" ".join(_OPTIONS).split()]
        check = self.placement.check and [str(self.binaries / self.placement.check[0]), *self.placement.check[1:]]
        return replace(self.placement, command=command, check=check)

    def account_arguments(self) -> dict[str, Any]:
        """What `subprocess` needs to run a program of it, from a folder that its account can enter."""
        found: dict[str, Any] = {"cwd": self.data if self.data.exists() else self.data.parent}
        if self.account:
            found |= {"user": self.account, "group": pwd.getpwnam(self.account).pw_gid, "extra_groups": []}
        return found

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        # psql finds the server, and the superuser's password, by these.
        environment = self.placement.environment | {
            "PGHOST": LOOPBACK,
            "PGPORT": next(word for word in self.placement.command if word.startswith("port=")).removeprefix("port="),
            "PGUSER": "postgres",
            "PGPASSWORD": self.placement.environment["POSTGRES_PASSWORD"],
            "HOME": str(self.data.parent),  # libpq looks for files of its own in it
        }
        with self.placement.log.open("a+b") as log:
            begin = log.seek(0, os.SEEK_END)
            # Not a pipe: the server that pg_ctl starts would keep it open.
            done = subprocess.run(
                [self.binaries / program, *arguments],
                input=text.encode(), env=environment, stdout=log, stderr=log, **self.account_arguments(),
            )  # fmt: skip
            if done.returncode:
                log.seek(begin)
                said = log.read().decode(errors="replace").strip().splitlines() or ["no message"]
                raise ConfigError(f"PostgreSQL's {program} failed ({said[-1].strip()}); {self.placement.log} says more")

    def _give(self, path: Path) -> None:
        if self.account:
            shutil.chown(path, self.account, pwd.getpwnam(self.account).pw_gid)

    def _require_reachable(self, path: Path) -> None:
        tried = subprocess.run(["sh", "-c", 'test -w "$1"', "sh", path], **self.account_arguments() | {"cwd": "/"})
        if tried.returncode:
            raise StorageError(
                f"PostgreSQL runs as user {self.account!r} (it refuses root), who cannot reach {path}: "
                "let others enter the folders above it (chmod o+x), or set PROBEFLOW_STACK to a folder such as /srv/stack"
            )


_OPTIONS = [f"-c listen_addresses={LOOPBACK}", "-c unix_socket_directories=", "-c password_encryption=scram-sha-256"]
"""Loopback alone, and no socket in a folder that others may enter."""


def cluster_of(placement: Placement) -> Cluster:
    """The PostgreSQL here that runs `placement`.

    Raises
    ------
    ConfigError
        When it is not installed, too old, or this is root and there is no user for it.
    """
    binaries = find_binaries()
    version = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", version)
    if found is None or int(found[0]) < _OLDEST:
        raise ConfigError(f"{binaries} has {version.strip()}, {_OLDEST} or newer is needed: apt install postgresql")
    account = "postgres" if os.geteuid() == 0 else None
    if account and not any(entry.pw_name == account for entry in pwd.getpwall()):
        raise ConfigError("PostgreSQL refuses to run as root, and there is no user 'postgres': apt install postgresql")
    return Cluster(binaries, placement.folders[DATA], account, placement)


def find_binaries() -> Path:
    """The newest folder that has both programs: PATH's, pg_config's, or where Debian keeps them. Raises ConfigError."""
    candidates = [Path(found).resolve().parent for name in ("postgres", "initdb") if (found := shutil.which(name))]
    if config := shutil.which("pg_config"):
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        candidates.append(Path(told))
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), reverse=True)
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise ConfigError("PostgreSQL is not installed (no `postgres` and `initdb` found): apt install postgresql")
