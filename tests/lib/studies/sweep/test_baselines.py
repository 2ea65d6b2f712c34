"""Baselines of a sweep: the same bits in however many processes, and each trained once for all studies of the same rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lib.evaluation.baselines import BASELINES
from lib.mlp.trial import Trial
from lib.studies.sweep import baselines
from lib.studies.sweep.baselines import Wanted, baseline_models, held_out_of
from lib.studies.sweep.result import TunedOn, Tuning
from lib.studies.sweep.rows import Division, sources_of
from tests.sweeps import sweep

TRIALS = [Trial(hidden=(30, 20), optimizer="adam", epochs=3, batch_size=16, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def division(where, tmp_path_factory) -> Division:
    study = sweep("activations", where, tmp_path_factory.mktemp("study"))
    return sources_of(study)[0].candidates(study.settings).first


def trained(division, folder):
    held_out = held_out_of(division, 0.2)
    models = baseline_models(tuple(BASELINES), [Wanted(0, "net", TRIALS)], division, held_out, folder, "baselines")
    return [(answer.probabilities, model.settings, model.tuning) for model in models for answer in model.answers]


def assert_same(ones, others):
    for (one, *about), (other, *of_other) in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)
        assert [untimed(each) for each in about] == [untimed(each) for each in of_other]


def untimed(of):
    return of.model_copy(update={"seconds": 0.0}) if isinstance(of, Tuning) else of


@pytest.fixture(scope="module")
def kept(division, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    return folder, trained(division, folder)


def test_two_processes_answer_the_same_bits_as_one(division, kept, monkeypatch, tmp_path):
    monkeypatch.setattr(baselines, "_WORTHWHILE", -1.0)
    monkeypatch.setattr(baselines, "cores", lambda: 2)
    assert_same(kept[1], trained(division, tmp_path))


def test_what_is_kept_for_the_rows_is_not_trained_again_and_what_is_damaged_is(division, kept, monkeypatch):
    folder, answers = kept
    asked = []

    def noting(name):
        def predict(question, settings):
            asked.append((name, question.seed))
            return BASELINES[name].predict(question, settings)

        return predict

    counted = {name: replace(each, predict=noting(name)) for name, each in BASELINES.items()}
    monkeypatch.setattr(baselines, "BASELINES", counted)
    assert trained(division, folder)[1][2].seconds == answers[1][2].seconds
    assert asked == []
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:40])
    again = trained(division, folder)
    assert sorted(asked) == [("knn", 0), ("logistic", 0), ("majority", 0), ("sklearn-mlp", 0), ("sklearn-mlp", 1)]
    assert_same(answers, again)


def test_rows_held_out_of_several_splits_keep_groups_whole_and_classes_in_proportion(where, tmp_path):
    source = sources_of(sweep("classifier", where, tmp_path))[0]
    splits = source.dataset.splits
    rows = np.arange(0, len(splits["test"]), 2)
    both = Division(source, "key", (("train", np.arange(len(splits["train"]))), ("test", rows)), ())
    held = held_out_of(both, 0.25)
    assert held.on is TunedOn.HELD_OUT
    groups = [f"{split} {group}" for split, own in both.train for group in splits[split].groups[own]]
    out = {groups[row] for row in held.rows}
    assert not out & {group for row, group in enumerate(groups) if row not in held.rows}
    assert {name.split()[0] for name in out} == {"train", "test"}
    shares = np.bincount(both.y_train[held.rows]) / np.bincount(both.y_train)
    np.testing.assert_allclose(shares, 0.25, atol=0.06)
