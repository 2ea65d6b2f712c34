"""The health checks: a server that answers, and a worker of this machine whose process lives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.health import main, started, worker_name

WORKERS: list[str] = []
"""Names of the workers that the server calls online."""


class PrefectServer(BaseHTTPRequestHandler):
    """As much of Prefect's API as the check asks for: a CSRF token, and workers for who has it and the password."""

    def do_GET(self):
        if self.path.startswith("/api/csrf-token?client="):
            self.answer({"token": self.path.partition("=")[2][::-1]})
        else:
            self.send_error(503 if self.path == "/api/ready" else 404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked == {"workers": {"status": {"any_": ["ONLINE"]}}}
        token = self.headers["Prefect-Csrf-Token"] == self.headers["Prefect-Csrf-Client"][::-1]
        if self.headers["Authorization"] != "Basic dXNlcjp3b3Jk" or not token:  # user:word
            self.send_error(401)
        else:
            self.answer(
                [{"name": name} for name in WORKERS] if self.path == "/api/work_pools/gpu/workers/filter" else []
            )

    def answer(self, body: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def api(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), PrefectServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "user:word")
    yield url
    server.shutdown()
    server.server_close()


def test_a_server_is_fit_when_it_answers_well(api, capsys):
    assert main(["server", f"{api}/csrf-token?client=x"]) == 0
    assert main(["server", f"{api}/ready"]) == 1
    assert "503" in capsys.readouterr().err
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert main(["server", f"http://127.0.0.1:{probe.getsockname()[1]}/"]) == 1
    assert "refused" in capsys.readouterr().err


def test_a_worker_is_fit_when_it_is_online_here_and_its_process_lives(api, capsys, monkeypatch):
    host, own = socket.gethostname(), worker_name("gpu 0")
    dead = subprocess.Popen(["true"])
    dead.wait()
    for names, fit in (
        ([], False),
        ([own], True),
        ([f"{host} cpu ({dead.pid} since 0)"], False),
        ([own.replace(host, f"{host}-other")], False),
        (["ProcessWorker 1234", f"{host} cpu ({dead.pid} since 5)", own], True),
    ):
        monkeypatch.setattr(f"{__name__}.WORKERS", names)
        assert main(["worker", "gpu"]) == (0 if fit else 1)
        assert main(["worker", "cpu"]) == 1
    assert f"no worker of {host} is online in pool 'cpu'" in capsys.readouterr().err
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "user:wrong")
    assert main(["worker", "gpu"]) == 1
    assert "401" in capsys.readouterr().err


def test_the_worker_before_a_restart_of_its_container_is_another_though_host_and_number_are_the_same(api, monkeypatch):
    before = worker_name("cpu").replace(f"since {started(os.getpid())}", f"since {started(os.getpid()) - 500}")
    monkeypatch.setattr(f"{__name__}.WORKERS", [before])
    assert main(["worker", "gpu"]) == 1
    monkeypatch.setattr(f"{__name__}.WORKERS", [before, worker_name("cpu")])
    assert main(["worker", "gpu"]) == 0
