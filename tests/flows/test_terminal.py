"""What commands print on terminals of any encoding."""

from __future__ import annotations

import doctest
import io
import sys

import pytest

from flows import terminal
from flows.terminal import readable_everywhere


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", rb"---- caf\xe9 +/- 1 | \u732b..."),
        ("latin-1", b"---- caf\xe9 \xb1 1 \xb7 \\u732b..."),
        ("utf-8", "──── caf\u00e9 ± 1 · 猫…".encode()),
    ],
)
def test_what_a_terminal_lacks_is_written_in_ascii(encoding, printed, monkeypatch):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding)
        monkeypatch.setattr(sys, name, stream)
        readable_everywhere()
        stream.write("──── caf\u00e9 ± 1 · 猫…")
        stream.flush()
        assert stream.buffer.getvalue() == printed


def test_a_name_that_is_no_utf_8_is_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    readable_everywhere()
    stream.write("caf\udce9.png")
    stream.flush()
    assert stream.buffer.getvalue() == rb"caf\xe9.png"


def test_the_example_is_true():
    assert doctest.testmod(terminal).failed == 0
