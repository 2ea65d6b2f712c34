"""Estimates of time: what was measured before, scaled by what there is to do."""

from __future__ import annotations

import doctest
import json
import shutil
from dataclasses import replace

import pytest

from lib.graph import estimate as module
from lib.graph.estimate import NOTHING, estimate, total
from lib.graph.past import past_records
from lib.studies.record import read_origin, write_origin
from lib.studies.study import Effort, Forecast, kind_named


@pytest.fixture
def timed(copied):
    """Gives the records of a study as if they had taken so long."""

    def records(name, *times):
        (first,) = past_records(copied.studies, name)
        origin = read_origin(first.folder)
        shutil.rmtree(first.folder)
        for place, (seconds, node_seconds) in enumerate(times):
            folder = first.folder.parent / f"{place:016}"
            write_origin(folder, replace(origin, seconds=seconds, node_seconds=node_seconds))
            (folder / "record.json").write_text(json.dumps(first.content))
        return past_records(copied.studies, name)

    return records


@pytest.mark.parametrize("more", [0.5, 1, 3])
def test_a_study_s_time_is_scaled_by_its_work_and_mlflow_s_share_is_not(more, timed):
    past = timed("look", (2.0, 7.0))
    found = estimate(Forecast(amount=1797 * more), "exploration", past)
    assert found.seconds == pytest.approx(2.0 * more + 5.0)
    assert ("scaled by" in found.basis) == (more != 1)


def test_the_examples_are_true():
    assert doctest.testmod(module).failed == 0


def test_what_a_study_does_beside_its_work_is_not_scaled(timed, monkeypatch):
    monkeypatch.setattr(kind_named("exploration"), "effort", lambda result: Effort(100.0, 3.0), raising=False)
    past = timed("look", (10.0, 11.0))
    assert estimate(Forecast(amount=200.0), "exploration", past).seconds == pytest.approx(7 + 6 + 1)


def test_a_sweep_of_twice_the_trials_takes_longer_and_of_none_left_still_takes_its_figures(timed, ran):
    past = timed("rates", (10.0, None))
    done = kind_named("sweep").effort(ran[1]["rates"].result)
    none, same, twice = (estimate(Forecast(amount=done.amount * n), "sweep", past).seconds for n in (0, 1, 2))
    assert same == pytest.approx(10.0)
    assert 0 < none < same < twice
    assert twice - same == pytest.approx(same - none)


def test_of_several_past_runs_the_median_counts(timed):
    past = timed("look", (3.0, None), (90.0, None), (4.0, None))
    found = estimate(Forecast(amount=1797.0), "exploration", past)
    assert found.seconds == pytest.approx(4.0)
    assert "and 2 before (median)" in found.basis


def test_what_is_not_alike_or_was_not_timed_in_one_go_tells_nothing(timed):
    past = timed("look", (None, None))
    assert estimate(Forecast(amount=1.0), "exploration", past).basis == NOTHING
    past = timed_again = [replace(each, origin=replace(each.origin, seconds=2.0)) for each in past]
    assert estimate(Forecast(amount=1.0), "exploration", past).seconds is not None
    assert estimate(Forecast(amount=1.0, alike="cuda"), "exploration", timed_again).basis == NOTHING
    assert estimate(Forecast(amount=1.0), "map", timed_again).basis == NOTHING
    unknown = estimate(Forecast(), "exploration", timed_again)
    assert unknown.seconds is None
    assert total([unknown, estimate(Forecast(amount=1797.0), "exploration", past)]) == (2.0, 1)
