"""Names, labels, MLflow parameters and keys come from the fields of a trial."""

from __future__ import annotations

import doctest
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from lib.mlp import labels
from lib.mlp.labels import label, params, setting, settings_key
from lib.mlp.trial import Hyperparameter, Seeds, Trial, require_distinct, searched_fields

positive = st.floats(1e-300, 1e300)


class Regularised(Trial):
    """A trial with a hyperparameter more, declared nowhere else."""

    noise: Annotated[float, Hyperparameter("noise {}", optional=True)] = Field(0.0, ge=0, description="Of inputs.")


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
            Trial(
                optimizer="adamw",
                schedule="cosine",
                warmup=0.1,
                weight_decay=0.01,
                dropout=0.2,
                label_smoothing=0.1,
                class_weights="balanced",
            ),
            "100 units · relu · he init · adamw · rate 0.1 · cosine schedule · warm-up 0.1 · momentum 0 · L2 0 · "
            "weight decay 0.01 · dropout 0.2 · label smoothing 0.1 · class weights balanced · batch 128 · 100 epochs",
        ),
        (
            Trial(hidden=(64, 32), init="zero", momentum=0.9, learning_rate=1e6),
            "layers 64-32 · relu · zero init · sgd · rate 1e+06 · momentum 0.9 · L2 0 · batch 128 · 100 epochs",
        ),
    ],
)
def test_a_label_states_each_setting_in_its_words(trial, words):
    assert label(trial, [name for name in searched_fields() if name in trial.model_dump()]) == words


def test_parameters_are_the_fields_with_numbers_as_numbers():
    assert params(Trial(hidden=(5,), seed=2)) == dict(Trial(seed=2)) | {"hidden": 5}
    assert [params(Trial(hidden=hidden))["hidden"] for hidden in ((), (64, 32))] == ["none", "64-32"]


def test_a_new_field_of_a_trial_has_a_label_a_parameter_and_a_place_in_the_key():
    trial = Regularised(noise=0.5)
    assert label(trial, ["l2", "noise"]) == "L2 0 · noise 0.5"
    assert params(trial)["noise"] == 0.5
    assert settings_key(trial) != settings_key(Regularised()) == settings_key(Trial())
    assert "noise" in searched_fields(Regularised)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"weight_decay": 0.1},
            "weight_decay 0.1 is AdamW's, but the optimizer is sgd; set optimizer: adamw, or use l2",
        ),
        ({"hidden": (), "dropout": 0.5}, r"dropout 0.5 is of hidden layers, and hidden \[\] has none; set dropout: 0"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(settings, told):
    with pytest.raises(ValidationError, match=told):
        Trial(**settings)


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
