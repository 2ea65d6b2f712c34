"""The plan of a run says what the run then finds and does."""

from __future__ import annotations

import pytest

from lib.errors import ConfigError
from lib.graph import plan_run, ready_node
from lib.graph.plan import State
from lib.places import Workers
from lib.profile import parse_profile
from tests.lib.graph.conftest import HERE, TINY, tiny_profile
from tests.small_profile import small_profile


def test_before_a_run_all_is_to_do_and_nothing_is_written(where):
    plan = plan_run(small_profile(), None, where, HERE)
    assert [node.name for node in plan.nodes] == [*small_profile().graph.nodes, "promote", "report"]
    assert {node.name for node in plan.nodes if node.state is State.CACHED} == {"digits", "patches"}
    assert (plan["fc8"].forecast.shards, plan["fc8"].forecast.missing) == (5, 5)
    assert (plan["activations"].forecast.trials, plan["activations"].forecast.stored) == (8, 0)
    assert all(node.told == "nothing of it is recorded yet" for node in plan.nodes if node.state is State.TO_DO)
    assert not where.data.exists()


def test_weights_that_are_not_here_are_said_to_be_downloaded_and_how_large_they_are(where):
    content = small_profile().model_dump(mode="json")
    content["features"]["fc8"]["weights"] = "imagenet"
    mirrored = where.model_copy(update={"mirror": "https://me:secret@mirror.org/x"})
    for place, words in ((where, ""), (mirrored, " from https://mirror.org/x")):
        plan = plan_run(parse_profile(content), ["fc8"], place, HERE)
        assert plan["fc8"].told == f"ImageNet weights (233 MB) are downloaded{words} first; only then its key is known"


def test_the_keys_that_are_planned_are_those_of_the_records(ran):
    where, records, run = ran
    plan = plan_run(tiny_profile(), None, where, HERE)
    assert {node.name: node.key for node in plan.nodes if node.key} == {
        **{name: record.key for name, record in records.items()},
        "report": run.key,
    }
    assert all(node.state is State.CACHED for node in plan.nodes)
    assert plan["rates"].told == str(records["rates"].folder)
    untouched = plan_run(tiny_profile(), None, where.model_copy(update={"data": where.data / "none"}), HERE)
    assert untouched["map"].key == records["map"].key, "the key is known before the sweep has run"


def test_some_nodes_are_planned_with_what_they_need(where):
    plan = plan_run(tiny_profile(), ["map"], where, HERE)
    assert [node.name for node in plan.nodes] == ["digits", "rates", "map"]
    with pytest.raises(ConfigError, match="unknown node 'tsne'; known: digits, look, rates, map"):
        plan_run(tiny_profile(), ["tsne"], where, HERE)


def test_what_is_stored_of_an_interrupted_sweep_is_told(where):
    work = ready_node(tiny_profile(), "rates", where).work()
    assert work is not None
    assert work.do([0]) == 1
    plan = plan_run(tiny_profile(), ["rates"], where, Workers(pool="gpu", chunks=2))
    rates = plan["rates"]
    assert (rates.forecast.trials, rates.forecast.stored) == (2, 1)
    assert rates.told == "begun: 1 of 2 trials stored"
    assert [(piece.number, piece.of, piece.units, piece.missing) for piece in rates.pieces] == [
        (1, 2, 1, 0),
        (2, 2, 1, 1),
    ]
    assert sum(piece.share for piece in rates.pieces) == pytest.approx(1)


def test_data_that_is_not_here_has_no_sizes_yet_and_is_not_fetched(where):
    content = TINY | {"data": {"digits": {"source": "mnist"}}}
    plan = plan_run(parse_profile(content), None, where, HERE)
    assert plan["digits"].state is State.TO_DO
    assert "digits: not on this machine yet" in plan["look"].told
    assert plan["rates"].key is None
    assert plan["report"].told.startswith("the keys of look, rates, map are not known")
    assert not where.data.exists()


def test_a_study_that_a_run_would_refuse_is_refused_by_its_plan(where):
    with pytest.raises(ConfigError, match=r"studies.map.perplexity: 60 must be below"):
        plan_run(tiny_profile(map={"perplexity": 60}), None, where, HERE)


def test_times_are_estimated_from_the_records_of_such_studies(ran):
    where = ran[0]
    plan = plan_run(tiny_profile(rates={"seeds": [0, 1, 2]}, look={"grid": 2}), None, where, HERE)
    smaller = plan_run(tiny_profile(rates={"seeds": [1]}), None, where, HERE)
    assert plan["rates"].estimate.seconds > smaller["rates"].estimate.seconds > 0
    assert plan["look"].estimate.basis.startswith("look of ")
    assert plan["report"].told == "look changed, map changed, rates changed"
