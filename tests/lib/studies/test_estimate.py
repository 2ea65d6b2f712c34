"""Estimates of time: what was measured before, scaled by what there is to do."""

from __future__ import annotations

import pytest

from lib.features.config import FeatureSettings
from lib.features.speed import Speed, write_speed
from lib.mlp.trial import Trial
from lib.studies.estimate import NOTHING, Training, of_extraction, of_training, of_work, parameters, total
from lib.studies.past import past_records
from tests.feature_sets import write_feature_set
from tests.records import identity_of, seal_record, trial_note

STUDY = "learning_rates"


def records_of(root, *children, **times):
    seal_record(root, identity_of(rate=0.1), children, **times)
    return past_records(root, STUDY)


def test_parameters_are_those_of_the_network():
    trial = Trial(hidden=(7, 5))
    assert parameters(trial, 64, 10) == 64 * 7 + 7 + 7 * 5 + 5 + 5 * 10 + 10


@pytest.mark.parametrize("epochs", [50, 100, 200])
def test_training_is_scaled_and_what_stands_beside_it_is_not(tmp_path, monkeypatch, epochs):
    monkeypatch.setattr("lib.studies.estimate.cores", lambda: 1)
    # 10 s: two trials of 3 s each, and 4 s of figures; MLflow took 1 s for their two runs.
    trials = [trial_note(1000, 10, 100, 3.0) for _ in range(2)]
    past = records_of(tmp_path, *trials, seconds=10.0, stage_seconds=11.0)
    wanted = Training(((1000, 10, epochs),) * 2, 100)
    assert of_training(wanted, past).seconds == pytest.approx(4 + 6 * epochs / 100 + 1)
    once = Training(((1000, 10, epochs),), 100)
    assert of_training(once, past).seconds == pytest.approx(4 + 3 * epochs / 100 + 0.5)


def test_larger_networks_and_smaller_batches_take_longer_but_not_in_proportion_to_one_of_them(tmp_path):
    past = records_of(tmp_path, trial_note(1000, 10, 100, 3.0), seconds=3.0)
    base, wide, small = (
        of_training(Training(((count, batch, 100),), 100), past).seconds
        for count, batch in ((1000, 10), (100_000, 10), (1000, 1))
    )
    assert base == pytest.approx(3.0)
    assert 3 * base < wide < 100 * base  # calls cost, too
    assert 5 * base < small < 10.1 * base


def test_scikit_learn_s_share_counts_only_where_it_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.studies.estimate.cores", lambda: 1)
    peer = trial_note(0, 10, 100, 5.0, "peer")
    past = records_of(tmp_path, trial_note(1000, 10, 100, 3.0), peer, seconds=8.0)
    sizes = ((1000, 10, 200),)
    assert of_training(Training(sizes, 100, beside=True), past).seconds == pytest.approx(16)
    assert of_training(Training(sizes, 100), past).seconds == pytest.approx(6)


def test_of_several_past_runs_the_median_counts(tmp_path):
    for rate, seconds in ((0.1, 3.0), (0.2, 90.0), (0.3, 4.0)):
        seal_record(tmp_path, identity_of(rate=rate), [trial_note(1000, 10, 100, 1.0)], seconds)
    found = of_training(Training(((1000, 10, 100),), 100), past_records(tmp_path, STUDY))
    assert found.seconds == pytest.approx(4.0)
    assert "and 2 before (median)" in found.basis


def test_without_a_record_that_was_timed_there_is_no_estimate(tmp_path):
    wanted = Training(((1000, 10, 100),), 100)
    assert of_training(wanted, []) == of_work([], STUDY, 1, lambda _: 1)
    seal_record(tmp_path, identity_of(rate=0.1))
    seal_record(tmp_path, identity_of(rate=0.1))  # gone on with, so not timed
    assert of_training(wanted, past_records(tmp_path, STUDY)).basis == NOTHING


def test_other_work_is_scaled_by_its_size_less_what_is_estimated_apart(tmp_path):
    past = records_of(tmp_path, seconds=2.0, stage_seconds=7.0)
    found = of_work(past, STUDY, 300, lambda record: record["dataset"]["rows"]["train"], lambda _: 4.0)
    assert found.seconds == pytest.approx(2.0 * 3 + (7 - 2 - 4))
    assert "scaled by 3" in found.basis
    assert total([found, of_work([], STUDY, 1, lambda _: 1)]) == (found.seconds, 1)


def test_images_a_second_are_those_of_sets_with_the_same_precision_and_kind_of_device(tmp_path):
    folder = write_feature_set(tmp_path / "noise" / "d1", {"train": 20, "test": 5}, "float32")
    write_speed(folder, Speed(device="cpu (2 cores)", batch_size=8, images=25, seconds=5, seconds_to_first_shard=1))
    same = FeatureSettings(weights="random")
    assert of_extraction(100, same, tmp_path, "cpu").seconds == pytest.approx(20)
    twice = same.model_copy(update={"input_size": 2 * same.input_size})
    assert of_extraction(100, twice, tmp_path, "cpu").seconds == pytest.approx(80)
    assert of_extraction(100, same, tmp_path, "cuda").seconds is None
    half = same.model_copy(update={"precision": "bfloat16"})
    assert of_extraction(100, half, tmp_path, "cpu").seconds is None
    assert of_extraction(0, half, tmp_path, "cpu").seconds == 0
