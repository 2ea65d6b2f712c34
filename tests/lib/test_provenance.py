"""What a record says of where it comes from."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess

import pytest

from lib import provenance
from lib.provenance import made_now
from tests.processes import REPOSITORY


def test_a_record_names_its_commit_versions_and_machine_and_no_host():
    made = made_now()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if head.returncode == 0:
        assert made["commit"].startswith(head.stdout.strip())
    assert made["numpy"] == importlib.metadata.version("numpy")
    assert made["python"] == platform.python_version()
    assert "core(s)" in made["machine"]
    assert platform.node() not in str(made)


def test_outside_a_checkout_the_commit_is_not_known_but_for_an_image_s(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_SOURCE", tmp_path)
    for built, told in ((None, "not known"), ("", "not known"), ("0a1b2c", "0a1b2c")):
        monkeypatch.delenv("PROBEFLOW_COMMIT", raising=False)
        if built is not None:
            monkeypatch.setenv("PROBEFLOW_COMMIT", built)
        assert provenance._commit().startswith(told)


def test_a_copy_of_the_code_that_is_not_installed_knows_its_version(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "9.8.7"\n')
    monkeypatch.setattr(provenance, "_SOURCE", tmp_path)
    assert provenance._surroundings.__wrapped__()["probeflow"] == "9.8.7"


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_without_git_the_commit_is_not_known(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(provenance.subprocess, "run", fail)
    assert provenance._commit().startswith("not known")
