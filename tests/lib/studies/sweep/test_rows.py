"""What a sweep trains on: pixels and features by one source, standardised by training rows, never in memory twice."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from lib.datasets import hold_out_rows
from lib.datasets.dataset import Split, build
from lib.errors import DataError
from lib.features import open_feature_set
from lib.mlp.standardise import Standardiser
from lib.studies.study import Input
from lib.studies.sweep.result import Weights
from lib.studies.sweep.rows import Source, sources_of
from lib.studies.sweep.training import train_all
from tests.feature_sets import WIDTH, expected_labels, write_feature_set
from tests.lib.studies.sweep.test_training import TRIALS, Folder
from tests.sweeps import dividing, sweep


@pytest.fixture(scope="module")
def features(where) -> Input:
    return sweep("classifier", where).inputs["on"]


@pytest.fixture(scope="module")
def digits(where) -> Input:
    return sweep("activations", where).inputs["on"]


def test_pixels_are_the_dataset_s_and_a_part_of_each_class_is_held_out(digits):
    division = Source(digits, standardise=False).candidates(dividing()).first
    train = digits.dataset.splits["train"]
    kept, held = hold_out_rows(train.labels, 0.2, 0)
    pixels = digits.dataset.pixels("train")
    data = division.rows.data
    np.testing.assert_array_equal(data.X_train, pixels[kept])
    np.testing.assert_array_equal(data.X_validation, pixels[held])
    np.testing.assert_array_equal(data.y_train, train.labels[kept])
    np.testing.assert_array_equal(data.y_validation, train.labels[held])
    assert (data.X_train.dtype, data.y_train.dtype, data.n_classes) == (np.float32, np.int64, 10)
    np.testing.assert_array_equal(division.rows.examples, pixels[held[:5]])


def test_features_are_the_set_s_standardised_by_training_rows_alone(features):
    division = Source(features, standardise=True).candidates(dividing()).first
    train = features.dataset.splits["train"]
    kept, held = hold_out_rows(train.labels, 0.2, 0, train.groups)
    X = features.feature_set.load("train").X
    scaler = StandardScaler().fit(X[kept].astype(np.float64))
    data = division.rows.data
    np.testing.assert_allclose(data.X_train, scaler.transform(X[kept]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(data.X_validation, scaler.transform(X[held]), rtol=1e-4, atol=1e-4)
    ours = Standardiser.fit(X[kept])
    np.testing.assert_array_equal(data.X_validation, ours.apply(X[held]))
    np.testing.assert_array_equal(division.rows.examples, X[held[:5]])
    assert len(np.unique(division.groups)) < len(held)


def test_each_seed_holds_out_rows_of_its_own(digits):
    source, train = Source(digits, standardise=False), digits.dataset.splits["train"]
    repeated = source.candidates(dividing(0.2, (0, 7))).of_seed
    for seed, division in repeated.items():
        kept, held = hold_out_rows(train.labels, 0.2, seed)
        np.testing.assert_array_equal(division.train[0][1], kept)
        np.testing.assert_array_equal(division.watched[0][1], held)
    fixed = source.candidates(dividing(0.2, (3, 7), splits="fixed"))
    assert [division.key for division in fixed.of_seed.values()] == [repeated[0].key] * 2
    assert fixed.by_division() == [(fixed.first, [3, 7])]


def test_folds_hold_out_each_row_once_and_keep_groups_whole(features):
    train = features.dataset.splits["train"]
    candidates = Source(features, standardise=True).candidates(dividing(seeds=(5, 1, 4), splits="folds"))
    held = [division.watched[0][1] for division in candidates.of_seed.values()]
    np.testing.assert_array_equal(np.sort(np.concatenate(held)), np.arange(len(train)))
    for division, rows in zip(candidates.of_seed.values(), held, strict=True):
        assert not set(train.groups[rows]) & set(train.groups[division.train[0][1]])
        assert set(train.labels[rows]) == set(train.labels)
    assert len({division.key for division in candidates.of_seed.values()}) == 3


def test_finals_train_on_all_that_is_not_tested(features):
    division = Source(features, standardise=True).finals()
    test = features.feature_set.load("test")
    every = Standardiser.fit(features.feature_set.load("train").X)
    np.testing.assert_array_equal(division.rows.data.X_validation, every.apply(test.X))
    np.testing.assert_array_equal(division.y_watched, features.dataset.splits["test"].labels)
    assert len(division.y_train) == len(features.dataset.splits["train"])


def test_validation_rows_of_the_data_s_own_are_taken_and_later_trained_on(digits):
    splits = digits.dataset.splits
    halves = [Split(splits["train"].images[part], splits["train"].labels[part]) for part in (np.s_[:700], np.s_[700:])]
    split = build(
        "d", digits.dataset.class_names, {"train": halves[0], "validation": halves[1], "test": splits["test"]}, "", 16
    )
    source = Source(Input("d", split), standardise=False)
    division = source.candidates(dividing()).first
    np.testing.assert_array_equal(division.rows.data.X_validation, split.pixels("validation"))
    assert source.candidates(dividing(0.3)).first.key == division.key
    np.testing.assert_array_equal(
        source.finals().rows.data.X_train, np.concatenate([split.pixels("train"), split.pixels("validation")])
    )


def test_keys_name_all_that_decides_the_rows(digits, features):
    keys = [
        division.key
        for source in (Source(digits, False), Source(digits, True), Source(features, True))
        for division in (
            source.candidates(dividing(0.2)).first,
            source.candidates(dividing(0.25)).first,
            source.finals(),
        )
    ]
    assert len(set(keys)) == 9


def test_features_are_standardised_and_pixels_are_not_unless_a_sweep_says_so(where):
    def standardised(name, **changes):
        return [source.standardise for source in sources_of(sweep(name, where, **changes))]

    assert standardised("activations") == [False]
    assert standardised("activations", standardise=True) == [True]
    assert standardised("classifier") == [True, True]  # pixels beside features, like them
    assert standardised("classifier", standardise=False) == [False, False]


def test_what_goes_in_is_described_with_its_weights(where):
    on_features, on_pixels = (source.representation for source in sources_of(sweep("classifier", where)))
    assert (on_features.weights, on_features.width) == (Weights.RANDOM, 1000)
    assert "RANDOM weights" in on_features.description
    assert (on_pixels.is_pixels, on_pixels.width, on_pixels.node) == (True, 32 * 32 * 3, "patches")


def test_features_of_other_images_are_refused(digits, features):
    with pytest.raises(DataError, match="extract the features again"):
        Source(Input("fc8", digits.dataset, features.feature_set), True).candidates(dividing())


def test_wide_features_are_never_in_memory_twice(tmp_path):
    counts = {"train": 24_000, "test": 6_000}
    feature_set = open_feature_set(write_feature_set(tmp_path / "set", counts, shard_rows=1000), verify=False)
    splits = {
        name: Split(np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 2, 2) + offset, expected_labels(count))
        for (name, count), offset in zip(counts.items(), (0, np.uint8(128)), strict=True)
    }
    source = Source(Input("wide", build("wide", ("ant", "bee", "cat"), splits, ""), feature_set), standardise=True)
    trials = [TRIALS[0].model_copy(update={"hidden": (), "epochs": 1, "batch_size": 256})]
    gc.collect()
    tracemalloc.start()
    try:
        division = source.finals()
        train_all(trials, division, Folder(tmp_path), "")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    once = 4 * WIDTH * sum(counts.values())
    assert division.rows.data.X_train.base is division.rows.data.X_validation.base
    assert once < peak < 1.35 * once
    division.release()
    assert "rows" not in vars(division)
