"""Prefect's own settings and folder: what cannot be used is one line that names the file or the variable."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY

import flows
from flows.automations import HEARTBEAT_SECONDS
from flows.servers import require_prefect, serve
from lib.errors import ConfigError
from tests.conftest import REPOSITORY


def test_settings_that_are_no_toml_are_named(tmp_path, monkeypatch):
    (tmp_path / "profiles.toml").write_text('active = "mine\n')
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=rf"Prefect's settings in {tmp_path}/profiles.toml cannot be read \(.*line 1"):
        require_prefect()
    (tmp_path / "profiles.toml").unlink()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prefect.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"Prefect's settings in prefect.toml cannot be read"):
        require_prefect()


def test_a_user_without_a_home_is_told_to_set_one(monkeypatch):
    def none() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", none)
    with pytest.raises(ConfigError, match="set HOME to a folder of yours"):
        require_prefect()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("no certificate", "no certificates in it")])
def test_a_file_of_certificates_that_is_none_is_named_with_its_variable(name, content, reason, tmp_path, monkeypatch):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(name, str(file))
    with pytest.raises(ConfigError, match=rf"^{name}='{file}' cannot be read \({reason}.*\); correct it, or unset it"):
        require_prefect()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PREFECT_API_REQUEST_TIMEOUT": "soon"}, "ConfigError: Prefect's settings cannot be used: request_timeout: "),
        ({"PREFECT_HOME": "{file}"}, "StorageError: cannot write {file} (File exists): a part of that path is a file"),
        ({"PREFECT_HOME": "{file}", "PREFECT_API_URL": "http://127.0.0.1:9/api"}, "fine"),
    ],
    ids=["a setting", "a home", "a home that a server spares"],
)
def test_what_prefect_itself_reads_at_its_import_is_told_without_its_own_noise(variables, expected, tmp_path):
    file = tmp_path / "file"
    file.touch()
    code = (
        "import flows; from flows.servers import require_prefect\n"
        "try:\n    require_prefect(); print('fine')\n"
        "except Exception as error:\n    print(f'{type(error).__name__}: {error}')"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    given = {name: value.format(file=file) for name, value in ({"PREFECT_HOME": str(tmp_path)} | variables).items()}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=own | given, capture_output=True, text=True, timeout=480
    )
    assert done.stderr == ""
    assert done.stdout.startswith(expected.format(file=file))
    if "soon" in given.values():
        assert done.stdout.endswith("; correct PREFECT_API_REQUEST_TIMEOUT\n")


def test_a_run_in_any_shell_beats_often_enough_for_a_server_that_watches():
    assert flows._DEFAULTS[PREFECT_FLOWS_HEARTBEAT_FREQUENCY.name] == str(HEARTBEAT_SECONDS)


@pytest.mark.parametrize(
    ("ports", "problem"),
    [
        ((0, 4200), "--mlflow-port 0 is no port"),
        ((5000, 70000), "--prefect-port 70000 is no port; give one from 1 to 65535"),
    ],
)
def test_a_port_that_is_none_is_refused_before_anything_starts(ports, problem):
    with pytest.raises(ConfigError, match=problem):
        serve(*ports)
