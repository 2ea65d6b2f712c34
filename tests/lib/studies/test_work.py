"""A sweep in parts: what is stored is not trained again, and the parts together are the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.datasets import acquire
from lib.errors import ConfigError, DataError
from lib.files import remove_file
from lib.storage.copies import absent
from lib.studies.sweep import run_sweep
from lib.studies.work import require_separable, sweep_work, train_chunk

NAME = "hidden_units"


@pytest.fixture(scope="module")
def study(small):
    return small.hidden_units


@pytest.fixture(scope="module")
def dataset(study, tmp_path_factory):
    return acquire(study.data, tmp_path_factory.mktemp("data"))


@pytest.fixture
def machines(data_place) -> tuple[Path, Path]:
    """The folders of studies of two machines that share their data: one folder, or each its own copies."""
    return data_place.machine("one").studies, data_place.machine("other").studies


def test_chunks_trained_one_by_one_make_the_record_of_the_whole_sweep(study, dataset, tmp_path, monkeypatch, machines):
    here, other = machines
    work = sweep_work(NAME, study, dataset, here)
    chunks = work.chunks(2)
    assert [train_chunk(NAME, study, dataset, other, chunk.trials, work.folder.key) for chunk in chunks] == [
        {"stored": 0, "trained": len(chunk.trials)} for chunk in chunks
    ]
    assert absent(work.results(range(len(work.trials)))) == []
    assert work.missing() == []
    assert all(file.exists() for file in work.results(range(len(work.trials))))
    whole = run_sweep(NAME, study, dataset, tmp_path / "whole")
    monkeypatch.setattr("lib.studies.training.train_many", None)
    assert run_sweep(NAME, study, dataset, here).summary == whole.summary
    assert sweep_work(NAME, study, dataset, other) is None
    record = run_sweep(NAME, study, dataset, other)
    assert record.summary == whole.summary
    for figure in record.figures:
        assert (record.folder / "figures" / figure).read_bytes() == (whole.folder / "figures" / figure).read_bytes()


def test_a_chunk_that_is_done_again_trains_only_what_is_missing(study, dataset, machines):
    here, other = machines
    work = sweep_work(NAME, study, dataset, here)
    (chunk,) = work.chunks(1)
    train_chunk(NAME, study, dataset, here, chunk.trials, work.folder.key)
    for file in work.results(chunk.trials[:1]):
        remove_file(file)
    again = train_chunk(NAME, study, dataset, other, chunk.trials, work.folder.key)
    assert again == {"stored": len(chunk.trials) - 1, "trained": 1}


def test_chunks_are_the_same_after_a_crash(study, dataset, tmp_path):
    work = sweep_work(NAME, study, dataset, tmp_path)
    before = work.chunks(2)
    train_chunk(NAME, study, dataset, tmp_path, before[0].trials, work.folder.key)
    assert work.chunks(2) == before
    assert set(work.missing()) == set(before[1].trials)


def test_a_trial_of_two_arms_is_in_one_chunk(study, dataset, tmp_path):
    arms = study.model_dump(mode="json")["arms"]
    twice = type(study).model_validate(study.model_dump(mode="json") | {"arms": arms | {"again": arms["sgd"]}})
    work = sweep_work(NAME, twice, dataset, tmp_path)
    trials = [work.trials[position] for chunk in work.chunks(3) for position in chunk.trials]
    assert len(trials) == len(set(trials)) == len(set(work.trials)) < len(work.trials)


def test_a_worker_with_other_data_or_another_version_is_refused(study, dataset, tmp_path):
    with pytest.raises(DataError, match="where the sweep was started: their data or their versions"):
        train_chunk(NAME, study, dataset, tmp_path, [0], "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_position_that_is_no_trial_is_refused(study, dataset, tmp_path):
    key = sweep_work(NAME, study, dataset, tmp_path).folder.key
    with pytest.raises(ConfigError, match="trials 0 to 3; there is no trial 4"):
        train_chunk(NAME, study, dataset, tmp_path, [0, 4], key)


def test_a_sweep_in_which_trials_depend_on_others_is_not_cut(study):
    def changed(**settings):
        return type(study).model_validate(study.model_dump(mode="json") | settings)

    require_separable(NAME, study)
    with pytest.raises(ConfigError, match=r"hidden_units\.rungs ends trials by comparing them"):
        require_separable(NAME, changed(rungs=[{"epoch": 1, "keep": 0.5}]))
    search = {"configurations": 2, "space": {"hidden": [[4], [8]]}}
    with pytest.raises(ConfigError, match="arm 'sgd' searches"):
        require_separable(NAME, changed(arms={"sgd": {"base": {}, "search": search}}))


def test_early_stopping_is_done_in_chunks_as_in_the_whole(study, dataset, tmp_path, monkeypatch):
    hasty = type(study).model_validate(study.model_dump(mode="json") | {"patience": 1})
    work = sweep_work(NAME, hasty, dataset, tmp_path)
    for chunk in work.chunks(2):
        train_chunk(NAME, hasty, dataset, tmp_path, chunk.trials, work.folder.key)
    assert work.missing() == []
    monkeypatch.setattr("lib.studies.training.train_many", None)
    run_sweep(NAME, hasty, dataset, tmp_path)
