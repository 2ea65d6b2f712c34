"""`make secrets`: random, for their owner alone, and never made twice."""

from __future__ import annotations

import pytest

from flows.stack.secrets import SECRETS, add_secrets, env_file, make_secrets, read_env
from lib.errors import ConfigError
from tests.conftest import REPOSITORY


def test_every_secret_is_made_at_random_and_for_its_owner_alone(tmp_path):
    files = [tmp_path / "one" / ".env", tmp_path / "two" / ".env"]
    for file in files:
        assert add_secrets(file) == list(SECRETS)
        assert file.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in file.parent.iterdir()] == [".env"]
    values = [value for file in files for value in read_env(file).values()]
    assert len(set(values)) == 2 * len(SECRETS)
    assert all(len(value) >= 43 for value in values)  # 32 random bytes
    assert all(read_env(file)["PREFECT_API_AUTH_STRING"].startswith("probeflow:") for file in files)


def test_what_is_there_stays_and_only_what_is_missing_is_added(tmp_path, monkeypatch, capsys):
    file = tmp_path / ".env"
    file.write_text("# mine\nPREFECT_PORT=4300\nPOSTGRES_PASSWORD=chosen\nMLFLOW_TRACKING_PASSWORD=\n")
    file.chmod(0o644)
    monkeypatch.setenv("COMPOSE_ENV_FILES", str(file))
    assert make_secrets() == 0
    made = file.read_text()
    assert made.startswith("# mine\nPREFECT_PORT=4300\nPOSTGRES_PASSWORD=chosen\n")
    assert made.count("MLFLOW_TRACKING_PASSWORD=") == 1
    assert file.stat().st_mode & 0o777 == 0o600
    told = capsys.readouterr().out
    assert "MLFLOW_TRACKING_PASSWORD" in told
    assert "POSTGRES_PASSWORD," not in told.replace("PREFECT_POSTGRES_PASSWORD,", "").replace(
        "MLFLOW_POSTGRES_PASSWORD,", ""
    )
    assert not any(value in told for value in read_env(file).values() if len(value) > 20)
    assert make_secrets() == 0
    assert file.read_text() == made
    assert "all secrets are there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("A = spaced  # and a comment", "spaced"),
        ("A=has#no comment", "has#no comment"),
        ("A=   # nothing", ""),
        ("A='kept # whole'  # comment", "kept # whole"),
        ('A="quoted"', "quoted"),
        ("A=it's", "it's"),
        ("export A=1", "1"),
    ],
)
def test_values_are_read_as_docker_compose_reads_them(tmp_path, line, value):
    file = tmp_path / ".env"
    file.write_text(f"{line}\n")
    assert read_env(file) == {"A": value}


def test_a_damaged_line_is_named_by_its_number_alone(tmp_path):
    file = tmp_path / ".env"
    file.write_text("PREFECT_PORT=4300\nhalf-a-secret\n")
    with pytest.raises(ConfigError, match="line 2 is no NAME=value") as refused:
        add_secrets(file)
    assert "half" not in str(refused.value)


def test_git_and_images_leave_the_file_out_and_its_example_names_every_secret_without_a_value():
    assert "/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()
    assert (REPOSITORY / ".dockerignore").read_text().splitlines()[1] == "*"
    example = read_env(REPOSITORY / ".env.example")
    assert example == dict.fromkeys(SECRETS, "")
    assert env_file({}) == REPOSITORY / ".env"
