"""Progress off a terminal: silent for short work, a line now and then for long work."""

from __future__ import annotations

from lib import progress


def test_short_work_says_nothing_and_long_work_says_how_far_it_is(capsys, monkeypatch):
    with progress.bar("verify pets", 200, "image") as advance:
        advance(100)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.bar("verify pets", 2000, "image") as advance:
        advance(1500)
    assert capsys.readouterr().err == "verify pets: 1,500 of 2,000 images (75%)\n"
