"""Names, labels, MLflow parameters and keys come from the fields of a trial."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from lib.mlp import labels
from lib.mlp.labels import label, params, setting, settings_key
from lib.mlp.trial import Seeds, Trial, require_distinct, searched_fields

positive = st.floats(1e-300, 1e300)


class Regularised(Trial):
    """A trial with a hyperparameter more, declared nowhere else."""

    dropout: float = Field(0.0, ge=0, lt=1, description="Share of units left out.")


def test_the_examples_are_true():
    assert doctest.testmod(labels).failed == 0


@given(one=positive, other=positive)
def test_two_rates_read_the_same_only_when_they_are_the_same(one, other):
    assert (setting("learning_rate", one) == setting("learning_rate", other)) == (one == other)
    assert float(setting("learning_rate", one).removeprefix("rate ")) == one


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (
            Trial(hidden=()),
            "linear probe · relu · he init · sgd · rate 0.1 · momentum 0 · L2 0 · batch 128 · 100 epochs",
        ),
        (
            Trial(hidden=(5,), activation="tanh", optimizer="adam", learning_rate=0.1001, l2=1e-5, epochs=7),
            "5 units · tanh · he init · adam · rate 0.1001 · momentum 0 · L2 1e-05 · batch 128 · 7 epochs",
        ),
        (
            Trial(hidden=(64, 32), init="zero", momentum=0.9, learning_rate=1e6),
            "layers 64-32 · relu · zero init · sgd · rate 1e+06 · momentum 0.9 · L2 0 · batch 128 · 100 epochs",
        ),
    ],
)
def test_a_label_states_each_setting_in_its_words(trial, words):
    assert label(trial, searched_fields()) == words


def test_parameters_are_the_fields_with_numbers_as_numbers():
    assert params(Trial(hidden=(5,), seed=2)) == Trial(seed=2).model_dump() | {"hidden": 5}
    assert [params(Trial(hidden=hidden))["hidden"] for hidden in ((), (64, 32))] == ["none", "64-32"]


def test_a_new_field_of_a_trial_has_a_label_a_parameter_and_a_place_in_the_key():
    trial = Regularised(dropout=0.5)
    assert label(trial, ["l2", "dropout"]) == "L2 0 · dropout 0.5"
    assert params(trial)["dropout"] == 0.5
    assert settings_key(trial) != settings_key(Regularised())
    assert "dropout" in searched_fields(Regularised)


def test_a_key_is_of_the_settings_alone():
    assert settings_key(Trial(learning_rate=0.1)) != settings_key(Trial(learning_rate=0.1 + 1e-15))
    assert settings_key(Trial(l2=1, seed=4)) == settings_key(Trial(l2=1.0))
    assert settings_key(Trial(seed=4), without=()) != settings_key(Trial(), without=())
    assert settings_key(Trial(epochs=4), without=("epochs", "seed")) == settings_key(
        Trial(), without=("epochs", "seed")
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.1, 0.2, 0.10), "x: the value 0.1 is given twice; keep one"),
        ((64, 64.0), "x: the value 64.0 is given twice"),
        (([64], (64,)), r"x: the value \[64\] is given twice"),
        (([], ()), r"x: the value \[\] is given twice"),
        (("relu", "tanh", "relu"), "x: the value relu is given twice"),
    ],
)
def test_a_value_given_twice_is_refused_however_it_is_written(values, told):
    with pytest.raises(ValueError, match=told):
        require_distinct("x", values)
    require_distinct("x", values[:-1])


def test_seeds_are_some_whole_numbers_none_twice():
    seeds = TypeAdapter(Seeds)
    assert seeds.validate_python([0, 2, 1]) == (0, 2, 1)
    for wrong in ([], [-1], [1, 1]):
        with pytest.raises(ValidationError):
            seeds.validate_python(wrong)
