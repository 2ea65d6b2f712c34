"""Files appear whole or not at all, and a disk that fails says so in one line."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import ClassVar

import pytest

from lib import files
from lib.errors import StorageError
from lib.files import atomic_path, digest_json, require_writable, sealed, unsealed, write_bytes, write_json
from lib.machine import this_process
from tests.conftest import REPOSITORY


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    write_bytes(tmp_path / "f", b"old")

    def fail() -> None:
        with atomic_path(tmp_path / "f") as temporary:
            temporary.write_bytes(b"ne")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "disk full while writing"), (errno.EROFS, "cannot write")]
)
def test_a_full_or_read_only_disk_is_named_with_its_fix(tmp_path, monkeypatch, number, words):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=f"{words} {tmp_path}"):
        write_bytes(tmp_path / "f", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_disk_is_told_in_one_line(tmp_path):
    """A file size limit stands in for a small disk where none can be mounted; /dev/full is the real thing."""
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device
        pytest.skip("/dev/full is not here: Linux only")
    code = (
        "import os; from pathlib import Path; from lib.files import storage_errors\n"
        "with storage_errors(Path('/dev/full')):\n    open('/dev/full', 'wb', buffering=0).write(b'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StorageError: disk full while writing /dev/full: free some space" in done.stderr


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(StorageError, match="is a file, not a folder"):
        require_writable(tmp_path / "f" / "data")


def test_nan_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "f", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_the_json_digest_ignores_key_order_only():
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1}) != digest_json({"a": 2, "b": 1})


class TestAbandoned:
    def test_what_a_dead_process_left_is_removed_and_what_others_write_is_not(self, tmp_path):
        child = subprocess.run(
            [sys.executable, "-c", "from lib.machine import this_process; print(this_process())"],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        )  # fmt: skip
        dead, mine = child.stdout.strip(), this_process()
        foreign = "elsewhere-1-1"
        for owner in (dead, mine, foreign):
            (tmp_path / f".a.parquet.{owner}.0123abcd.tmp").touch()
        old = tmp_path / f".b.parquet.{foreign}.0123abcd.tmp"
        old.touch()
        os.utime(old, (0, 0))
        files.remove_abandoned(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            f".a.parquet.{owner}.0123abcd.tmp" for owner in (mine, foreign)
        )


class TestSealedJson:
    CONTENT: ClassVar = {"numbers": {10: 0.1, 9: 1e-300}, "names": ("a", "ü"), "none": None}

    def test_comes_back_whole_after_a_file(self):
        assert unsealed(json.loads(json.dumps(sealed(self.CONTENT)))) == json.loads(json.dumps(self.CONTENT))

    def test_is_refused_when_any_of_it_changed_and_may_be_sealed_anew(self):
        content = json.loads(json.dumps(sealed(self.CONTENT)))
        for changed in (content | {"none": 0}, content | {"more": 1}, content | {"sha256": None}, [content]):
            with pytest.raises(ValueError, match=r"its sha256 does not fit its content|it holds list, not fields"):
                unsealed(changed)
        assert unsealed(sealed(content | {"none": 0}))["none"] == 0

    def test_may_have_to_be_sealed(self):
        assert unsealed({"a": 1}) == {"a": 1}
        with pytest.raises(ValueError, match="does not fit"):
            unsealed({"a": 1}, must=True)
