"""What a run says before it computes anything: what was understood of each dataset, what is to do, what is there already."""

from __future__ import annotations

from lib.datasets import acquire
from lib.graph import check_graph
from lib.graph.preflight import NodeAhead, Preflight
from lib.studies.record import open_record
from lib.studies.study import Forecast
from tests.lib.graph.conftest import tiny_profile


def test_data_and_work_are_told_before_the_first_run(where):
    profile = tiny_profile()
    ahead = check_graph(profile, list(profile.graph.nodes), where)
    assert not where.studies.exists()
    digits = acquire(profile.data["digits"], where.data).understood
    assert ahead.data == {"digits": digits}
    assert list(ahead.lines()) == [
        *(f"digits: {line}" for line in digits.lines()),
        "to compute: look (exploration), rates (sweep, 2 trials), map (map)",
    ]


def test_what_is_there_already_and_what_is_left_of_a_sweep_are_told(copied):
    profile = tiny_profile(rates={"seeds": [0, 1]})
    lines = list(check_graph(profile, list(profile.graph.nodes), copied).lines())
    assert lines[-2:] == ["to compute: rates (sweep, 4 trials), map (map)", "there already: look"]
    assert list(check_graph(tiny_profile(), ["map"], copied).lines())[-1] == "there already: rates, map"


def test_what_is_partly_there_is_counted():
    nodes = (
        NodeAhead("fc8", "features", Forecast(shards=12, missing=7)),
        NodeAhead("heads", "sweep", Forecast(trials=1, stored=0)),
        NodeAhead("more", "sweep", Forecast(trials=1200, stored=200)),
        NodeAhead("later", "sweep", Forecast(trials=8, stored=None)),
        NodeAhead("both", "sweep", Forecast(trials=24, stored=4, searched=120)),
        NodeAhead("search", "sweep", Forecast(searched=120)),
    )
    assert list(Preflight({}, nodes).lines()) == [
        "to compute: fc8 (features, 7 of 12 shards), heads (sweep, 1 trial), more (sweep, 1,000 of 1,200 trials), "
        "later (sweep, 8 trials), both (sweep, 20 of 24 trials + 120 by search), search (sweep, 120 trials by search)"
    ]


def test_a_record_keeps_what_was_understood_of_its_data(ran, where):
    _, records, _ = ran
    understood = acquire(tiny_profile().data["digits"], where.data).understood
    for record in records.values():
        assert record.dataset.understood == open_record(record.folder).dataset.understood == understood
