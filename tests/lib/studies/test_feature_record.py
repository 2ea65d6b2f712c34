"""A feature set's record: its statistics as a table, its pictures, and memory that does not follow the set's size."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from lib.datasets.dataset import Dataset, Split, build
from lib.features import FeatureSet, open_feature_set
from lib.studies import features
from lib.studies.features import describe_features, portray
from tests.feature_sets import WIDTH, expected_features, expected_labels, write_feature_set

SPLITS = {"train": 2600, "test": 200}


@pytest.fixture(scope="module")
def feature_set(tmp_path_factory) -> FeatureSet:
    return open_feature_set(write_feature_set(tmp_path_factory.mktemp("set"), SPLITS, "float16"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    images = np.zeros((3, 4, 4), np.uint8)
    return build("noise", ["ant", "bee", "cat"], {"train": Split(images, np.arange(3))}, "made up")


def test_the_record_has_every_feature_and_both_pictures(feature_set, dataset, tmp_path):
    record = describe_features(feature_set, dataset, tmp_path)
    assert record.figures == ("pca.png", "features.png")
    for name in record.figures:
        assert (record.folder / "figures" / name).read_bytes().startswith(b"\x89PNG")
    with (record.folder / "tables" / "features.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    X = expected_features(2800, "float16")
    assert len(rows) == WIDTH
    np.testing.assert_array_equal([float(row["minimum"]) for row in rows], X.min(axis=0))
    np.testing.assert_allclose(
        [float(row["mean"]) for row in rows], X.mean(axis=0, dtype=np.float64), rtol=1e-10, atol=1e-12
    )
    assert record.parent.metrics["constant_features"] == (np.ptp(X, axis=0) == 0).sum()
    assert "features are constant" in record.notes
    assert describe_features(feature_set, dataset, tmp_path) == record


def test_no_split_is_held_whole_and_the_sample_has_the_classes_in_proportion(feature_set, monkeypatch):
    monkeypatch.setattr(FeatureSet, "load", None)
    portrait = portray(feature_set)
    assert len(portrait.sample) == 2000
    assert portrait.sample.X.dtype == np.float32
    ids = portrait.sample.sample_ids
    assert ids.max() < SPLITS["train"]
    np.testing.assert_array_equal(portrait.sample.X, expected_features(2800, "float16")[ids])
    np.testing.assert_array_equal(portrait.sample.y, expected_labels(2800)[ids])
    assert np.ptp(np.bincount(portrait.sample.y)) <= 1


def test_pictures_say_weights_layer_precision_and_rows(feature_set, monkeypatch):
    monkeypatch.setattr(features, "_SAMPLE", 50)
    portrait = portray(feature_set)
    title = portrait.picture().get_suptitle()
    for words in ("fc8", "RANDOM weights (seed 0)", "float32 arithmetic", "stored as float16", "50 training images"):
        assert words in title
    assert "RANDOM weights" in portrait.scatter().axes[0].get_title()
