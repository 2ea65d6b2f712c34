"""The dependency audit: a known fault fails it unless a reason is given, and what was not looked up is counted."""

from __future__ import annotations

import importlib.util

import pytest

from tests.processes import REPOSITORY

_spec = importlib.util.spec_from_file_location("audit", REPOSITORY / ".ci" / "audit.py")
audit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(audit)

SOUND = {"name": "sound", "version": "1", "vulns": []}
FAULTY = {
    "name": "faulty",
    "version": "1",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"], "description": ""}],
}
UNKNOWN = {"name": "unknown", "skip_reason": "not on PyPI"}


def test_a_fault_fails_and_is_named_with_the_version_that_fixes_it(capsys):
    assert audit.judge([SOUND, FAULTY, UNKNOWN], set()) == (1, 1)
    assert capsys.readouterr().out == "faulty 1: PYSEC-1, fixed in 2\n"


def test_a_fault_with_a_reason_by_any_of_its_names_passes():
    assert audit.judge([FAULTY], audit.accepted("# why\nCVE-1 only on Windows\n")) == (0, 0)


def test_a_reason_must_be_given():
    with pytest.raises(SystemExit, match="gives no reason"):
        audit.accepted("CVE-1\n")
