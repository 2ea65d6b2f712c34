"""Searches: asked, told, stopped at any time and gone on with; compared with Optuna used directly."""

from __future__ import annotations

import math
import subprocess
import sys

import optuna
import pytest

from lib.errors import DataError
from lib.mlp.course import objective
from lib.mlp.training import TrialResult
from lib.mlp.trial import Trial
from lib.search.optuna_search import OptunaSearch
from lib.search.search import GridSearch, open_search
from lib.search.variant import SearchSettings, Variant

SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1, "log": True},
    "hidden": {"units": {"low": 4, "high": 64, "log": True}},
    "activation": ["relu", "tanh"],
}


def settings(**changes) -> SearchSettings:
    content = {"sampler": "tpe", "configurations": 24, "round_size": 5, "startup": 6, "space": SPACE} | changes
    return SearchSettings.model_validate(content)


def outcome(setting: dict, ended: str = "finished") -> list[TrialResult]:
    """A trial whose loss depends on the rate alone and is lowest at 0.01."""
    loss = 0.1 + abs(math.log10(setting["learning_rate"]) + 2) if "learning_rate" in setting else 1.0
    history = ({"epoch": 1, "validation_loss": loss},) * (2 if ended == "halved" else 5)
    return [TrialResult(Trial(), history, 1 if ended == "diverged" else None, None, ended)]


def go(search, rounds: int | None = None) -> list[list[dict]]:
    asked = []
    while (rounds is None or len(asked) < rounds) and (settings := search.ask()):
        asked.append(settings)
        search.tell([outcome(setting) for setting in settings])
    return asked


def journal(path) -> optuna.Study:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name="variant", storage=storage)


def test_a_grid_is_one_round_of_everything(tmp_path):
    search = open_search(Variant(base=Trial(), grid={"l2": (0, 1), "init": ("he", "xavier")}), tmp_path, "variant")
    assert isinstance(search, GridSearch)
    in_trial_s_order = [{"init": init, "l2": l2} for init in ("he", "xavier") for l2 in (0, 1)]
    assert go(search) == [in_trial_s_order]
    assert list(tmp_path.iterdir()) == []
    assert [(each.name, each.choices) for each in search.dimensions] == [("init", ("he", "xavier")), ("l2", (0, 1))]
    assert search.points() == in_trial_s_order


def test_what_is_drawn_is_trained_to_four_digits_and_told_by_its_points(tmp_path):
    search = OptunaSearch(settings(configurations=10, sampler="random"), tmp_path / "log", "variant")
    asked = search.ask()
    rates = [setting["learning_rate"] for setting in asked]
    assert [float(f"{rate:.4g}") for rate in rates] == rates == [point["learning_rate"] for point in search.points()]
    assert rates == pytest.approx(
        [trial.params["learning_rate"] for trial in journal(tmp_path / "log").trials], rel=1e-3
    )


def test_only_a_search_imports_optuna():
    script = (
        "import sys; from pathlib import Path; from lib.search.search import open_search;"
        "from lib.search.variant import Variant;"
        "open_search(Variant(base={}, grid={'l2': (0,)}), Path(), 'a').ask(); sys.exit('optuna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_random_draws_all_ahead_and_the_same_again_for_the_same_seed(tmp_path):
    draws = [
        go(OptunaSearch(settings(sampler="random", seed=seed), tmp_path / name, "variant"))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert [len(round_) for round_ in draws[0]] == [24]
    assert draws[0] == draws[1] != draws[2]
    rates = [math.log10(setting["learning_rate"]) for setting in draws[0][0]]
    assert -4 <= min(rates) < -3
    assert -1 < max(rates) <= 0  # a logarithmic range is covered at both ends
    assert {setting["activation"] for setting in draws[0][0]} == {"relu", "tanh"}


def test_tpe_learns_from_what_it_is_told(tmp_path):
    tpe = go(OptunaSearch(settings(configurations=43), tmp_path / "tpe", "variant"))
    assert [len(round_) for round_ in tpe] == [5] * 8 + [3]

    def distance(round_):
        return sum(outcome(setting)[0].best_validation_loss for setting in round_) / len(round_)

    assert distance(tpe[-2] + tpe[-1]) < 0.6 * distance(tpe[0] + tpe[1])


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("after", ["ask", "tell"])
@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path, sampler, after, rounds):
    undisturbed = go(OptunaSearch(settings(sampler=sampler), tmp_path / "whole", "variant"))
    killed = OptunaSearch(settings(sampler=sampler), tmp_path / "killed", "variant")
    go(killed, rounds)
    if after == "ask":
        killed.ask()
    told = len(journal(tmp_path / "killed").get_trials(states=(optuna.trial.TrialState.COMPLETE,)))
    resumed = OptunaSearch(settings(sampler=sampler), tmp_path / "killed", "variant")
    assert go(resumed) == undisturbed
    study = journal(tmp_path / "killed")
    assert len(study.trials) == 24  # what was stored was not asked again
    assert told == min(24, rounds * 5 if sampler == "tpe" else 24)
    assert [trial.params for trial in study.trials] == [trial.params for trial in journal(tmp_path / "whole").trials]


def test_a_stored_value_stays_as_it_was_told(tmp_path):
    go(OptunaSearch(settings(), tmp_path / "log", "variant"), 1)
    again = OptunaSearch(settings(), tmp_path / "log", "variant")
    again.tell([outcome({}) for _ in again.ask()])
    assert 1.0 not in [trial.value for trial in journal(tmp_path / "log").trials]


def test_no_configuration_is_tried_twice_even_when_the_space_runs_out(tmp_path):
    small = {"activation": ["relu", "tanh"], "init": ["he", "xavier"], "batch_size": {"low": 1, "high": 5}}
    for sampler in ("random", "tpe"):
        search = OptunaSearch(settings(sampler=sampler, configurations=20, space=small), tmp_path / sampler, "variant")
        asked = [tuple(setting.values()) for round_ in go(search) for setting in round_]
        assert len(set(asked)) == len(asked) == 20


def test_diverged_and_halved_configurations_rank_last_without_a_made_up_figure(tmp_path):
    search = OptunaSearch(settings(configurations=5), tmp_path / "log", "variant")
    endings = ["finished", "diverged", "halved", "finished", "finished"]
    asked = search.ask()
    search.tell([outcome(setting, ended) for setting, ended in zip(asked, endings, strict=True)])
    trials = journal(tmp_path / "log").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "PRUNED", "COMPLETE", "COMPLETE"]
    assert trials[1].intermediate_values == {}
    assert trials[2].intermediate_values == {2: outcome(asked[2])[0].best_validation_loss}


def test_the_objective_is_the_mean_over_seeds_and_infinite_when_one_diverged():
    one, two = outcome({"learning_rate": 0.1}), outcome({"learning_rate": 0.01})
    assert objective([*one, *two]) == pytest.approx((1.1 + 0.1) / 2)
    assert objective([*one, *outcome({"learning_rate": 0.1}, "diverged")]) == math.inf


def test_optuna_says_nothing_on_standard_error(tmp_path, capfd):
    go(OptunaSearch(settings(), tmp_path / "log", "variant"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"{", b"{}\n", b'{"op_code": 4}\n', b"\xff"])
def test_a_damaged_journal_is_refused_with_the_fix(tmp_path, content):
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(DataError, match=r"search journal .*log is damaged .*delete it"):
        OptunaSearch(settings(), tmp_path / "log", "variant")
