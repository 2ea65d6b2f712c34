"""Records that are shown while nodes compute."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tasks import tracking
from tasks.tracking import Showing


@pytest.fixture
def futures(monkeypatch):
    """Futures of what is shown, by folder."""
    begun = {}
    monkeypatch.setattr(tracking.show_study, "submit", lambda folder: begun.setdefault(folder, Future()))
    return begun


def test_outcomes_come_as_records_are_shown_and_the_oldest_is_waited_for_where_too_many_are_not(futures):
    showing = Showing()
    for name in "abcd":
        showing.begin(name, f"/{name}")
    assert list(showing.outcomes(4)) == []
    futures["/c"].set_result({"run": 3})
    assert list(showing.outcomes(4)) == [("c", {"run": 3})]
    futures["/a"].set_result({"run": 1})
    futures["/b"].set_result({"run": 2})
    assert [name for name, _ in showing.outcomes(1)] == ["a", "b"]
    futures["/d"].set_result({"run": 4})
    assert [name for name, _ in showing.outcomes(0)] == ["d"]
    assert list(showing.outcomes(0)) == []


def test_what_showing_one_raised_is_raised(futures):
    showing = Showing()
    showing.begin("a", "/a")
    futures["/a"].set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        list(showing.outcomes(8))
