"""Sweeps that search, and sweeps that stop trials early: whole records on real data, killed and gone on with."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from lib.config import load_profile
from lib.datasets import acquire
from lib.evaluation.reference import comparison
from lib.studies import sweep, sweep_record
from lib.studies.configuration import Configuration, winner
from lib.studies.sweep import run_sweep
from tests.small_profile import SMALL

REPOSITORY = Path(__file__).resolve().parents[3]
ARM = "learning_rates.arms.study"
SPACE = (
    "{learning_rate: {low: 0.001, high: 1000, log: true}, activation: [relu, tanh], "
    "hidden: {depth: {low: 1, high: 2}, units: {low: 4, high: 32, log: true}}}"
)


def study(*assignments: str, sampler: str = "tpe", configurations: int = 12):
    search = f"{{sampler: {sampler}, configurations: {configurations}, round_size: 4, startup: 4, space: {SPACE}}}"
    profile = load_profile(
        assignments=[
            *SMALL,
            f"{ARM}.grid={{}}",
            f"{ARM}.search={search}",
            f"{ARM}.base.batch_size=64",
            *(f"learning_rates.{assignment}" for assignment in assignments),
        ],
        environment={},
    )
    return profile.learning_rates


@pytest.fixture(scope="module")
def digits(tmp_path_factory, small):
    return acquire(small.activations.data, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def searched(digits, tmp_path_factory):
    return run_sweep("learning_rates", study("refit=true"), digits, tmp_path_factory.mktemp("searched"))


def table(record, name: str) -> list[dict[str, str]]:
    with (record.folder / "tables" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_search_stands_beside_a_grid_and_shows_what_mattered(searched):
    arms = [each["arm"] for each in searched.summary["configurations"]]
    assert (arms.count("study"), arms.count("sgd")) == (12, 3)
    names = {f"{name}-study" for name in ("search-history", "importances", "parallel-coordinates", "heat-map")}
    assert {f"{name}.png" for name in names} <= set(searched.figures)
    importances = searched.summary["search"]["study"]["importances"]
    assert next(iter(importances)) == "learning_rate"
    assert {row["setting"]: float(row["importance"]) for row in table(searched, "importances-study")} == importances
    assert searched.summary["settings"]["study"]["importances"] == importances
    assert re.search(r"importance of each setting .*PED-ANOVA.*: learning rate 0\.\d\d, ", searched.notes)
    assert len(table(searched, "search-study")) == 12


def test_labels_have_four_digits_and_are_all_different(searched):
    labels = [each["label"] for each in searched.summary["configurations"] if each["arm"] == "study"]
    assert len(set(labels)) == 12
    for label in labels:
        assert re.fullmatch(r"#\d+ · (\d+ units|layers \d+-\d+) · (relu|tanh) · rate (\S+)", label)
        assert len(label.rsplit(" ", 1)[1].replace(".", "").replace("e+0", "").lstrip("0")) <= 4


def test_a_search_over_a_range_has_one_winner_and_a_grid_one_for_each_value(searched):
    rates = [final["value"] for final in searched.summary["finals"]]
    assert rates[1:] == [0.1, 0.01, 0.001]
    assert searched.summary["finals"][0]["label"].startswith("#")


def test_the_closing_table_has_one_row_for_a_search(searched):
    rows = [row for row in comparison({"learning_rates": searched.summary}) if row["setting"].startswith("study")]
    assert len(rows) == 2  # its averages and its best loss


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_search_killed_between_rounds_ends_as_an_undisturbed_one(digits, tmp_path, monkeypatch, rounds):
    wanted = study("rungs=[{epoch: 1, keep: 0.75}]")
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) > rounds + 1:  # the first round trains two arms
            raise KeyboardInterrupt
        return train(*arguments)

    train = sweep.train_configurations
    monkeypatch.setattr(sweep, "train_configurations", killed)
    with pytest.raises(KeyboardInterrupt):
        run_sweep("learning_rates", wanted, digits, tmp_path / "killed")
    monkeypatch.setattr(sweep, "train_configurations", train)
    record = run_sweep("learning_rates", wanted, digits, tmp_path / "killed")
    undisturbed = run_sweep("learning_rates", wanted, digits, tmp_path / "whole")
    assert record.summary == undisturbed.summary


def test_many_configurations_stay_readable(digits, tmp_path, monkeypatch):
    drawn = []
    draw = sweep_record.figures.training_curves
    monkeypatch.setattr(
        sweep_record.figures,
        "training_curves",
        lambda curves, title: (drawn.append((len(curves), title)), draw(curves, title))[1],
    )
    record = run_sweep("learning_rates", study(sampler="random", configurations=60), digits, tmp_path)
    assert drawn[0] == (12, "Learning rates (study): cross-entropy (the best 12 of 60)")
    assert "43 more configurations, none better, stand in the table `configurations.csv`" in record.notes
    assert len(record.notes) < 8000  # MLflow keeps no longer a tag
    assert len(table(record, "configurations")) == 63


def test_a_search_of_three_says_that_it_is_too_few(digits, tmp_path):
    record = run_sweep("learning_rates", study(configurations=3), digits, tmp_path)
    assert "too few, or too alike, to say which setting matters" in record.notes
    assert "importances-study.png" not in record.figures


def test_halved_configurations_are_told_of_and_never_win(digits, tmp_path):
    wanted = study("rungs=[{epoch: 1, keep: 0.5}]", "seeds=[0, 1]", "refit=true", sampler="random")
    record = run_sweep("learning_rates", wanted, digits, tmp_path)
    of_arm = [each for each in record.summary["configurations"] if each["arm"] == "study"]
    halved = [each for each in of_arm if each["ended"] == "halved at epoch 1"]
    assert len(halved) == 6
    assert {each["seeds"] for each in halved} == {1}
    assert {each["seeds"] for each in of_arm if each not in halved} == {2}
    assert "dropped 7 of 15 configurations" in record.notes
    assert "halved" not in record.summary["best"]["ended"]
    assert not {each["label"] for each in halved} & {final["label"] for final in record.summary["finals"]}
    trials = [child for child in record.children if child.tags["probeflow.role"] == "candidate"]
    runs = [trial for trial in trials if trial.params["ended"] == "halved at epoch 1"]
    assert len(runs) == 7
    assert all(run.tags["probeflow.ended"] == "halved at epoch 1" and len(run.history) == 1 for run in runs)
    assert {row["ended"] for row in table(record, "configurations")} >= {"halved at epoch 1", "finished"}


class Result:
    """What ranking looks at."""

    def __init__(self, ended: str, accuracy: float) -> None:
        self.ended, self.final_validation_accuracy, self.best_validation_loss = ended, accuracy, 0.1
        self.history = [{}]


def test_a_halved_configuration_never_wins_however_good_its_early_figure():
    configurations = [
        Configuration("a", ended, ended, (Result(ended, accuracy),), (None,))
        for ended, accuracy in (("halved", 0.99), ("finished", 0.5), ("diverged", 0.0))
    ]
    assert winner(configurations).label == "finished"


def test_a_winner_out_of_patience_trains_as_long_again_without_watching_the_test_rows(digits, tmp_path):
    wanted = study("patience=1", "refit=true", "arms.sgd.base.epochs=40", "arms.sgd.grid.learning_rate=[2.0]")
    record = run_sweep("learning_rates", wanted, digits, tmp_path)
    (candidate,) = [child for child in record.children if child.params.get("arm") == "sgd" and child.below]
    (final,) = [child for child in record.children if child.name == f"final · rate 2 · seed {candidate.params['seed']}"]
    epochs = len(candidate.history)
    assert candidate.params["ended"] == f"out of patience at epoch {epochs}"
    assert epochs < 40
    assert (final.params["epochs"], len(final.history), final.params["ended"]) == (epochs, epochs, "finished")
    assert "Patience of 1 epochs ended" in record.notes


def test_the_readme_s_search_runs(digits, tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if yaml.safe_load(block).get("name") == "searched"]
    (tmp_path / "searched.yaml").write_text(example)
    shorter = [
        f"{ARM}.search.configurations=9",
        f"{ARM}.base.epochs=3",
        "learning_rates.arms.sgd.base.epochs=3",
        "learning_rates.seeds=[0]",
        "learning_rates.rungs=[{epoch: 1, keep: 0.5}]",
    ]
    profile = load_profile(file=tmp_path / "searched.yaml", environment={})
    assert profile.learning_rates.arms["study"].search.configurations == 40
    profile = load_profile(file=tmp_path / "searched.yaml", assignments=shorter, environment={})
    record = run_sweep("learning_rates", profile.learning_rates, digits, tmp_path)
    assert record.summary["search"]["study"]["configurations"] == 9
