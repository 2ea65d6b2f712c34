"""Stored results are never another call's: stopping and, at rungs, all rivals are part of their names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lib.datasets import acquire
from lib.datasets.sources import parse_source
from lib.mlp.fused import Rung, Stopping, train_many
from lib.mlp.trial import Trial
from lib.studies.study import Input
from lib.studies.sweep import training
from lib.studies.sweep.rows import Candidates, Division, Source
from lib.studies.sweep.training import train_all, train_configurations, train_each
from tests.sweeps import dividing

TRIALS = [Trial(hidden=(8,), learning_rate=rate, epochs=6, batch_size=64) for rate in (0.2, 0.05, 0.01, 0.001)]
HALVING = Stopping(rungs=(Rung(2, 0.5),))


@dataclass(frozen=True)
class Folder:
    """Where one study keeps its files, and all studies their trials."""

    root: Path
    key: str = "key"

    @property
    def path(self) -> Path:
        return self.root / "study" / self.key

    @property
    def trials(self) -> Path:
        return self.root / "_trials"


@pytest.fixture(scope="module")
def division(tmp_path_factory) -> Division:
    digits = acquire(parse_source({"source": "digits"}), tmp_path_factory.mktemp("data"))
    return Source(Input("digits", digits), standardise=False).candidates(dividing(0.5)).first


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


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


def test_results_and_networks_are_the_engine_s_and_are_kept(division, folder, trained):
    results = train_all(TRIALS, division, folder, "", HALVING)
    assert endings(results) == [("finished", 6), ("finished", 6), ("halved", 2), ("halved", 2)]
    alone = train_many(TRIALS, division.rows.data, stopping=HALVING)
    for ours, theirs in zip(results, alone, strict=True):
        assert ours.best_validation_loss == theirs.best_validation_loss
        np.testing.assert_array_equal(ours.network().network_.parameters, theirs.network.network_.parameters)
        assert ours.parameters == theirs.n_parameters
    assert endings(train_all(TRIALS, division, folder, "", HALVING)) == endings(results)
    assert set(trained.values()) == {1}


def test_rows_are_not_read_when_all_trials_are_stored(division, folder, monkeypatch):
    train_all(TRIALS, division, folder, "")
    again = Division(division.source, division.key, division.train, division.watched)
    train_all(TRIALS, again, folder, "")
    assert "rows" not in vars(again)


def test_another_study_finds_the_trials_of_one(division, folder, trained):
    train_all(TRIALS, division, folder, "")
    train_all(TRIALS[1:], division, Folder(folder.root, "other"), "")
    assert set(trained.values()) == {1}


def test_the_same_trial_on_other_rows_is_another(division, folder, trained):
    train_all(TRIALS[:1], division, folder, "")
    for other in (
        Source(division.source.input, standardise=True).candidates(dividing(0.5)).first,
        division.source.candidates(dividing(0.4)).first,
    ):
        train_all(TRIALS[:1], other, folder, "")
    assert trained[TRIALS[0]] == 3


def test_a_trial_halved_among_others_is_not_taken_for_the_same_trial_elsewhere(division, folder, trained):
    train_all(TRIALS, division, folder, "", HALVING)
    assert endings(train_all(TRIALS, division, folder, "")) == [("finished", 6)] * 4
    assert endings(train_all(TRIALS[2:], division, folder, "", HALVING)) == [("finished", 6), ("halved", 2)]
    assert endings(train_all(TRIALS, division, folder, "", Stopping(rungs=(Rung(3, 0.5),))))[3] == ("halved", 3)
    assert trained[TRIALS[2]] == 4


def test_results_of_a_halving_are_trained_together_when_one_is_lost(division, folder, trained):
    before = train_all(TRIALS, division, folder, "", HALVING)
    next(folder.trials.glob("*.json")).unlink()
    assert endings(train_all(TRIALS, division, folder, "", HALVING)) == endings(before)
    assert set(trained.values()) == {2}


def test_patience_is_part_of_the_name_but_rivals_are_not(division, folder, trained):
    restless = [trial.model_copy(update={"epochs": 40, "learning_rate": 3.0}) for trial in TRIALS[:1]]
    (impatient,) = train_all(restless, division, folder, "", Stopping(patience=2))
    assert impatient.ended == "patience"
    assert len(train_all(restless, division, folder, "")[0].history) > len(impatient.history)
    train_all([*restless, *TRIALS], division, folder, "", Stopping(patience=2))
    assert trained[restless[0]] == 2


def test_a_configuration_is_halved_as_a_whole_or_has_all_its_seeds(division, folder):
    groups = [[trial.model_copy(update={"seed": seed}) for seed in (0, 1, 2)] for trial in TRIALS]
    candidates = Candidates(dict.fromkeys((0, 1, 2), division))
    results = train_configurations(groups, candidates, folder, "", HALVING)
    assert [endings(group) for group in results] == [[("finished", 6)] * 3] * 2 + [[("halved", 2)]] * 2
    assert [result.trial for result in results[0]] == groups[0]
    without = train_configurations(groups, candidates, folder, "", Stopping())
    assert [endings(group) for group in without] == [[("finished", 6)] * 3] * 4


def test_each_seed_trains_on_its_own_rows_and_one_split_is_in_memory_at_a_time(division, folder):
    source = division.source
    candidates = source.candidates(dividing(0.5, (0, 1)))
    trials = [trial.model_copy(update={"seed": seed}) for trial in TRIALS[:2] for seed in (1, 0)]
    results = train_each(trials, candidates, folder, "", Stopping())
    assert [result.trial for result in results] == trials
    assert not any("rows" in vars(each) for each in candidates.of_seed.values())
    for seed, own in candidates.of_seed.items():
        alone = train_many([trial for trial in trials if trial.seed == seed], own.rows.data)
        ours = [result for result in results if result.trial.seed == seed]
        assert [each.history for each in ours] != []
        for one, other in zip(ours, alone, strict=True):
            assert one.best_validation_loss == other.best_validation_loss


def test_a_call_that_was_partly_stored_goes_on_from_its_own_checkpoint(division, folder, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    train_all(TRIALS[:2], division, folder, "")

    def killed(trials, data, **options):
        def kill(_, record):
            if record["epoch"] == 5:
                raise KeyboardInterrupt

        return train_many(trials, data, **options | {"on_epoch": kill})

    monkeypatch.setattr(training, "train_many", killed)
    with pytest.raises(KeyboardInterrupt):
        train_all(TRIALS, division, folder, "")
    assert list(folder.path.glob("checkpoint-*"))
    epochs = []

    def watched(trials, data, **options):
        return train_many(trials, data, **options | {"on_epoch": lambda _, record: epochs.append(record["epoch"])})

    monkeypatch.setattr(training, "train_many", watched)
    train_all(TRIALS, division, folder, "")
    assert set(epochs) == {5, 6}
    assert not list(folder.path.glob("checkpoint-*"))


def test_networks_too_large_together_train_in_turns_unless_they_compete(division, folder, monkeypatch, trained):
    calls = []

    def counted(trials, data, **options):
        calls.append(len(trials))
        return train_many(trials, data, **options)

    together = train_all(TRIALS, division, Folder(folder.root / "together"), "")
    monkeypatch.setattr(training, "train_many", counted)
    monkeypatch.setattr(training, "TOGETHER", 2 * 4 * together[0].parameters)
    in_turns = train_all(TRIALS, division, folder, "")
    assert calls == [2, 2]
    for one, other in zip(together, in_turns, strict=True):
        assert one.best_validation_loss == pytest.approx(other.best_validation_loss, rel=1e-5)
    calls.clear()
    train_all(TRIALS, division, folder, "", HALVING)
    assert calls == [4]
