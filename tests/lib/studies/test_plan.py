"""The plan of a sweep says what the sweep then does."""

from __future__ import annotations

import pytest

from flows.plan import show_plan
from lib.config import load_profile, places, workers_here
from lib.datasets import acquire
from lib.errors import ConfigError
from lib.mlp.engine import cores
from lib.mlp.grouping import group_trials
from lib.studies import device
from lib.studies.plan import plan_sweep
from lib.studies.sweep import run_sweep
from lib.studies.training import train_many
from lib.studies.work import sweep_work, train_chunk

NAME = "hidden_units"
HERE = workers_here(environment={})


@pytest.fixture
def where(tmp_path):
    return places({"PROBEFLOW_DATA": str(tmp_path / "data"), "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns")})


def test_planned_programs_are_those_that_train(small, where, monkeypatch):
    planned = plan_sweep(NAME, small.hidden_units, where, HERE)
    seen = []

    def listen(trials, data, **options):
        rows, features = data.X_train.shape
        lanes = min(cores(), len(trials))
        seen.extend(group_trials(trials, rows, features, data.n_classes, memory=options["memory"], lanes=lanes))
        return train_many(trials, data, **options)

    monkeypatch.setattr("lib.studies.training.train_many", listen)
    run_sweep(NAME, small.hidden_units, acquire(small.hidden_units.data, where.data), where.studies)
    assert [(each.trials, each.depth, each.batch_size, each.optimiser, each.bytes) for each in planned.programs] == [
        (len(each.trials), each.depth, each.batch_size, each.kind, each.bytes) for each in seen
    ]


def test_an_unknown_stage_is_refused_and_a_stage_is_planned_with_what_it_needs(small, where, capsys):
    with pytest.raises(ConfigError, match="unknown stage 'everything'; known: acquire, extract"):
        show_plan(small, ["everything"], where, HERE)
    show_plan(small, ["tsne"], where, HERE)
    told = capsys.readouterr().out
    assert "tsne: nothing of it is recorded yet" in told
    assert "activations: nothing of it is recorded yet" in told
    assert "classifier" not in told


def test_planning_leaves_nothing_behind(small, where, capsys):
    show_plan(small, (), where, HERE)
    assert "hidden_units" in capsys.readouterr().out
    assert not where.data.exists()


def test_what_is_stored_and_what_is_done_are_told(small, where, capsys):
    study = small.hidden_units
    dataset = acquire(study.data, where.data)
    work = sweep_work(NAME, study, dataset, where.studies)
    train_chunk(NAME, study, dataset, where.studies, [0], work.folder.key)
    planned = plan_sweep(NAME, study, where, HERE)
    assert (planned.trials, planned.stored, sum(each.trials for each in planned.programs)) == (4, 1, 3)
    show_plan(small, [NAME], where, HERE)
    assert "hidden_units: begun: 1 of 4 trials stored" in capsys.readouterr().out
    run_sweep(NAME, study, dataset, where.studies)
    assert plan_sweep(NAME, study, where, HERE).sealed
    show_plan(small, [NAME], where, HERE)
    told = capsys.readouterr().out
    assert "hidden_units: " + str(work.folder.path) in told
    assert "All of it is there: a run computes nothing." in told


def test_chunks_are_planned_with_their_share(small, where, capsys):
    show_plan(small, [NAME], where, workers_here("gpu", 2, {}))
    out = capsys.readouterr().out
    assert {tuple(line.split()[1:5]) for line in out.splitlines() if " of 2 " in line and "%" in line} == {
        ("1", "of", "2", "50%"),
        ("2", "of", "2", "50%"),
    }
    assert "Trains on work pool 'gpu'." in out


def test_data_that_is_not_here_is_not_fetched(where, capsys):
    show_plan(load_profile("reference", environment={}), (), where, HERE)
    out = capsys.readouterr().out
    assert "acquire: mnist, letters, cifar10 are not on this machine yet" in out
    assert "learning_rates: its data is not on this machine yet, so its key is not known" in out
    assert "classifier: its images are not on this machine yet, so its key is not known" in out
    assert "report: the keys of exploration, features, activations," in out
    assert not where.data.exists()


@pytest.mark.filterwarnings("ignore:Logger 'lib.datasets.leakage'")  # Prefect's, for a log outside of a flow
def test_data_on_disk_is_planned_with_its_sizes(where, shared_data):
    study = load_profile("reference", environment={}).hidden_units
    acquire(study.data, where.data, shared_data.as_uri())
    planned = plan_sweep(NAME, study, where, HERE)
    assert planned.data == "letters: 9,000 training rows, 128 features, 10 classes"


def test_programs_are_split_to_fit_the_memory_there_is(small, where, monkeypatch):
    whole = plan_sweep("activations", small.activations, where, HERE).programs
    largest = max(program.bytes for program in whole)
    monkeypatch.setattr("lib.studies.plan.program_memory", lambda *_: largest - 1)
    split = plan_sweep("activations", small.activations, where, HERE).programs
    assert len(split) > len(whole)
    assert all(program.bytes < largest for program in split)
    monkeypatch.setattr("lib.studies.plan.program_memory", lambda *_: 1000)
    with pytest.raises(ConfigError, match="make it narrower"):
        plan_sweep("activations", small.activations, where, HERE)


def test_what_a_search_or_halving_will_do_is_told_in_words(small, where):
    settings = small.hidden_units.model_dump(mode="json")
    search = {"base": {}, "search": {"configurations": 2, "space": {"hidden": [[4], [8]]}, "sampler": "random"}}
    study = type(small.hidden_units).model_validate(
        settings | {"arms": settings["arms"] | {"searched": search}, "rungs": [{"epoch": 1, "keep": 0.5}]}
    )
    planned = plan_sweep(NAME, study, where, HERE)
    assert (planned.trials, planned.stored) == (4, None)
    assert (
        "arm 'searched' trains 2 configurations with 1 seed(s) each, which its random search chooses" in planned.after
    )
    assert "halving ends trials early" in planned.after


def test_a_container_s_limit_counts_as_the_machine_s_memory(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2000 kB\n")
    monkeypatch.setattr(device, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(device, "_CGROUP", tmp_path)
    assert device.program_memory("cpu", 1000) == int(2_048_000 * 0.8) - 1000
    (tmp_path / "memory.max").write_text("1500000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 600000\ninactive_file 300000\n")
    assert device.program_memory("cpu") == int(800_000 * 0.8)
    (tmp_path / "memory.max").write_text("max\n")
    assert device.program_memory("cpu") == int(2_048_000 * 0.8)
