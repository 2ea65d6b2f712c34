"""Steps of a run on a real terminal: what it shows while they run, and that it is as before when they end, however they do."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
from contextlib import suppress

import pytest

from tests.live_steps import STEPS
from tests.processes import REPOSITORY
from tests.screen import Screen


def shown(end: str, columns: int, lines: int, encoding: str = "utf-8") -> tuple[Screen, str, int]:
    """The screen of the program after its end, all that it wrote, and its exit status or signal."""
    pid, terminal = pty.fork()
    if pid == 0:
        size = {"COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm"}
        environment = os.environ | size | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding}
        environment.pop("NO_COLOR", None)
        os.execve(sys.executable, [sys.executable, "-m", "tests.live_steps", end], environment)
    written, signalled = b"", end not in ("SIGINT", "SIGTERM")
    with suppress(OSError):  # the terminal of a process that has ended
        while part := os.read(terminal, 1 << 16):
            written += part
            if signalled or b"ready" not in written or select.select([terminal], [], [], 0.05)[0]:
                continue  # a terminal throws away what it has not shown yet at Ctrl-C
            signalled = True
            if end == "SIGTERM":
                os.kill(pid, signal.SIGTERM)
            else:
                os.write(terminal, b"\x03")  # which the terminal echoes
    os.close(terminal)
    status = os.waitpid(pid, 0)[1]
    text = written.decode(encoding)
    return Screen(columns, lines).write(text), text, os.waitstatus_to_exitcode(status)


def frames(text: str, columns: int, lines: int) -> list[str]:
    """The screen each time before it is drawn anew."""
    parts, before, found = text.split("\r\x1b[2K"), "", []
    for part in parts:
        before += part
        found.append(Screen(columns, lines).write(before).text)
        before += "\r\x1b[2K"
    return found


@pytest.mark.parametrize(("columns", "lines"), [(110, 30), (60, 24), (40, 10)])
def test_a_table_of_steps_moves_while_they_run_and_is_gone_after_them(columns, lines):
    screen, text, status = shown("well", columns, lines)
    assert (status, screen.cursor_shown, screen.coloured) == (0, True, False)
    left = [line for line in screen.text.splitlines() if line]
    assert left == [*(f"step{number} waits for nobody" for number in range(6)), "ready", "the end"]
    moments = frames(text, columns, lines)
    assert any("step0 to ML" in moment and "● step" in moment for moment in moments)  # from another thread
    last = [moment for moment in moments if "● step6" in moment][-1]
    (running,) = [line for line in last.splitlines() if "● step6" in line]
    assert "━━━───" in running
    table = last[last.rindex("waits for nobody") :].splitlines()[1:]
    assert len(table) <= lines - 1
    assert max(map(len, table)) <= columns
    if columns >= 60:
        assert "250 of 1,000" in running
        assert " s" in running  # how long it has run
    if lines > 20:
        assert sum("· step" in line for line in table) == 5
        assert "tanh · 0.9 ± 0.1 猫, of step5" in last
    else:
        assert "6 of 12 done" in last


@pytest.mark.parametrize(
    ("end", "status", "sign"),
    [("error", 1, "✗"), ("SIGINT", -signal.SIGINT, "■"), ("SIGTERM", -signal.SIGTERM, "")],
)
def test_however_it_ends_the_terminal_is_as_before(end, status, sign):
    screen, _, ended = shown(end, 80, 24)
    assert ended == status
    assert (screen.cursor_shown, screen.coloured) == (True, False)
    after = screen.text[screen.text.index("ready") :]
    assert after.count("step6") == (after.count(f"{sign} step6") if end != "SIGTERM" else 0)
    assert after.count("progress") == (end != "SIGTERM")
    if end != "SIGTERM":  # the table stays, for it tells how far the run came
        assert (
            after.index("✓ step0") < after.index(f"{sign} step6") < after.index("· step11") < after.index("Traceback")
        )


def test_without_unicode_it_is_ascii_of_the_same_widths():
    screen, text, _ = shown("error", 80, 24, "ascii")
    after = screen.text[screen.text.index("ready") :]
    lines = {line.split()[1]: line for line in after.splitlines() if line[2:].startswith("step")}
    assert list(lines) == [name for name, _ in STEPS]
    assert "tanh | 0.9 +/- 0.1 \\u732b, of step0" in lines["step0"]
    assert len({len(line) for line in lines.values() if line.endswith(" s")}) == 1
    assert "###---------" in [moment for moment in frames(text, 80, 24) if "* step6" in moment][-1]
