"""Both UIs on this machine, over the local records: MLflow's and Prefect's, until interrupted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

from lib.config import places
from lib.errors import ConfigError

_HOST = "127.0.0.1"


def serve(mlflow_port: int, prefect_port: int) -> int:
    """Start both servers on loopback and wait; Ctrl-C or SIGTERM ends both.

    Raises
    ------
    ConfigError
        When a port is taken or there is no record to show yet.
    """
    where = places()
    if where.tracking_uri.startswith("http"):
        sys.stdout.write(f"MLflow   {where.tracking_uri} (MLFLOW_TRACKING_URI; not started here)\n")
    elif not (where.mlruns / "mlflow.db").exists():
        raise ConfigError(f"nothing to show yet: {where.mlruns / 'mlflow.db'} does not exist; run `make run` first")
    for name, port in (("mlflow", mlflow_port), ("prefect", prefect_port)):
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
    # A session of their own: Ctrl-C reaches this process alone, which then ends both in order.
    servers = {name: subprocess.Popen(command, start_new_session=True) for name, command in commands.items()}
    try:
        for name in servers:
            _wait(ports[name], servers[name])
            sys.stdout.write(f"{name:8s} http://{_HOST}:{ports[name]}\n")
        sys.stdout.write("Ctrl-C ends both.\n")
        sys.stdout.flush()
        while all(server.poll() is None for server in servers.values()):
            time.sleep(0.5)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for server in servers.values():
            _stop(server)


def _prefect(port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", _HOST, "--port", str(port)]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


def _wait(port: int, server: subprocess.Popen[bytes], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not _taken(port):
        if server.poll() is not None or time.monotonic() > end:
            raise ConfigError(f"the server for port {port} did not start; its own messages are above")
        time.sleep(0.2)


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is not None:
        return
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
