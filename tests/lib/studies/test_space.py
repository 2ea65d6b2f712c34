"""Search spaces: typed, refused in one line when they cannot be, flattened for a sampler and back."""

from __future__ import annotations

import math

import pytest

from lib.config import Arm, Profile, load_profile
from lib.errors import ConfigError
from lib.studies.space import Space

ARM = "learning_rates.arms.study"
EMPTIED = f"{ARM}.grid={{}}"


def searched(search: str, *more: str) -> Profile:
    return load_profile(assignments=[EMPTIED, f"{ARM}.search={search}", *more], environment={})


def test_ranges_and_choices_become_dimensions_and_points_become_trials():
    space = Space.model_validate(
        {
            "learning_rate": {"low": 1e-4, "high": 1, "log": True},
            "hidden": {"depth": {"low": 1, "high": 3}, "units": {"low": 4, "high": 64, "log": True}},
            "batch_size": [16, 32],
        }
    )
    assert [(each.name, each.log, each.size) for each in space.dimensions()] == [
        ("depth", False, 3),
        ("units", True, 61),
        ("learning_rate", True, math.inf),
        ("batch_size", False, 2),
    ]
    point = {"depth": 2, "units": 8, "learning_rate": 0.5, "batch_size": 32}
    assert space.settings(point) == {"hidden": (8, 8), "learning_rate": 0.5, "batch_size": 32}
    assert space.ranges == ("hidden", "learning_rate")


def test_shapes_may_be_choices_even_of_no_layer():
    space = Space.model_validate({"hidden": [[], [64], [64, 32]]})
    assert space.dimensions()[0].choices == ("none", "64", "64-32")
    assert [space.settings({"hidden": word})["hidden"] for word in ("none", "64-32")] == [(), (64, 32)]


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{configurations: 2, space: {}}", "the space varies nothing"),
        ("{configurations: 0, space: {l2: [0, 1]}}", r"configurations: input should be greater than 0 \(got 0\)"),
        ("{configurations: 3, space: {l2: [0, 1]}}", "holds only 2 configurations, fewer than the 3 asked for"),
        ("{configurations: 2, space: {l2: [1, 1]}}", "name one value twice"),
        ("{configurations: 2, space: {lr: [1, 2]}}", "space.lr: there is no such setting"),
        ("{configurations: 2, space: {activation: [relu, gelu]}}", "'gelu'"),
        ("{configurations: 2, sampler: gp, space: {l2: [0, 1]}}", "sampler: .*'gp'"),
        ("{configurations: 2, space: {l2: {low: 2, high: 1}}}", "high 1 lies below low 2; exchange them"),
        ("{configurations: 2, space: {l2: {low: 0, high: 1, log: true}}}", "starts above 0, got low 0"),
        ("{configurations: 2, space: {momentum: {low: 0, high: 1}}}", r"momentum: .*less than 1 \(got 1.0\)"),
        ("{configurations: 2, space: {batch_size: {low: 0, high: 8}}}", "batch_size: .*greater than 0"),
        ("{configurations: 2, space: {hidden: {units: {low: 0, high: 8}}}}", "depth and units start at 1"),
        ("{configurations: 2, space: {hidden: {units: {low: 1, high: 8}, depth: {low: 0, high: 1}}}}", "start at 1"),
    ],
)
def test_a_space_that_cannot_be_is_named_in_one_line(search, message):
    with pytest.raises(ConfigError, match=message) as caught:
        searched(search)
    assert "\n" not in str(caught.value)


def test_an_arm_has_a_grid_or_a_search():
    search = f"{ARM}.search={{configurations: 2, space: {{l2: [0, 1]}}}}"
    with pytest.raises(ConfigError, match=r"study: has both a grid and a search; keep one"):
        load_profile(assignments=[search], environment={})


def test_a_file_s_search_takes_the_place_of_the_built_in_grid(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "extends: embedded\nlearning_rates:\n  arms:\n    study:\n"
        "      search: {configurations: 2, space: {learning_rate: [0.1, 0.2]}}\n"
    )
    profile = load_profile(file=file, environment={})
    arm = profile.learning_rates.arms["study"]
    assert (arm.grid, arm.varied) == ({}, ("learning_rate",))
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    assert profile.learning_rates.arms["sgd"].grid


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("patience=0", r"patience: input should be greater than 0 \(got 0\)"),
        ("rungs=[{epoch: 2, keep: 1}]", r"rungs.0.keep: input should be less than 1 \(got 1\)"),
        ("rungs=[{epoch: 4, keep: 0.5}, {epoch: 2, keep: 0.5}]", r"epochs \[4, 2\] do not rise"),
        ("rungs=[{epoch: 100, keep: 0.5}]", "at epoch 100 comes too late for arm 'study', whose trials end after 100"),
    ],
)
def test_stopping_that_cannot_be_is_named(assignment, message):
    with pytest.raises(ConfigError, match=message):
        load_profile(assignments=[f"learning_rates.{assignment}"], environment={})


def test_the_form_that_prefect_draws_knows_the_search():
    schema = Profile.model_json_schema()
    assert {"SearchSettings", "Space", "FloatRange", "IntRange", "Layers", "Rung"} <= set(schema["$defs"])
    assert all("description" in field for field in schema["$defs"]["SearchSettings"]["properties"].values())
    assert "search" in Arm.model_json_schema()["properties"]
