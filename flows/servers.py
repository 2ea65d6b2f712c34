"""Servers started on this machine: both UIs until interrupted, and a Prefect API for the length of one run."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path

from pydantic import ValidationError

from lib.addresses import without_credentials
from lib.errors import ConfigError, command
from lib.files import require_writable
from lib.locks import alone
from lib.machine import RARELY
from lib.places import places
from lib.validation import describe

_HOST = "127.0.0.1"


def serve(mlflow_port: int, prefect_port: int) -> int:
    """Start both servers on loopback and wait; Ctrl-C or SIGTERM ends both.

    Raises ConfigError for a port that is taken or none, without a record to show, or when a server does not start or ends.
    """
    ports_by_option = (("mlflow", mlflow_port), ("prefect", prefect_port))
    for name, port in ports_by_option:
        if not 0 < port < 1 << 16:
            raise ConfigError(f"--{name}-port {port} is no port; give one from 1 to 65535")
    where = places()
    if where.tracking_uri.startswith("http"):
        sys.stdout.write(
            f"MLflow   {without_credentials(where.tracking_uri)} (MLFLOW_TRACKING_URI; not started here)\n"
        )
    elif not (where.mlruns / "mlflow.db").exists():
        raise ConfigError(
            f"nothing to show yet: {where.mlruns / 'mlflow.db'} does not exist; run {command('run')} first"
        )
    for name, port in ports_by_option:
        if _taken(port):
            raise ConfigError(f"port {port} is taken; choose another with --{name}-port")
    commands = {"Prefect": _prefect(prefect_port)}
    if not where.tracking_uri.startswith("http"):
        commands["MLflow"] = [
            *(sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(mlflow_port), "--workers", "1"),
            *("--backend-store-uri", where.tracking_uri, "--artifacts-destination", str(where.mlruns / "artifacts")),
        ]
    ports = {"MLflow": mlflow_port, "Prefect": prefect_port}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logs = {name: where.mlruns / f"{name.lower()}-server.log" for name in commands}
    # Prefect's pages would ask the address in PREFECT_API_URL, or port 4200, whichever port their own server has.
    pages = {"PREFECT_UI_API_URL": f"http://{_HOST}:{prefect_port}/api"} | os.environ
    servers: dict[str, subprocess.Popen[bytes]] = {}
    try:
        with _start_alone():
            servers |= {name: _start(command, logs[name], pages) for name, command in commands.items()}
            for name in servers:
                if not _wait(ports[name], servers[name]):
                    raise ConfigError(f"the {name} server did not start; {logs[name]} says why")
        for name in servers:
            sys.stdout.write(f"{name:8s} http://{_HOST}:{ports[name]}\n")
        sys.stdout.write("Ctrl-C ends both.\n")
        sys.stdout.flush()
        while all(server.poll() is None for server in servers.values()):
            time.sleep(0.5)
        ended = next(name for name, server in servers.items() if server.poll() is not None)
        raise ConfigError(f"the {ended} server ended by itself; {logs[ended]} says why")
    except KeyboardInterrupt:
        return 0
    finally:
        for server in servers.values():
            _stop(server)


def require_prefect() -> None:
    """Import Prefect, and refuse settings of it that cannot be read or a home of it that cannot be written.

    Raises ConfigError naming the file or the variable, also of certificates; StorageError when Prefect's own folder
    cannot be written, and no server holds its database.
    """
    _require_certificates()
    try:
        Path.home()  # where Prefect looks for settings, whatever PREFECT_HOME says
    except RuntimeError:
        raise ConfigError("this user has no home folder: set HOME to a folder of yours") from None
    home = os.environ.get("PREFECT_HOME") or "~/.prefect"
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or f"{home}/profiles.toml"
    for file in (Path(profiles).expanduser(), Path("prefect.toml"), Path("pyproject.toml")):
        try:
            tomllib.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:  # a TOMLDecodeError is a ValueError
            raise ConfigError(f"Prefect's settings in {file} cannot be read ({error}); fix that file") from None
    said = StringIO()
    try:
        with redirect_stderr(said), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Failed to create the Prefect home directory"
            )  # told below, if it matters
            import prefect.context  # noqa: F401  # makes the folder
            from prefect.settings import PREFECT_API_URL
    except ValidationError as error:
        given = {str(item["input"]) for item in error.errors()}
        named = [name for name, value in os.environ.items() if name.startswith("PREFECT_") and value in given]
        raise ConfigError(
            f"Prefect's settings cannot be used: {describe(error)}; correct {' and '.join(named) or 'its variables or profile'}"
        ) from None
    except ValueError as error:  # an address that Python itself cannot take apart
        raise ConfigError(f"Prefect's settings cannot be used: {error}; correct PREFECT_API_URL") from None
    sys.stderr.write(said.getvalue())
    database = _home_of_database()
    if not PREFECT_API_URL.value() and database is not None:
        require_writable(database, "PREFECT_HOME")


def _home_of_database() -> Path | None:
    """Prefect's folder, if a server started here keeps its database there."""
    from prefect.settings import PREFECT_HOME, get_current_settings

    home = PREFECT_HOME.value()
    database = get_current_settings().server.database.connection_url
    return home if database is None or str(home) in database.get_secret_value() else None


def _start_alone() -> AbstractContextManager[None]:
    """A turn to start a server: the first one makes or migrates Prefect's database, which two at once cannot."""
    home = _home_of_database()
    if home is None:
        return nullcontext()
    return alone(home / "server", f"another process starts Prefect's server on {home}")


def _require_certificates() -> None:
    """Refuse a file of certificates that cannot be read: every client would fail, that of a server on loopback too."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        file = os.environ.get(name)
        if not file or Path(file).is_dir():
            continue
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:  # an SSLError is one
            reason = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigError(f"{name}={file!r} cannot be read ({reason}); correct it, or unset it") from None


@contextmanager
def temporary_prefect() -> Iterator[Callable[[Callable[[], object]], None]]:
    """A Prefect API for the block, on Prefect's local database; none when an API is configured.

    Prefect would start one by itself, but only after importing its whole server into this process. This one starts
    beside the caller's own imports; call what the block is given, `ready(meanwhile)`, before the first flow. It calls
    `meanwhile` if the server, which makes its database on first use, is not there yet.

    `ready` raises ConfigError when the server does not start.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_UI_ENABLED,
        temporary_settings,
    )

    if PREFECT_API_URL.value():
        yield lambda meanwhile: None
        return
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    settings = {
        PREFECT_API_URL: f"http://{_HOST}:{port}/api",
        PREFECT_UI_ENABLED: False,
        # Heartbeats serve a server that watches for lost runs; this one lives no longer than the run.
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    # The shell ends the server when its own input closes, as it does however this process ends.
    script = 'exec 3<&0; "$@" & server=$!; { read -r _ <&3; kill $server; } & wait $server'
    with temporary_settings(settings), tempfile.TemporaryFile() as log, ExitStack() as turn:
        turn.enter_context(_start_alone())
        server = subprocess.Popen(
            ["sh", "-c", script, "sh", *_prefect(port), "--no-ui"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | _FEW_SERVICES,
            start_new_session=True,  # Ctrl-C is for the run; the server must outlive its last message
        )

        def ready(meanwhile: Callable[[], object]) -> None:
            if not _taken(port):
                meanwhile()
            if _wait(port, server):
                turn.close()
                return
            log.seek(0)
            said = [line for line in log.read().decode(errors="replace").splitlines() if "Error" in line]
            raise ConfigError(
                f"Prefect's local API did not start ({said[-1].strip() if said else 'no message'}); "
                "check PREFECT_HOME and PREFECT_API_DATABASE_CONNECTION_URL, or set PREFECT_API_URL to a server"
            )

        def stop() -> None:
            assert server.stdin is not None
            server.stdin.close()
            server.wait()

        # At exit, not at the block's end: Prefect's threads send the last logs and events on their own exit, before.
        atexit.register(stop)
        yield ready


_LEFT_OUT = "CANCELLATION_CLEANUP CLEANUP_RECONCILER FOREMAN LATE_RUNS PAUSE_EXPIRATIONS REPOSSESSOR SCHEDULER TRIGGERS"
_FEW_SERVICES = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _LEFT_OUT.split()} | {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "[]",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
}
"""Schedules, pools, blocks and automations are for servers that stay: a run's own server leaves them out, and half its time
idle."""


def _prefect(port: int) -> list[str]:
    # As `lib.machine.collect_rarely`, without lib: the folder that it is started in may have one of its own.
    run = f"import gc, runpy; gc.set_threshold({RARELY}); runpy.run_module('prefect', run_name='__main__')"
    return [sys.executable, "-c", run, "server", "start", "--host", _HOST, "--port", str(port)]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


def _start(command: list[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches this process alone, which then ends the servers in order.
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait(port: int, server: subprocess.Popen[bytes], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while not _taken(port):
        if server.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
