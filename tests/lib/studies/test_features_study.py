"""A feature set as a study: extracted, sealed, described; found again while it is whole."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from lib.features import FeatureSet, open_feature_set
from lib.graph import plan_run, ready_node
from lib.graph.plan import State
from lib.places import Places, Workers
from lib.profile import parse_profile
from lib.studies import features
from lib.studies.features import _describe, open_set, set_folder_of
from lib.studies.record import open_record
from tests.feature_sets import WIDTH, expected_features, expected_labels, flip_bit, write_feature_set

SPLITS = {"train": 2600, "test": 200}


def profile(**settings):
    fc8 = {"of": "patches", "layer": "fc8", "weights": "random", "input_size": 64, "shard_rows": 100, "batch_size": 16}
    return parse_profile(
        {
            "name": "mine",
            "data": {"patches": {"source": "photo-patches", "stride": 32}},
            "features": {"fc8": fc8 | {"device": "cpu"} | settings},
        }
    )


def node(where, **settings):
    return ready_node(profile(**settings), "fc8", where)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    base = tmp_path_factory.mktemp("features")
    return Places(data=base / "data", mlruns=base / "mlruns", tracking_uri="")


@pytest.fixture(scope="module")
def record(where):
    return node(where).run()


def test_the_work_is_cut_into_shards_and_what_is_stored_is_not_done_again(where):
    work = node(where).work()
    assert work is not None
    assert [piece.positions for piece in work.pieces(2, 200)] == [(0, 1), (2, 3, 4)]
    assert len(work.pieces(2, 20_000)) == 1, "a part holds so many images at least"
    assert (work.do([0, 3]), work.do([0, 3])) == (2, 0)
    assert work.missing() == [1, 2, 4]
    assert all(path.exists() for path in work.results([0, 3]))
    planned = plan_run(profile(), None, where, Workers())["fc8"]
    assert (planned.forecast.shards, planned.forecast.missing) == (5, 3)
    assert planned.told == "begun: 3 of 5 shards missing"


def test_the_record_says_what_the_set_holds(record, where):
    result = record.result
    found = open_feature_set(set_folder_of(result, where.features))
    assert found.digest == result.digest
    assert (result.rows, result.width, result.weights) == (480, 1000, "random")
    assert result.splits == {"train": 384, "test": 96}
    assert [shard.rows for shard in result.shards] == [100, 100, 100, 100, 80]
    X = found.load("train").X
    assert result.minimum <= X.min()
    assert result.maximum >= X.max()
    assert open_record(record.folder) == record
    assert [figure.file for figure in record.figures] == ["pca.svg", "features.svg"]


def test_a_set_that_is_whole_is_found_and_one_that_is_not_is_made_whole_again(record, where):
    assert node(where).finished() == record
    assert node(where).work() is None
    shard = set_folder_of(record.result, where.features) / record.result.shards[1].name
    whole = shard.read_bytes()
    flip_bit(shard, 2000)
    assert node(where).finished() is None
    planned = plan_run(profile(), None, where, Workers())["fc8"]
    assert (planned.state, planned.forecast.missing) == (State.TO_DO, 1)
    again = node(where).run()
    assert (again.key, again.result.shards) == (record.key, record.result.shards)
    assert shard.read_bytes() == whole
    assert plan_run(profile(), None, where, Workers())["fc8"].state is State.CACHED


def test_what_decides_no_value_is_no_other_record(record, where):
    assert node(where, batch_size=32).folder.key == record.key
    assert node(where, storage="float16").folder.key != record.key


def test_random_weights_show_wherever_the_set_does(record):
    shown = record.present()
    for words in (shown.headline, shown.sections[0].body, shown.input, shown.parent.name):
        assert "RANDOM weights" in words
    assert shown.parent.params["weights"] == "random"
    assert record.figures[0].caption.startswith("AlexNet fc8, RANDOM weights (seed 0): PCA of all 384 training images")


def test_a_study_opens_the_set_of_its_node(record, where):
    dataset = node(where).inputs["of"].dataset
    assert open_set(dataset, profile().features["fc8"], where).digest == record.result.digest


def test_statistics_are_those_of_all_rows_and_the_sample_has_the_classes_in_proportion(tmp_path, monkeypatch):
    feature_set = open_feature_set(write_feature_set(tmp_path / "set", SPLITS, "float16"))
    monkeypatch.setattr(FeatureSet, "load", None)  # no split is held whole
    result = _describe(feature_set, tmp_path)
    X = expected_features(2800, "float16")
    assert result.constant == (np.ptp(X, axis=0) == 0).sum() > 0
    assert result.zeros == pytest.approx((X == 0).mean())
    assert result.sampled == 2000
    statistics = features._read_statistics(tmp_path, result.rows)
    np.testing.assert_array_equal(statistics.minimum, X.min(axis=0))
    np.testing.assert_allclose(statistics.mean, X.mean(axis=0, dtype=np.float64), rtol=1e-10, atol=1e-12)
    assert len(statistics.table()) == WIDTH
    sample, labels, points, _ = features.sample_of_set(feature_set)
    assert sample.dtype == np.float32
    assert len(sample) == len(labels) == len(points) == 2000
    assert np.ptp(np.bincount(labels)) <= 1
    rows = {row.tobytes(): label for row, label in zip(X.astype(np.float32), expected_labels(2800), strict=True)}
    assert all(rows[row.tobytes()] == label for row, label in zip(sample, labels, strict=True))


def test_the_table_of_the_record_has_every_feature(record):
    with (record.folder / "tables" / "features.csv").open() as lines:
        assert len(list(csv.DictReader(lines))) == record.result.width
