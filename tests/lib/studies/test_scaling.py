"""Scaling curves: nested draws, heads that are the estimator's own, and what an input is worth in images."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from lib.errors import ConfigError
from lib.evaluation.intervals import Interval
from lib.figures.scaling import Line, scaling_curves
from lib.graph import check_graph, leaderboard, ready_node
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial
from lib.places import Places
from lib.profile import parse_profile
from lib.studies import scaling
from lib.studies.entry import ModelKind, Standing
from lib.studies.presentation import Rows
from lib.studies.record import open_record
from lib.studies.scaling import ScalingResult, ScalingSettings, drawn, sizes_of
from lib.studies.study import Record
from tests.image_files import write_images

HEAD = {"hidden": [], "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32, "epochs": 4}


def profile_of(**settings: Any) -> Any:
    study = {"kind": "scaling", "on": "digits", "heads": {"linear": HEAD}, "per_class": [1, 5, 20], "draws": [0, 1]}
    content = {"name": "mine", "data": {"digits": {"source": "digits"}}, "studies": {"curve": study | settings}}
    return parse_profile(content)


def scaled(folder: Path, **settings: Any) -> Record[ScalingResult]:
    profile = profile_of(**settings)
    where = Places(data=folder / "data", mlruns=folder / "mlruns", tracking_uri="")
    check_graph(profile, list(profile.graph.nodes), where)
    return ready_node(profile, "curve", where).run()


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Record[ScalingResult]:
    return scaled(tmp_path_factory.mktemp("scaling"))


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(scaling).failed == 0


def test_a_larger_draw_holds_the_smaller_and_classes_with_few_images_give_all():
    labels = np.repeat([0, 1, 2], [100, 50, 3])
    few, more = drawn(labels, 2, 7), drawn(labels, 10, 7)
    assert set(few) < set(more)
    assert np.bincount(labels[few]).tolist() == [2, 2, 2]
    assert np.bincount(labels[more]).tolist() == [10, 10, 3]
    assert not np.array_equal(more, drawn(labels, 10, 8))
    assert len(drawn(labels, None, 7)) == 153
    assert sizes_of(ScalingSettings(on="x"), labels) == [1, 2, 5, 10, 20, 50, None]


def test_accuracies_are_those_of_networks_trained_on_the_draw_alone(record, tmp_path):
    from lib.datasets import acquire
    from lib.datasets.sources import parse_source

    digits = acquire(parse_source({"source": "digits"}), tmp_path)
    labels, test = digits.splits["train"].labels, digits.splits["test"].labels
    X, X_test = digits.pixels("train"), digits.pixels("test")
    (linear,) = [curve for curve in record.result.curves if curve.head == "linear"]
    assert [size.per_class for size in linear.sizes] == [1, 5, 20, None]
    rows = drawn(labels, 5, 1)
    trial = Trial(**HEAD | {"seed": 1, "epochs": 4 * 43 // 2})  # 43 batches of all rows, 2 of these
    network = train(trial, TrialData(X[rows], labels[rows], X[rows], labels[rows], 10)).network
    expected = float((network.predict(X_test) == test).mean())
    assert linear.sizes[1].accuracies[1] == pytest.approx(expected, abs=0.005)


def test_more_images_are_better_and_intervals_hold_the_means(record):
    for curve in record.result.curves:
        means = [size.accuracy.estimate for size in curve.sizes]
        assert means == sorted(means)
        for size in curve.sizes:
            assert size.accuracy.low < size.accuracy.estimate < size.accuracy.high
            assert size.accuracy.estimate == pytest.approx(np.mean(size.accuracies))
    knn = record.result.curves[1]
    assert (knn.head, knn.baseline, len(set(knn.sizes[-1].accuracies))) == ("knn", True, 1)


def test_the_record_has_a_picture_tables_runs_and_a_headline(record):
    again = open_record(record.folder)
    assert again.result == record.result
    assert [figure.file for figure in again.figures] == ["scaling.svg"]
    shown = again.present()
    assert "with all 1,350" in shown.headline
    assert [run.name for run in shown.runs] == ["linear", "k nearest neighbours"]
    assert [point["epoch"] for point in shown.runs[0].history] == [10, 50, 200, 1350]


def test_each_curve_s_last_point_stands_on_the_leaderboard(record):
    entries = leaderboard({"curve": record})
    assert {entry.model for entry in entries} == {"linear probe", "k nearest neighbours"}
    for entry in entries:
        curve = next(each for each in record.result.curves if each.baseline == (entry.kind is ModelKind.BASELINE))
        assert (entry.score, entry.seeds) == (curve.sizes[-1].accuracy, curve.sizes[-1].accuracies)
        assert (entry.rows, entry.count, entry.standing) == (Rows.TEST, record.result.test_rows, Standing.NOT_COMPARED)
        assert entry.parameters == (None if curve.baseline else 64 * 10 + 10)


def test_another_input_is_worth_images_of_the_first(tmp_path):
    write_images(tmp_path / "pets", ("a", "b"), 24)
    profile = parse_profile(
        {
            "name": "mine",
            "data": {"pets": {"source": "folder", "path": str(tmp_path / "pets")}},
            "features": {"pool5": {"of": "pets", "layer": "pool5", "weights": "random", "input_size": 64}},
            "studies": {
                "curve": {
                    "kind": "scaling",
                    "on": "pool5",
                    "also_on": ["pets"],
                    "heads": {"linear": HEAD},
                    "baselines": ["majority", "logistic"],
                    "per_class": [1, 4],
                    "draws": [0],
                }
            },
        }
    )
    where = Places(data=tmp_path / "data", mlruns=tmp_path / "mlruns", tracking_uri="")
    check_graph(profile, list(profile.graph.nodes), where)
    ready_node(profile, "pool5", where).run()
    record = ready_node(profile, "curve", where).run()
    result = record.result
    assert [curve.input for curve in result.curves] == [0, 0, 0, 1, 1, 1]
    assert all(each.standardised for each in result.representations)
    assert {each.head for each in result.worth} == {"linear", "majority", "logistic"}
    assert [table.file for table in record.tables] == ["scaling.csv", "worth.csv"]
    shown = record.present()
    assert shown.warnings == ("the weights of pool5 are RANDOM",)


def test_standardised_by_the_draw_s_own_rows(tmp_path):
    record = scaled(tmp_path, standardise=True, draws=[3], per_class=[4], baselines=["logistic"], heads={})
    from sklearn.linear_model import LogisticRegression

    from lib.datasets import acquire
    from lib.datasets.sources import parse_source

    digits = acquire(parse_source({"source": "digits"}), tmp_path / "again")
    rows = drawn(digits.splits["train"].labels, 4, 3)
    scaler = StandardScaler().fit(digits.pixels("train")[rows])
    model = LogisticRegression(max_iter=1000).fit(
        scaler.transform(digits.pixels("train")[rows]), digits.splits["train"].labels[rows]
    )
    theirs = model.score(scaler.transform(digits.pixels("test")), digits.splits["test"].labels)
    assert record.result.curves[0].sizes[0].accuracies[0] == pytest.approx(theirs, abs=0.05)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per_class": [5, 1]}, "do not rise"),
        ({"also_on": ["digits"]}, "is on already"),
        ({"heads": {}, "baselines": []}, "nothing to train"),
        ({"draws": [0, 0]}, "given twice"),
    ],
)
def test_settings_that_contradict_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        profile_of(**settings)


def test_the_figure_has_a_line_an_input_and_head_with_a_dot_a_draw():
    line = Line("a $ b", 0, [1, 10], [Interval(0.5, 0.4, 0.6), Interval(0.9, 0.8, 1.0)], [[0.45, 0.55], [0.9, 0.9]])
    (axis,) = scaling_curves([line], ["x"], "title").axes
    assert axis.get_xscale() == "log"
    assert [len(each.get_xdata()) for each in axis.lines] == [2, 2, 2]
