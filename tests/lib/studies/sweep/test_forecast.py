"""What a sweep is said to do is what it then does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.errors import ConfigError
from lib.mlp.engine import cores
from lib.mlp.fused import train_many
from lib.mlp.grouping import group_trials
from lib.studies.sweep import KIND
from lib.studies.sweep.forecast import winners_ahead
from tests.sweeps import ahead, sweep


def forecast(study, folder=True):
    return KIND.forecast(study.name, study.settings, ahead(study), study.where, study.folder if folder else None)


@pytest.mark.parametrize("name", ["hidden_units", "classifier"])
def test_programs_and_amount_are_those_that_train(where, tmp_path, monkeypatch, name):
    study = sweep(name, where, tmp_path)
    told, seen = forecast(study), []

    def listen(trials, data, **options):
        rows, features = data.X_train.shape
        lanes = min(cores(), len(trials))
        watched = len(data.X_validation)
        seen.append(
            group_trials(trials, rows, features, data.n_classes, memory=options["memory"], lanes=lanes, watched=watched)
        )
        return train_many(trials, data, **options)

    monkeypatch.setattr("lib.studies.sweep.training.train_many", listen)
    result = KIND.compute(study)
    assert [(each.trials, each.depth, each.batch_size, each.optimiser, each.bytes) for each in told.programs] == [
        (len(each.trials), each.depth, each.batch_size, each.kind, each.bytes) for each in seen[0]
    ]
    assert KIND.effort(result).amount == pytest.approx(told.amount)
    assert KIND.effort(result).seconds > 0
    assert told.trials == sum(len(each.trials) for each in result.configurations)


def test_what_is_stored_is_counted_without_reading_it(where, tmp_path):
    study = sweep("classifier", where, tmp_path)
    fresh = forecast(study)
    assert (fresh.trials, fresh.stored) == (2, 0)
    KIND.work(study).do([0])
    begun = forecast(study)
    assert (begun.stored, sum(each.trials for each in begun.programs)) == (1, 1)
    assert begun.bytes == fresh.bytes / 2
    assert begun.amount < fresh.amount
    assert forecast(study, folder=False).stored is None


def test_data_that_is_not_here_has_no_sizes(where, tmp_path):
    study = sweep("hidden_units", where, tmp_path)
    inputs = {role: replace(each, dataset=None, digest=None) for role, each in ahead(study).items()}
    told = KIND.forecast(study.name, study.settings, inputs, where, None)
    assert (told.trials, told.stored, told.bytes, told.amount) == (4, None, None, None)
    assert {each.parameters for each in told.programs} == {None}


def test_programs_are_split_to_fit_the_memory_there_is(where, tmp_path, monkeypatch):
    study = sweep("activations", where, tmp_path)
    whole = forecast(study).programs
    largest = max(program.bytes for program in whole)
    monkeypatch.setattr("lib.studies.sweep.forecast.program_memory", lambda *_: largest - 1)
    split = forecast(study).programs
    assert len(split) > len(whole)
    assert all(program.bytes < largest for program in split)
    monkeypatch.setattr("lib.studies.sweep.forecast.program_memory", lambda *_: 1000)
    with pytest.raises(ConfigError, match="make it narrower"):
        forecast(study)


def test_what_a_search_or_halving_will_do_is_told_in_words(where, tmp_path):
    search = {"configurations": 2, "space": {"hidden": [[4], [8]]}, "sampler": "random"}
    variants = {"searched": {"base": {}, "search": search}}
    plain = forecast(sweep("hidden_units", where, tmp_path, variants=variants))
    halving = forecast(sweep("hidden_units", where, tmp_path, variants=variants, rungs=[{"epoch": 1, "keep": 0.5}]))
    assert (halving.trials, halving.stored) == (4, None)
    assert (halving.searched, plain.searched) == (2, 2)
    assert "halving ends trials early" in halving.after
    assert halving.amount < plain.amount


def test_winners_are_counted_ahead(where):
    def count(**changes):
        return winners_ahead(sweep("activations", where, **changes).settings)

    assert (count(), count(axis=None)) == (2, 1)
    search = {"configurations": 2, "space": {"learning_rate": {"low": 0.1, "high": 1.0}}}
    assert count(variants={"searched": {"base": {}, "search": search}}) == 3
