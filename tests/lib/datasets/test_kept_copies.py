"""Copies: whole, of what their origin is now, and made once however many ask for them at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lib import locks
from lib.datasets import copies
from lib.datasets.copies import keep
from lib.errors import AbsentError, DataError, StorageError
from lib.locks import alone

CONTENT = bytes(range(256)) * 256


@dataclass
class Counted:
    """An origin in memory that counts how often it was copied."""

    content: bytes = CONTENT
    shown: str = "somewhere/else"
    is_near: bool = True
    away: bool = False
    copied: list[Path] = field(default_factory=list)

    def stamp(self):
        if self.away:
            raise DataError("no network")
        return {"version": str(hash(self.content))}

    def copy(self, target: Path) -> None:
        self.copied.append(target)
        target.write_bytes(self.content)


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch):
    monkeypatch.setattr(copies, "_unasked", {})


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)


def flip_at_the_same_time(path: Path) -> None:
    status = path.stat()
    flip(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path: Path) -> None:
    os.truncate(path, 1000)


def damage_note(path: Path) -> None:
    os.truncate(path.with_name(f".{path.name}.json"), 20)


@pytest.mark.parametrize("damage", [flip, flip_at_the_same_time, truncate, Path.unlink, damage_note])
def test_a_damaged_copy_is_made_again(damage, tmp_path):
    origin = Counted()
    copy = keep(tmp_path / "c", origin)
    assert keep(copy, origin).read_bytes() == CONTENT
    assert len(origin.copied) == 1
    damage(copy)
    assert keep(copy, origin).read_bytes() == CONTENT
    assert len(origin.copied) == 2


def test_a_replaced_origin_is_copied_again_and_one_that_is_away_is_not(tmp_path, capfd):
    origin = Counted()
    copy = keep(tmp_path / "c", origin)
    origin.content = b"new"
    assert keep(copy, origin).read_bytes() == b"new"
    origin.content, origin.away = b"newer", True
    assert keep(copy, origin).read_bytes() == b"new"
    assert "cannot be asked whether it changed (no network)" in capfd.readouterr().err


def test_what_could_not_be_asked_at_first_is_compared_later(tmp_path):
    origin = Counted(away=True, is_near=False)
    copy = keep(tmp_path / "c", origin)
    origin.away, origin.content = False, b"new"
    assert keep(copy, origin).read_bytes() == b"new"


def test_nothing_is_made_offline(tmp_path):
    origin = Counted(is_near=False)
    with pytest.raises(AbsentError):
        keep(tmp_path / "c", origin, offline=True)
    assert list(tmp_path.iterdir()) == []
    copy = keep(tmp_path / "c", origin)
    origin.content = b"new"
    assert keep(copy, origin, offline=True).read_bytes() == CONTENT
    flip(copy)
    with pytest.raises(AbsentError):
        keep(copy, origin, offline=True)


def test_an_origin_that_changes_meanwhile_gives_no_copy(tmp_path):
    class Changing(Counted):
        def copy(self, target):
            super().copy(target)
            self.content = b"new"

    with pytest.raises(DataError, match="somewhere/else changed while it was copied; run the same command again"):
        keep(tmp_path / "c", Changing())
    assert list(tmp_path.iterdir()) == []


def test_many_at_once_make_one_copy(tmp_path):
    origin = Counted()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keep(tmp_path / "c", origin).read_bytes(), range(32)))
    assert set(found) == {CONTENT}
    assert len(origin.copied) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".c.json", "c"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="a part of that path is a file"):
        keep(tmp_path / "file" / "c", Counted())


def test_processes_take_turns_and_the_turn_of_a_killed_one_ends(tmp_path):
    script = (
        "import json, os, sys, time\nfrom pathlib import Path\nfrom lib.locks import alone\n"
        "with alone(Path(sys.argv[1])):\n"
        "    count = Path(sys.argv[2])\n"
        "    before = int(count.read_text())\n"
        "    print('in', flush=True)\n"
        "    time.sleep(float(sys.argv[3]))\n"
        "    count.write_text(str(before + 1))\n"
    )
    count = tmp_path / "count"
    count.write_text("0")

    def start(seconds: float) -> subprocess.Popen:
        command = [sys.executable, "-c", script, str(tmp_path / "c"), str(count), str(seconds)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        )

    hung = start(60)
    assert hung.stdout.readline() == b"in\n"
    others = [start(0.05) for _ in range(3)]
    hung.kill()
    assert [each.wait(60) for each in others] == [0, 0, 0]
    hung.wait()
    assert count.read_text() == "3"
    for each in (hung, *others):
        each.stdout.close()


def test_a_note_says_where_a_copy_is_from(tmp_path):
    keep(tmp_path / "c", Counted())
    note = json.loads((tmp_path / ".c.json").read_text())
    assert (note["origin"], note["size"]) == ("somewhere/else", len(CONTENT))


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with alone(tmp_path / "c"):
        pass
    assert keep(tmp_path / "c", Counted()).read_bytes() == CONTENT
