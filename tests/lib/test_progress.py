"""Progress off a terminal, silent for short work, a line now and then for long work; and told to whoever shows it."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Thread

import pytest

from lib import progress


def test_short_work_says_nothing_and_long_work_says_how_far_it_is(capsys, monkeypatch):
    with progress.bar("verify pets", 200, "image") as advance:
        advance(100)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.bar("verify pets", 2000, "image") as advance:
        advance(1500)
    assert capsys.readouterr().err == "verify pets: 1,500 of 2,000 images (75%)\n"


class Told:
    """A display that remembers what it was told."""

    def __init__(self):
        self.events = []

    def began(self, step, kind):
        self.events.append(("began", step, kind))

    def ended(self, step, outcome, stopped=False):
        self.events.append(("stopped" if stopped else "ended", step, outcome))

    @contextmanager
    def bar(self, label, total, unit, step):
        yield lambda count: self.events.append((label, count, step))


def test_who_shows_progress_is_told_steps_their_outcomes_and_which_step_a_bar_is_of(capsys):
    def beside():
        with progress.bar("other to MLflow", 1, "run") as advance:
            advance(1)

    told, thread = Told(), Thread(target=beside)
    with progress.shown_by(told):
        with progress.running("heads", "sweep") as outcome, progress.bar("train heads", 4, "epoch") as advance:
            advance(4)
            thread.start()
            thread.join()
            outcome("tanh")
        with pytest.raises(ValueError, match="bad"), progress.running("report"):
            raise ValueError("bad")
        with pytest.raises(KeyboardInterrupt), progress.running("map"):
            raise KeyboardInterrupt
    assert told.events == [
        ("began", "heads", "sweep"),
        ("train heads", 4, "heads"),
        ("other to MLflow", 1, None),
        ("ended", "heads", "tanh"),
        ("began", "report", ""),
        ("ended", "report", None),
        ("began", "map", ""),
        ("stopped", "map", None),
    ]
    with progress.running("later"), progress.bar("later", 1, "run") as advance:
        advance(1)
    assert len(told.events) == 8
