"""A profile is a graph: its nodes are checked once, in one line that names the node and the fix, and have an order."""

from __future__ import annotations

from typing import Any

import pytest

from lib.errors import ConfigError
from lib.profile import Profile, load_profile, parse_profile
from lib.profile.graph import part_of
from lib.studies.study import Group

LINEAR = {"linear": {"base": {"hidden": []}, "grid": {"learning_rate": [0.1, 0.01]}}}


def content(**changes: Any) -> dict[str, Any]:
    """A profile of two datasets, a feature set, and studies of three kinds."""
    plain: dict[str, Any] = {
        "name": "mine",
        "data": {"digits": {"source": "digits"}, "patches": {"source": "photo-patches"}},
        "features": {"pool5": {"of": "patches", "weights": "random", "layer": "pool5"}},
        "studies": {
            "map": {"kind": "map", "of": "heads"},
            "heads": {"kind": "sweep", "on": "pool5", "variants": LINEAR, "test": True, "also_on": ["patches"]},
            "look": {"kind": "exploration", "on": "digits"},
        },
        "promote": "heads",
    }
    return plain | changes


def studies(**changes: Any) -> dict[str, Any]:
    return {name: each for name, each in (content()["studies"] | changes).items() if each is not None}


def refusal(given: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_profile(given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_a_node_needs_comes_before_it_and_the_profiles_order_is_kept_else() -> None:
    assert list(parse_profile(content()).graph.nodes) == ["digits", "patches", "pool5", "look", "heads", "map"]


def test_the_root_of_a_node_is_its_first_inputs_dataset() -> None:
    graph = parse_profile(content()).graph
    assert [graph.data_of(name).name for name in ("map", "heads", "look")] == ["patches", "patches", "digits"]


def test_a_run_of_some_nodes_brings_what_they_need() -> None:
    graph = parse_profile(content()).graph
    assert graph.chosen(["heads"]) == ["patches", "pool5", "heads"]
    assert graph.chosen(["exploration"]) == ["digits", "look"], "a kind stands for the studies of it"
    assert graph.chosen(["features"]) == ["patches", "pool5"], "a group stands for its nodes"
    assert graph.chosen(None) == list(graph.nodes)


def test_an_unknown_node_is_named_with_those_that_there_are() -> None:
    graph = parse_profile(content()).graph
    with pytest.raises(ConfigError, match="unknown node 'hads'; known: digits, patches, pool5, look, heads, map"):
        graph.chosen(["hads"])
    message = refusal(content(studies=studies(look={"kind": "exploration", "on": "digit"})))
    assert "studies.look.on: there is no node 'digit'; nodes of data: digits, patches" in message


def test_a_circle_is_named() -> None:
    circle = studies(heads=None, map={"kind": "map", "of": "map"})
    assert "circle" in refusal(content(studies=circle, promote=None))


def test_one_name_is_one_node_in_the_whole_profile() -> None:
    message = refusal(content(studies=studies(digits={"kind": "exploration", "on": "patches"})))
    assert "studies.digits: data.digits has that name already" in message


@pytest.mark.parametrize("name", ["pipeline", "promote", "report"])
def test_a_reserved_name_is_refused(name: str) -> None:
    assert name in refusal(content(studies=studies(**{name: {"kind": "exploration", "on": "digits"}})))


def test_a_study_on_the_wrong_kind_of_node_is_refused() -> None:
    message = refusal(content(studies=studies(map={"kind": "map", "of": "look"})))
    assert "studies.map.of: 'look' is studies.look of kind exploration, which cannot stand there" in message
    assert message.endswith("nodes of studies of kind sweep or features or data: digits, patches, pool5, heads")
    assert "studies.look.on" in refusal(content(studies=studies(look={"kind": "exploration", "on": "pool5"})))


def test_an_unknown_kind_of_study_is_named_with_the_known_ones() -> None:
    message = refusal(content(studies=studies(look={"kind": "explore", "on": "digits"})))
    assert "unknown kind of study 'explore'; known: exploration, features, inspection, map, scaling, sweep" in message


def test_only_a_sweep_that_tests_is_promoted() -> None:
    assert "there is no study 'head'; studies: look, heads, map" in refusal(content(promote="head"))
    untested = studies(heads={"kind": "sweep", "on": "pool5", "variants": LINEAR})
    assert "set studies.heads.test to true" in refusal(content(studies=untested))


def test_a_part_of_a_profile_is_a_profile_of_its_own_with_the_places_of_its_data() -> None:
    profile = parse_profile(content())
    part = part_of(profile, profile.graph, ["heads"], {"patches": {"source": "photo-patches", "seed": 3}})
    smaller = Profile.model_validate(part)
    assert list(smaller.graph.nodes) == ["patches", "pool5", "heads"]
    assert smaller.data["patches"].model_dump()["seed"] == 3
    assert smaller.features["pool5"] == profile.features["pool5"]
    assert [node.name for node in smaller.graph.group(Group.STUDIES)] == ["heads"]


def test_a_mistake_deep_in_a_node_keeps_its_place() -> None:
    wrong = studies(heads={"kind": "sweep", "on": "pool5", "variants": {"mlp": {"base": {"hidden": [0]}}}})
    assert "studies.heads.variants.mlp.base.hidden (entry 1): " in refusal(content(studies=wrong, promote=None))
    assert "data.digits.test_fraction" in refusal(content(data={"digits": {"source": "digits", "test_fraction": 2}}))


def test_a_profile_whose_json_lost_its_order_makes_the_same_trials_in_the_same_order() -> None:
    """PostgreSQL, in which Prefect keeps parameters, sorts the names of an object."""

    def sort(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: sort(value[name]) for name in sorted(value, key=lambda name: (len(name), name), reverse=True)}
        return [sort(each) for each in value] if isinstance(value, list) else value

    profile = load_profile("embedded", environment={})
    other = parse_profile(sort(profile.model_dump(mode="json")))
    assert other == profile
    for name in ("activations", "hidden_units", "classifier"):
        one, two = (each.studies[name] for each in (profile, other))
        assert list(one.variants) == list(two.variants)
        for variant in one.variants:
            assert one.variants[variant].trials(one.seeds) == two.variants[variant].trials(two.seeds)
