"""What a machine gives a process: a container's share of the cores, where it has one."""

from __future__ import annotations

import os

import pytest

from lib import machine


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 5),
        ("max 100000", 5),
        (None, 5),
    ],
)
def test_a_container_s_share_of_the_cores_is_all_that_is_used(limit, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(5), raising=False)
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    if limit is not None:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert machine.cores() == cores
