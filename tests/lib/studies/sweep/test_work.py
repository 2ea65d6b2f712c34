"""A sweep in pieces: what is stored is not trained again, and the pieces together are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.errors import ConfigError
from lib.files import remove_file
from lib.mlp.fused import train_many
from lib.storage.copies import absent
from lib.studies.sweep import KIND
from tests.sweeps import assert_alike, sweep


@pytest.fixture
def machines(data_place) -> tuple[Path, Path]:
    """The folders of studies of two machines that share their data: one folder, or each its own copies."""
    return data_place.machine("one").studies, data_place.machine("other").studies


@pytest.mark.parametrize("name", ["hidden_units", "classifier"])
def test_pieces_done_one_by_one_make_the_result_of_the_whole_sweep(where, machines, tmp_path, monkeypatch, name):
    here, other = machines
    work = KIND.work(sweep(name, where, here))
    there = KIND.work(sweep(name, where, other))
    assert work.key == there.key
    pieces = work.pieces(2, 1)
    assert [there.do(piece.positions) for piece in pieces] == [len(piece.positions) for piece in pieces]
    everything = range(len(work.trials))
    assert absent(work.results(everything)) == []
    assert work.missing() == []
    assert all(file.exists() for file in work.results(everything))
    whole = KIND.compute(sweep(name, where, tmp_path / "whole"))
    trained = []

    def listen(trials, data, **options):
        trained.extend(trials)
        return train_many(trials, data, **options)

    monkeypatch.setattr("lib.studies.sweep.training.train_many", listen)
    assert_alike(KIND.compute(sweep(name, where, here)), whole)
    finals = [trial.trial for model in whole.models for trial in model.trials] if whole.settings.test else []
    assert trained == finals


def test_a_piece_that_is_done_again_trains_only_what_is_missing(where, machines):
    here, other = machines
    work = KIND.work(sweep("hidden_units", where, here))
    (piece,) = work.pieces(1, 1)
    work.do(piece.positions)
    for file in work.results(piece.positions[:1]):
        remove_file(file)
    there = KIND.work(sweep("hidden_units", where, other))
    assert there.missing(piece.positions) == [piece.positions[0]]
    assert there.do(piece.positions) == 1


def test_pieces_are_the_same_after_a_crash(where, tmp_path):
    work = KIND.work(sweep("hidden_units", where, tmp_path))
    before = work.pieces(2, 1)
    work.do(before[0].positions)
    assert work.pieces(2, 1) == before
    assert set(work.missing()) == set(before[1].positions)


def test_a_trial_of_two_variants_is_one_unit(where, tmp_path):
    study = sweep("hidden_units", where, tmp_path)
    variants = study.settings.model_dump(mode="json")["variants"]
    twice = KIND.work(sweep("hidden_units", where, tmp_path, variants={"again": variants["sgd"]}))
    assert twice.trials == KIND.work(study).trials
    assert sorted(position for piece in twice.pieces(3, 1) for position in piece.positions) == [0, 1, 2, 3]


def test_rows_are_read_by_who_trains_alone(where, tmp_path):
    work = KIND.work(sweep("hidden_units", where, tmp_path))
    work.pieces(2, 1)
    work.missing()
    assert "rows" not in vars(work.candidates.first)


def test_a_position_that_is_no_trial_is_refused(where, tmp_path):
    with pytest.raises(ConfigError, match="trials 0 to 3; there is no trial 4"):
        KIND.work(sweep("hidden_units", where, tmp_path)).do([0, 4])


def test_a_sweep_in_which_trials_depend_on_others_is_not_cut(where, tmp_path):
    halved = sweep("hidden_units", where, tmp_path, rungs=[{"epoch": 1, "keep": 0.5}])
    search = {"configurations": 2, "space": {"hidden": [[4], [8]]}}
    searched = sweep("hidden_units", where, tmp_path, variants={"searched": {"base": {}, "search": search}})
    assert KIND.work(halved) is KIND.work(searched) is None


def test_early_stopping_is_done_in_pieces_as_in_the_whole(where, tmp_path, monkeypatch):
    hasty = sweep("hidden_units", where, tmp_path, patience=1)
    work = KIND.work(hasty)
    for piece in work.pieces(2, 1):
        work.do(piece.positions)
    assert work.missing() == []
    monkeypatch.setattr("lib.studies.sweep.training.train_many", None)
    KIND.compute(hasty)
