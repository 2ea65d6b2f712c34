"""Baselines of a sweep: the same bits in however many processes, and each trained once for all studies of the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from lib.evaluation.baselines import BASELINES, Baseline
from lib.mlp.trial import Trial
from lib.studies.sweep import baselines
from lib.studies.sweep.baselines import Wanted, baseline_models
from lib.studies.sweep.rows import Division, sources_of
from tests.sweeps import sweep

TRIALS = [Trial(hidden=(30, 20), optimizer="adam", epochs=3, batch_size=16, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def division(where, tmp_path_factory) -> Division:
    study = sweep("activations", where, tmp_path_factory.mktemp("study"))
    return sources_of(study)[0].candidates(study.settings).first


def trained(division, folder):
    models = baseline_models(tuple(BASELINES), [Wanted(0, "net", TRIALS)], division, None, folder, "baselines")
    return [answer.probabilities for model in models for answer in model.answers]


@pytest.fixture(scope="module")
def kept(division, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    return folder, trained(division, folder)


def test_two_processes_answer_the_same_bits_as_one(division, kept, monkeypatch, tmp_path):
    monkeypatch.setattr(baselines, "_WORTHWHILE", -1.0)
    monkeypatch.setattr(baselines, "cores", lambda: 2)
    for one, other in zip(kept[1], trained(division, tmp_path), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_kept_for_the_rows_is_not_trained_again_and_what_is_damaged_is(division, kept, monkeypatch):
    folder, answers = kept
    asked = []

    def noting(name):
        return lambda question: (asked.append((name, question.seed)), BASELINES[name].predict(question))[1]

    counted = {name: Baseline(each.title, noting(name), each.per_trial) for name, each in BASELINES.items()}
    monkeypatch.setattr(baselines, "BASELINES", counted)
    trained(division, folder)
    assert asked == []
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:40])
    again = trained(division, folder)
    assert sorted(asked) == [("knn", 0), ("logistic", 0), ("majority", 0), ("sklearn-mlp", 0), ("sklearn-mlp", 1)]
    for one, other in zip(answers, again, strict=True):
        np.testing.assert_array_equal(one, other)
