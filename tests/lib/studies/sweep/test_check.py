"""What could only fail after hours is refused before anything is computed, in one line that names the fix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lib.datasets.dataset import Split, build
from lib.errors import ConfigError, DataError
from lib.studies.sweep import KIND
from lib.studies.sweep.settings import SweepSettings
from tests.small_profile import small_profile
from tests.sweeps import ahead, sweep


@pytest.fixture(scope="module")
def classifier(where):
    return sweep("classifier", where)


def refused(classifier, inputs) -> str:
    with pytest.raises(ConfigError) as caught:
        KIND.check("heads", classifier.settings, inputs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sound_sweep_is_not_refused(classifier):
    KIND.check("heads", classifier.settings, ahead(classifier))


def test_a_test_without_test_rows_is_told_before_anything_is_computed(classifier):
    inputs = {role: replace(each, dataset=None, splits=("train",)) for role, each in ahead(classifier).items()}
    assert refused(classifier, inputs) == (
        "studies.heads.test is true, but data 'photo-patches' has no test split (it has: train); set studies.heads.test: "
        "false, or add a test split"
    )
    unknown = {role: replace(each, splits=None) for role, each in inputs.items()}
    KIND.check("heads", classifier.settings, unknown)


def test_inputs_of_other_data_cannot_be_compared(classifier):
    inputs = ahead(classifier)
    inputs["also_on.0"] = replace(inputs["also_on.0"], data="letters")
    assert "studies.heads.also_on names 'patches', which is of data 'letters'" in refused(classifier, inputs)


def test_images_without_labels_have_nothing_to_predict(classifier):
    images = np.zeros((4, 2, 2), np.uint8)
    bare = build("bare", ("",), {"train": Split(images, np.zeros(4, np.int64))}, "")
    inputs = {role: replace(each, dataset=bare) for role, each in ahead(classifier).items()}
    assert "studies.heads.on names 'fc8', whose images have no labels; networks need two" in refused(classifier, inputs)


def test_classes_too_small_to_be_validated_by_are_named(classifier):
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 2), np.uint8)
    data = build("pets", ("cat", "dog"), {"train": Split(images, np.array([0] * 8 + [1]))}, "")
    inputs = {role: replace(each, dataset=data, splits=None) for role, each in ahead(classifier).items()}
    with pytest.raises(DataError) as caught:
        KIND.check("heads", classifier.settings, inputs)
    assert str(caught.value) == (
        "train of 'pets' has too few different images of class 'dog' (1): each needs 2 to hold one out for validation "
        "(studies.heads); add images, or list the other classes in the setting classes"
    )
    whole = build("pets", ("cat", "dog"), {**data.splits, "validation": data.splits["train"]}, "")
    KIND.check("heads", classifier.settings, {role: replace(each, dataset=whole) for role, each in inputs.items()})


class OfSeveralSizes:
    """Images of two sizes."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.full((2 + index % 2, 2), index, np.uint8)


def test_pixels_of_several_sizes_are_refused_and_their_features_are_not(classifier):
    several = build("several", ("a", "b"), {"train": Split(OfSeveralSizes(), np.arange(4) % 2)}, "")
    inputs = {role: replace(each, dataset=several) for role, each in ahead(classifier).items()}
    told = refused(classifier, inputs)
    assert told.startswith("studies.heads.also_on names 'patches', whose images are of several sizes")
    alone = classifier.settings.model_copy(update={"also_on": ()})
    KIND.check("heads", alone, {"on": inputs["on"]})


def settings(**changes) -> SweepSettings:
    return small_profile(studies={"hidden_units": changes}).studies["hidden_units"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": [0, 1, 0]}, "the value 0 is given twice"),
        ({"variants": {"sgd": {"grid": {"hidden": [[5], [5]]}}}}, r"the value \[5\] is given twice"),
        ({"variants": {"sgd": {"grid": {"hidden": [[5]], "l2": [0.1, 0.10]}}}}, "the value 0.1 is given twice"),
        ({"axis": "depth"}, "axis 'depth' is no trial setting; known: hidden"),
        ({"axis": "l2"}, "does not vary the axis 'l2'"),
        ({"rungs": [{"epoch": 3, "keep": 0.5}]}, "comes too late for variant 'adam'"),
        ({"also_on": ["patches"]}, "set test: true"),
        ({"baselines": ["knn", "knn"]}, "the value knn is given twice"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(changes, told):
    with pytest.raises((ConfigError, ValidationError), match=told):
        settings(**changes)


def test_values_that_differ_in_the_fourth_digit_are_two():
    grid = {"hidden": [[5]], "learning_rate": [0.1, 0.1001]}
    assert len(settings(variants={"adam": None, "sgd": {"grid": grid}}).variants["sgd"].combinations()) == 2
