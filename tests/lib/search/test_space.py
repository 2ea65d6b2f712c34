"""Search spaces: typed, refused in one line when they cannot be, flattened for a sampler and back."""

from __future__ import annotations

import doctest
import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from lib.errors import ConfigError
from lib.mlp.trial import Trial
from lib.profile import Profile, load_profile
from lib.search import variant
from lib.search.space import Dimension, FloatRange, Space, space_fields
from lib.search.variant import Variant

VARIANT = "studies.learning_rates.variants.study"


def searched(search: str, *more: str) -> Profile:
    return load_profile(assignments=[f"{VARIANT}.search={search}", *more], environment={})


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


def test_the_examples_are_true():
    assert doctest.testmod(variant).failed == 0


class Regularised(Trial):
    """A trial with hyperparameters more, declared nowhere else."""

    noise: float = Field(0.0, ge=0, lt=1, description="Of inputs.")
    restarts: int = Field(0, ge=0, description="Of the schedule.")
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"


def test_a_space_has_every_searched_field_of_a_trial_and_a_new_one_by_itself():
    assert list(Space.model_fields) == [name for name in Trial.model_fields if name != "seed"]
    assert all(field.description for field in Space.model_fields.values())
    wider = space_fields(Regularised)
    given = {"noise": {"low": 0, "high": 0.5}, "restarts": [1, 2], "loss": ["cross-entropy", "focal"]}
    space = wider.model_validate(given)
    assert (space.noise, space.restarts) == (FloatRange(low=0, high=0.5), (1, 2))
    for wrong in ({"noise": ["a"]}, {"restarts": {"low": 0.5, "high": 1}}, {"loss": ["hinge"]}):
        with pytest.raises(ValidationError):
            wider.model_validate(wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"grid": {"learning_rate": [0.1, 0.10]}}, "learning_rate: the value 0.1 is given twice; keep one"),
        ({"grid": {"learning_rate": [0.1, "0.1"]}}, "learning_rate: the value 0.1 is given twice"),
        ({"grid": {"batch_size": [64, 64.0]}}, "batch_size: the value 64 is given twice"),
        ({"grid": {"hidden": [[64], [32], (64,)]}}, r"hidden: the value \[64\] is given twice"),
        ({"grid": {"hidden": [[64], [0]]}}, r"grid.hidden.1.0"),
        ({"grid": {"learning_rate": [-1]}}, "greater than 0"),
        ({"grid": {"l2": []}}, "gives no value for 'l2'"),
        ({"grid": {"seed": [1, 2]}}, "may not vary 'seed'"),
        (
            {"grid": {"hidden": [[], [64]], "activation": ["relu", "tanh"]}},
            r"hidden \[\] has no activation, so relu, tanh",
        ),
        ({"base": {"hidden": []}, "grid": {"activation": ["relu", "tanh"]}}, "give hidden .* a variant of its own"),
        (
            {"search": {"configurations": 2, "space": {"hidden": [[], [64]], "activation": ["relu", "tanh"]}}},
            r"hidden \[\] has no activation",
        ),
    ],
)
def test_a_variant_that_would_train_one_network_twice_or_none_is_refused(content, message):
    with pytest.raises(ValidationError, match=message):
        Variant.model_validate({"base": {}} | content)


def test_a_variant_of_linear_probes_alone_or_with_one_activation_is_fine():
    alone = Variant.model_validate({"base": {"hidden": []}, "grid": {"l2": [0, 1]}})
    assert {trial.hidden for trial in alone.trials((0, 1))} == {()}
    both = Variant.model_validate({"base": {}, "grid": {"hidden": [[], [8]], "activation": ["tanh"]}})
    assert both.grid["hidden"] == ((), (8,))
    assert Variant.model_validate_json(both.model_dump_json()) == both


@given(low=st.floats(1e-6, 1e3), share=st.floats(1e-5, 1e3), at=st.floats(0, 1))
def test_a_drawn_number_is_one_of_few_digits_in_its_range(low, share, at):
    dimension = Dimension("learning_rate", (), low, low * (1 + share))
    drawn = min(dimension.low + at * (dimension.high - dimension.low), dimension.high)
    short = dimension.short(drawn)
    assert dimension.low <= short <= dimension.high
    assert abs(short - drawn) <= 1e-3 * max(dimension.high - dimension.low, drawn)
    assert dimension.short(short) == short


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{configurations: 2, space: {}}", "the space varies nothing"),
        ("{configurations: 0, space: {l2: [0, 1]}}", r"configurations: input should be greater than 0 \(got 0\)"),
        ("{configurations: 3, space: {l2: [0, 1]}}", "holds only 2 configurations, fewer than the 3 asked for"),
        ("{configurations: 2, space: {l2: [1, 1]}}", "l2: the value 1.0 is given twice"),
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


def test_a_variant_has_a_grid_or_a_search():
    grid, search = {"l2": [0, 1]}, {"configurations": 2, "space": {"l2": [0, 1]}}
    with pytest.raises(ValidationError, match="has both a grid and a search; keep one"):
        Variant.model_validate({"base": {}, "grid": grid, "search": search})
    (study,) = [searched("{configurations: 2, space: {l2: [0, 1]}}").studies["learning_rates"].variants["study"]]
    assert (study.grid, study.varied) == ({}, ("l2",)), "a search that is set takes the grid's place"


def test_a_file_s_search_takes_the_place_of_the_built_in_grid(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "extends: embedded\nstudies:\n  learning_rates:\n    variants:\n      study:\n"
        "        search: {configurations: 2, space: {learning_rate: [0.1, 0.2]}}\n"
    )
    profile = load_profile(file=file, environment={})
    variants = profile.studies["learning_rates"].variants
    assert (variants["study"].grid, variants["study"].varied) == ({}, ("learning_rate",))
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    assert variants["sgd"].grid


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("patience=0", r"patience: input should be greater than 0 \(got 0\)"),
        ("rungs=[{epoch: 2, keep: 1}]", r"rungs \(entry 1\).keep: input should be less than 1 \(got 1\)"),
        ("rungs=[{epoch: 4, keep: 0.5}, {epoch: 2, keep: 0.5}]", r"epochs \[4, 2\] do not rise"),
        (
            "rungs=[{epoch: 100, keep: 0.5}]",
            "at epoch 100 comes too late for variant 'sgd', whose trials end after 100",
        ),
    ],
)
def test_stopping_that_cannot_be_is_named(assignment, message):
    with pytest.raises(ConfigError, match=message):
        load_profile(assignments=[f"studies.learning_rates.{assignment}"], environment={})
