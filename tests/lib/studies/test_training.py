"""Stored results are never another call's: stopping and, at rungs, all rivals are part of their names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lib.mlp.fused import Rung, Stopping, train_many
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.studies import training
from lib.studies.record import StudyFolder
from lib.studies.training import train_all, train_configurations

TRIALS = [Trial(hidden=(8,), learning_rate=rate, epochs=6, batch_size=64) for rate in (0.2, 0.05, 0.01, 0.001)]
HALVING = Stopping(rungs=(Rung(2, 0.5),))


@pytest.fixture(scope="module")
def data() -> TrialData:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return TrialData(X[:300], y[:300], X[300:500], y[300:500], 10)


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    return StudyFolder(tmp_path, "study", "key")


@pytest.fixture
def trained(monkeypatch) -> Counter:
    """Counts trials that were really trained."""
    counts: Counter = Counter()

    def counted(trials, data, **options):
        counts.update(trials)
        return train_many(trials, data, **options)

    monkeypatch.setattr(training, "train_many", counted)
    return counts


def endings(results) -> list[tuple[str, int]]:
    return [(result.ended, len(result.history)) for result in results]


def test_halved_results_are_the_engine_s_and_are_kept(data, folder, trained):
    results = train_all(TRIALS, data, "rows", folder, "", HALVING)
    assert endings(results) == [("finished", 6), ("finished", 6), ("halved", 2), ("halved", 2)]
    for ours, alone in zip(results, train_many(TRIALS, data, stopping=HALVING), strict=True):
        assert ours.best_validation_loss == alone.best_validation_loss
    again = train_all(TRIALS, data, "rows", folder, "", HALVING)
    assert endings(again) == endings(results)
    assert set(trained.values()) == {1}


def test_a_trial_halved_among_others_is_not_taken_for_the_same_trial_elsewhere(data, folder, trained):
    train_all(TRIALS, data, "rows", folder, "", HALVING)
    assert endings(train_all(TRIALS, data, "rows", folder, "")) == [("finished", 6)] * 4
    assert endings(train_all(TRIALS[2:], data, "rows", folder, "", HALVING)) == [("finished", 6), ("halved", 2)]
    assert endings(train_all(TRIALS, data, "rows", folder, "", Stopping(rungs=(Rung(3, 0.5),))))[3] == ("halved", 3)
    assert trained[TRIALS[2]] == 4


def test_results_of_a_halving_are_trained_together_when_one_is_lost(data, folder, trained):
    before = train_all(TRIALS, data, "rows", folder, "", HALVING)
    next(folder.trials.glob("*.json")).unlink()
    assert endings(train_all(TRIALS, data, "rows", folder, "", HALVING)) == endings(before)
    assert set(trained.values()) == {2}


def test_patience_is_part_of_the_name_but_rivals_are_not(data, folder, trained):
    restless = [trial.model_copy(update={"epochs": 40, "learning_rate": 3.0}) for trial in TRIALS[:1]]
    (impatient,) = train_all(restless, data, "rows", folder, "", Stopping(patience=2))
    assert impatient.ended == "patience"
    assert len(train_all(restless, data, "rows", folder, "")[0].history) > len(impatient.history)
    train_all([*restless, *TRIALS], data, "rows", folder, "", Stopping(patience=2))
    assert trained[restless[0]] == 2


def test_a_configuration_is_halved_as_a_whole_or_has_all_its_seeds(data, folder):
    groups = [[trial.model_copy(update={"seed": seed}) for seed in (0, 1, 2)] for trial in TRIALS]
    results = train_configurations(groups, data, "rows", folder, "", HALVING)
    assert [endings(group) for group in results] == [[("finished", 6)] * 3] * 2 + [[("halved", 2)]] * 2
    assert [result.trial for result in results[0]] == groups[0]
    without = train_configurations(groups, data, "rows", folder, "", Stopping())
    assert [endings(group) for group in without] == [[("finished", 6)] * 3] * 4


def test_a_call_that_was_partly_stored_goes_on_from_its_own_checkpoint(data, folder, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    train_all(TRIALS[:2], data, "rows", folder, "")

    def killed(trials, data, **options):
        def kill(_, record):
            if record["epoch"] == 5:
                raise KeyboardInterrupt

        return train_many(trials, data, **options | {"on_epoch": kill})

    monkeypatch.setattr(training, "train_many", killed)
    with pytest.raises(KeyboardInterrupt):
        train_all(TRIALS, data, "rows", folder, "")
    epochs = []

    def watched(trials, data, **options):
        return train_many(trials, data, **options | {"on_epoch": lambda _, record: epochs.append(record["epoch"])})

    monkeypatch.setattr(training, "train_many", watched)
    train_all(TRIALS, data, "rows", folder, "")
    assert set(epochs) == {5, 6}
    assert not list(folder.path.glob("checkpoint-*"))
