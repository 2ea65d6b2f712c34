"""Two runs side by side: settings, figures, and the difference over the same images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from flows.compare import show_comparison
from lib.errors import ConfigError
from lib.evaluation.paired import compare_predictions
from lib.studies.identity import Identity
from lib.studies.record import RunNote
from lib.tracking.comparison import compare
from lib.tracking.records import log_record
from tests.gate import right_on
from tests.records import identity_of, seal_record

GOOD, BETTER = right_on((0, 80)), right_on((0, 94))


def logged(gate, title, right, **changes):
    """The id of a new run of a classifier that is right on these images."""
    record = gate.record(title, right, told=changes.pop("told", True))
    parent = replace(record.parent, name=title, **changes)
    return log_record(gate.tracking, replace(record, parent=parent), {}).info.run_id


def test_accuracies_on_the_same_images_are_compared_in_pairs(gate, capsys):
    left, right = logged(gate, "good", GOOD), logged(gate, "better", BETTER)
    found = compare(gate.tracking, left, right[:12])
    assert found.same_data
    (accuracy,) = [each for each in found.figures if each.name == "test_accuracy"]
    labels = gate.labels
    expected = compare_predictions(*(np.where(mask, labels, 1 - labels) for mask in (BETTER, GOOD)), labels)
    assert (accuracy.left, accuracy.right) == pytest.approx((80 / 96, 94 / 96))
    assert accuracy.difference == expected
    show_comparison(left, right, gate.where)
    told = capsys.readouterr().out
    assert f"+0.1458  {expected.low:+.4f} to {expected.high:+.4f}: told apart, paired" in told
    assert f"both on photo-patches {gate.photos.digest[:12]}" in told


def test_without_the_answers_the_two_intervals_stand_beside_each_other(gate, capsys):
    left, right = (logged(gate, f"{count} right", right_on((0, count)), told=False) for count in (80, 82))
    show_comparison(left, right, gate.where)
    one, other = (binomtest(count, 96).proportion_ci(method="wilson") for count in (80, 82))
    words = f"A {one.low:.4f} to {one.high:.4f}, B {other.low:.4f} to {other.high:.4f}: intervals overlap"
    assert words in capsys.readouterr().out


def test_settings_that_differ_stand_first_and_equal_ones_in_one_line(gate, capsys):
    left = logged(gate, "fast one", GOOD, params={"rate": 0.1, "seed": 0})
    right = logged(gate, "slow one", GOOD, params={"rate": 0.01, "seed": 0, "l2": 1})
    assert compare(gate.tracking, left, right).params == {
        "rate": ("0.1", "0.01"),
        "seed": ("0", "0"),
        "l2": (None, "1"),
    }
    show_comparison("fast one", "slow one", gate.where)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rate", "0.1", "0.01"] in lines
    assert ["l2", "–", "1"] in lines
    assert ["equal", "in", "both:", "seed", "0"] in lines


def test_runs_of_different_data_are_said_to_be_so(gate, capsys):
    other = gate.record("other data", GOOD)
    other = replace(other, dataset=replace(other.dataset, digest="feed" * 16))
    right = log_record(gate.tracking, other, {}).info.run_id
    show_comparison(logged(gate, "one", GOOD), right, gate.where)
    assert "DIFFERENT data, so their figures cannot be compared" in capsys.readouterr().out


def test_a_run_that_is_not_there_or_not_the_only_one_is_refused(gate):
    left = logged(gate, "twin", GOOD)
    again = gate.record("again", GOOD)
    log_record(gate.tracking, replace(again, parent=replace(again.parent, name="twin")), {})
    with pytest.raises(ConfigError, match=r"'twin' means 2 runs \(.*\): give more of the id"):
        compare(gate.tracking, left, "twin")
    for absent in ("0" * 32, "nowhere", ""):
        with pytest.raises(ConfigError, match=f"no run '{absent}'"):
            compare(gate.tracking, absent, left)


def whole_run(gate, name, rate, classifier):
    """The id of a run of two studies: a sweep at this rate, and a classifier whose key this is."""
    root = gate.where.studies
    sweep = seal_record(root, identity_of(rate=rate), headline=f"at rate {rate}")
    log_record(gate.tracking, sweep, {})
    keys = {"learning_rates": sweep.key, "classifier": classifier}
    identity = Identity("pipeline", gate.name, {study: f"{study} {key}" for study, key in keys.items()})
    record = seal_record(root, identity, summary={"studies": keys}, parent=RunNote("", name, {"studies": len(keys)}))
    parent = replace(record.parent, key=record.key, metrics={"test_accuracy": 0.9})
    return log_record(gate.tracking, replace(record, parent=parent), {}).info.run_id


def test_whole_runs_are_compared_study_by_study_and_one_model_is_said_to_be_one(gate, capsys):
    left, right = (whole_run(gate, f"whole at {rate}", rate, "c" * 64) for rate in (0.25, 0.125))
    show_comparison(left, right, gate.where)
    told = capsys.readouterr().out
    assert "learning rates: changed: learning_rates.rate 0.25 -> 0.125\n  A  at rate 0.25\n  B  at rate 0.125\n" in told
    assert "classifier: same: its result is not known here" in told
    assert told.endswith("figures: of the same model, the classifier's in both\n")
    assert "equal in both" not in told
    assert "overlap" not in told


def test_whole_runs_with_other_classifiers_are_compared_in_pairs(gate, capsys):
    found = []
    for title, right in (("good", GOOD), ("better", BETTER)):
        record = gate.record(title, right)
        log_record(gate.tracking, record, {})
        found.append(whole_run(gate, f"whole and {title}", 0.5, record.parent.key))
    show_comparison(*found, gate.where)
    told = capsys.readouterr().out
    assert "learning rates: same: at rate 0.5" in told
    assert "classifier: changed\n" in told
    assert "told apart, paired" in told


def test_a_run_is_found_by_the_key_of_its_record(gate):
    run = whole_run(gate, "whole by key", 0.75, "d" * 64)
    key = gate.tracking.client.get_run(run).data.tags["probeflow.key"]
    assert compare(gate.tracking, key[:16], run).left.run_id == run
