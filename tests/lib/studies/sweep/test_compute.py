"""Whole sweeps on real data, pixels and features alike: honest choices, nothing trained twice, all of it typed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from lib.datasets.dataset import build
from lib.errors import DataError
from lib.evaluation.baselines import BASELINES, Baseline, Choice
from lib.evaluation.checks import Learned
from lib.evaluation.measures import MEASURES
from lib.mlp.fused import train_many
from lib.mlp.store import load_network
from lib.studies.presentation import Rows
from lib.studies.study import Input, Study
from lib.studies.sweep import KIND, compute, training
from lib.studies.sweep.baselines import baseline_models, held_out_among, held_out_of
from lib.studies.sweep.predictions import read_predictions
from lib.studies.sweep.result import Doubt, ModelRole, SweepResult, TunedOn, Verdict
from lib.studies.sweep.rows import sources_of
from tests.sweeps import assert_alike, differences, sweep

ALL = ["majority", "logistic", "knn", "sklearn-mlp"]
SPACE = {
    "learning_rate": {"low": 0.001, "high": 1000, "log": True},
    "activation": ["relu", "tanh"],
    "hidden": {"depth": {"low": 1, "high": 2}, "units": {"low": 4, "high": 32, "log": True}},
}


def searching(sampler: str, configurations: int = 9, **base) -> dict:
    search = {"sampler": sampler, "configurations": configurations, "round_size": 3, "startup": 3, "space": SPACE}
    return {"base": {"batch_size": 64, "epochs": 3} | base, "search": search}


@pytest.fixture(scope="module")
def on_pixels(where, tmp_path_factory) -> tuple[Study, SweepResult]:
    study = sweep("activations", where, tmp_path_factory.mktemp("pixels"), baselines=ALL)
    return study, KIND.compute(study)


@pytest.fixture(scope="module")
def on_features(where, tmp_path_factory) -> tuple[Study, SweepResult]:
    study = sweep("classifier", where, tmp_path_factory.mktemp("features"), baselines=ALL, seeds=[0, 1, 2])
    return study, KIND.compute(study)


@pytest.fixture(scope="module")
def judged(where, tmp_path_factory) -> tuple[Study, SweepResult]:
    study = sweep("hidden_units", where, tmp_path_factory.mktemp("judged"), baselines=ALL, seeds=[0, 1])
    return study, KIND.compute(study)


@pytest.fixture(params=["on_pixels", "on_features"])
def computed(request) -> tuple[Study, SweepResult]:
    return request.getfixturevalue(request.param)


def doubts(result, doubt):
    return [each for each in result.remarks if each.doubt is doubt]


class TestWhatIsTested:
    def test_a_result_is_read_as_it_was_written(self, computed):
        _, result = computed
        text = json.dumps(json.loads(result.model_dump_json()), allow_nan=False)
        assert SweepResult.model_validate_json(text) == result

    def test_winners_are_chosen_on_validation_rows_and_trained_again_with_every_seed(self, computed):
        study, result = computed
        best = max(each.trials[0].final_validation_accuracy for each in result.configurations)
        assert result.configurations[result.best].rank == 1
        assert best >= result.configurations[result.best].trials[0].final_validation_accuracy
        for model in result.models:
            if model.role is ModelRole.WINNER:
                trials = result.configurations[model.configuration].trials
                assert [each.trial for each in model.trials] == [each.trial for each in trials]
                assert [score.seed for score in model.scores] == list(study.settings.seeds)
        assert result.judged_on is Rows.TEST
        assert result.judged_rows == len(study.dataset.splits["test"])
        assert result.models[result.chosen].configuration == result.best

    def test_each_value_of_the_axis_has_a_winner_and_without_an_axis_there_is_one(self, on_pixels, on_features):
        tested = [each for each in on_pixels[1].models if each.role is ModelRole.WINNER]
        values = [on_pixels[1].configurations[each.configuration].value("activation") for each in tested]
        assert values == ["relu", "tanh"]
        assert [each.role for each in on_features[1].models].count(ModelRole.WINNER) == 1

    def test_every_model_has_every_measure_of_each_seed_and_its_interval(self, computed):
        _, result = computed
        for model in result.models:
            assert model.measured.keys() == MEASURES.keys()
            for score in model.scores:
                assert score.measures.keys() == MEASURES.keys()
                assert score.right == round(score.measures["accuracy"] * result.judged_rows)
            for interval in model.measured.values():
                assert interval.low <= interval.estimate <= interval.high
        estimate = result.over_seeds(result.chosen, "accuracy")
        values = [score.measures["accuracy"] for score in result.models[result.chosen].scores]
        assert (estimate.mean, estimate.standard_deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))

    def test_kept_answers_give_its_figures_again(self, computed):
        study, result = computed
        kept = read_predictions(study.folder.path)
        chosen = kept.of(result.models[result.chosen].answers)
        assert kept.chosen == result.models[result.chosen].answers
        assert kept.dataset_digest == study.dataset.digest
        np.testing.assert_array_equal(kept.labels, study.dataset.splits["test"].labels)
        assert len(kept.probabilities) == sum(len(model.scores) for model in result.models)
        assert np.trace(result.confusion) == (chosen == kept.labels).sum()
        assert result.wrong_rows == (chosen != kept.labels).sum()
        for lead in result.leads:
            assert lead.same_rows == kept.compare(kept.chosen, kept, result.models[lead.model].answers)
            assert lead.same_rows.p_value <= lead.p <= 1

    def test_its_network_takes_raw_rows_and_predicts_as_when_it_was_scored(self, computed):
        study, result = computed
        network = load_network(study.folder.path / result.network.network)
        example = load_file(study.folder.path / result.network.example)
        given = study.inputs["on"]
        raw = given.dataset.pixels("test") if given.feature_set is None else given.feature_set.load("test").X
        np.testing.assert_array_equal(example["inputs"], raw[:5])
        np.testing.assert_array_equal(network.predict_proba(example["inputs"]), example["probabilities"])
        kept = read_predictions(study.folder.path)
        np.testing.assert_allclose(network.predict_proba(raw), kept.probabilities[kept.chosen], atol=1e-4)

    def test_baselines_have_the_network_s_own_rows(self, computed):
        study, result = computed
        given = study.inputs["on"]
        train, test = (
            given.dataset.pixels(split) if given.feature_set is None else given.feature_set.load(split).X
            for split in ("train", "test")
        )
        (model,) = [each for each in result.models if each.baseline == "logistic"]
        steps = [LogisticRegression(C=model.settings["C"], max_iter=1000, tol=1e-6)]
        if result.representations[0].standardised:
            steps.insert(0, StandardScaler())
        with threadpool_limits(1):
            theirs = make_pipeline(*steps).fit(train, given.dataset.splits["train"].labels).predict_proba(test)
        np.testing.assert_allclose(read_predictions(study.folder.path).probabilities["logistic"], theirs, atol=0.02)

    def test_every_model_s_budget_is_stated(self, computed):
        _, result = computed
        budgets = {each.baseline: each.tuning for each in result.models if each.role is ModelRole.BASELINE}
        assert budgets["logistic"].tried > 8
        assert budgets["knn"].tried > 8
        assert {budgets[name].on for name in ("logistic", "knn")} == {TunedOn.VALIDATION}
        assert budgets["logistic"].seconds > 0
        for untuned in ("majority", "sklearn-mlp"):
            assert (budgets[untuned].tried, budgets[untuned].on) == (1, TunedOn.NOTHING)
        for each in result.models:
            if each.role is ModelRole.WINNER:
                axis = result.settings.axis
                value = None if axis is None else result.configurations[each.configuration].value(axis)
                rivals = [one for one in result.configurations if axis is None or one.value(axis) == value]
                assert (each.tuning.tried, each.tuning.on) == (len(rivals), TunedOn.VALIDATION)
                assert each.tuning.seconds == pytest.approx(sum(t.seconds for one in rivals for t in one.trials))

    def test_baselines_choose_on_the_rows_that_networks_are_chosen_on(self, on_pixels, monkeypatch, tmp_path):
        study, _ = on_pixels
        asked = []

        def noting(question):
            asked.append(question)
            return Choice({"C": 1.0})

        other = replace(BASELINES["logistic"], choose=noting)
        monkeypatch.setattr("lib.studies.sweep.baselines.BASELINES", BASELINES | {"logistic": other})
        candidates = sources_of(study)[0].candidates(study.settings).first
        finals = sources_of(study)[0].finals()
        held_out = held_out_among(candidates, finals)
        (split, rows), *_ = candidates.watched
        baseline_models(("logistic",), [], finals, held_out, tmp_path, "baselines")
        (question,) = asked
        np.testing.assert_array_equal(question.data.X_train[question.held_out], study.dataset.pixels(split)[rows])
        np.testing.assert_array_equal(question.data.y_train[question.held_out], candidates.y_watched)

    def test_sklearn_s_network_comes_for_each_winner_with_all_its_seeds(self, computed):
        study, result = computed
        theirs = {"relu": "relu", "tanh": "tanh"}
        baselines = [each for each in result.models if each.baseline == "sklearn-mlp"]
        tested = [each for each in result.models if each.role is ModelRole.WINNER]
        assert [each.configuration for each in baselines] == [each.configuration for each in tested]
        for each in baselines:
            assert [score.seed for score in each.scores] == list(study.settings.seeds)
            activation = result.configurations[each.configuration].value("activation")
            assert each.settings == {"activation": theirs[activation]}
        of_best = next(
            at for at, each in enumerate(result.models) if each in baselines and each.configuration == result.best
        )
        assert next(lead for lead in result.leads if lead.model == of_best).over_seeds.pairs == len(
            study.settings.seeds
        )

    def test_the_best_s_settings_are_tested_on_other_inputs(self, on_features):
        _, result = on_features
        (other,) = [each for each in result.models if each.role is ModelRole.ALSO_ON]
        assert result.representations[other.representation].is_pixels
        assert [each.trial for each in other.trials] == [each.trial for each in result.models[result.chosen].trials]
        assert other.trials[0].parameters != result.models[result.chosen].trials[0].parameters

    def test_rows_in_groups_and_random_weights_are_doubtful(self, on_features, on_pixels):
        study, result = on_features
        (grouped,) = doubts(result, Doubt.GROUPED_ROWS)
        groups = study.dataset.splits["test"].groups
        assert (grouped.count, grouped.of, result.groups) == (len(set(groups)), len(groups), len(set(groups)))
        assert doubts(result, Doubt.RANDOM_WEIGHTS)
        assert result.models[0].accuracy == result.models[0].measured["accuracy"]
        assert not doubts(on_pixels[1], Doubt.RANDOM_WEIGHTS)

    def test_what_scores_higher_is_named(self, computed):
        _, result = computed
        higher = {each.model for each in doubts(result, Doubt.HIGHER_SCORE)}
        own = result.models[result.chosen].scores[0].right
        assert higher == {at for at, each in enumerate(result.models) if each.scores[0].right > own}

    def test_what_mattered_in_a_grid_is_told_as_of_a_search(self, on_pixels):
        (explored,) = on_pixels[1].explored
        assert (explored.sampler, explored.dimensions) == ("grid", ("activation", "init"))
        assert set(explored.importances) == {"activation", "init"}
        assert explored.objectives[explored.lowest] == min(explored.objectives)

    def test_nothing_is_trained_again(self, computed, monkeypatch):
        study, result = computed
        monkeypatch.setattr(training, "train_many", None)
        monkeypatch.setattr("lib.studies.sweep.baselines.BASELINES", _not_to_be_asked())
        for threads in (1, 2):
            with threadpool_limits(threads):
                assert differences(KIND.compute(study), result) == []


def _not_to_be_asked():
    return {name: Baseline(each.title, None, per_trial=each.per_trial) for name, each in BASELINES.items()}


class TestWithoutATest:
    def test_the_best_is_judged_on_validation_rows_with_its_first_seed(self, judged):
        study, result = judged
        assert result.judged_on is Rows.VALIDATION
        assert result.judged_rows == result.validation_rows
        chosen, best = result.models[result.chosen], result.configurations[result.best]
        assert chosen.scores[0].measures["accuracy"] == pytest.approx(best.trials[0].final_validation_accuracy)
        assert [each.baseline for each in result.models[1:]] == ALL
        assert [len(each.scores) for each in result.models] == [1] * 5
        assert read_predictions(study.folder.path).dataset_digest != study.dataset.digest

    def test_no_baseline_is_tuned_on_the_rows_that_it_is_judged_by(self, judged):
        study, result = judged
        budgets = {each.baseline: each.tuning.on for each in result.models}
        assert budgets["logistic"] is budgets["knn"] is TunedOn.HELD_OUT
        assert budgets[None] is TunedOn.VALIDATION
        division = sources_of(study)[0].candidates(study.settings).first
        held_out = held_out_of(division, study.settings.validation_fraction).rows
        counts = np.bincount(division.y_train[held_out], minlength=10) / np.bincount(division.y_train, minlength=10)
        np.testing.assert_allclose(counts, study.settings.validation_fraction, atol=0.05)

    def test_its_network_is_kept_as_it_was_chosen(self, judged):
        study, result = judged
        network = load_network(study.folder.path / result.network.network)
        assert network.network_.sizes == (64, *result.configurations[result.best].trial.hidden, 10)

    def test_one_seed_judges_nothing(self, where, tmp_path):
        result = KIND.compute(sweep("hidden_units", where, tmp_path))
        assert result.judgement.verdict is Verdict.ONE_SEED
        assert result.steps == ()

    def test_steps_along_the_axis_are_tested_in_each_variant(self, judged):
        _, result = judged
        assert [(step.variant, step.before, step.after) for step in result.steps] == [("adam", 0, 1), ("sgd", 2, 3)]


@pytest.mark.parametrize("name", ["hidden_units", "classifier"])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_search_works_on_pixels_and_on_features_beside_a_grid(where, tmp_path, name, sampler):
    study = sweep(name, where, tmp_path, variants={"searched": searching(sampler)}, seeds=[0, 1])
    result = KIND.compute(study)
    searched = [each for each in result.configurations if each.searched]
    assert len(searched) == len({each.key for each in searched}) == 9
    explored = next(each for each in result.explored if each.variant == "searched")
    assert (explored.sampler, len(explored.points)) == (sampler, 9)
    assert explored.dimensions == ("depth", "units", "activation", "learning_rate")
    assert [point["learning_rate"] for point in explored.points] == [each.value("learning_rate") for each in searched]
    diverged = {
        at for at, each in enumerate(result.configurations) if Learned.DIVERGED in {t.learned for t in each.trials}
    }
    assert {each.configuration for each in doubts(result, Doubt.DIVERGED) if each.model is None} == diverged


@pytest.mark.parametrize("name", ["hidden_units", "classifier"])
def test_halved_configurations_are_halved_whole_and_never_win(where, tmp_path, name):
    changes = {"rungs": [{"epoch": 1, "keep": 0.5}], "seeds": [0, 1], "variants": {"searched": searching("random", 8)}}
    result = KIND.compute(sweep(name, where, tmp_path, **changes))
    halved = [each for each in result.configurations if each.halved and each.searched]
    assert len(halved) == 4
    assert {len(each.trials) for each in halved} == {1}
    assert {each.learned for trial in halved for each in trial.trials} == {Learned.NOT_JUDGED}
    assert not result.configurations[result.best].halved
    assert not any(result.configurations[rival.configuration].halved for rival in result.judgement.rivals)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_search_killed_between_rounds_ends_as_an_undisturbed_one(where, tmp_path, monkeypatch, rounds):
    changes = {"rungs": [{"epoch": 1, "keep": 0.75}], "variants": {"searched": searching("tpe")}}
    calls = []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) > rounds + 1:  # the first round trains each variant by itself
            raise KeyboardInterrupt
        return train(*arguments)

    train = compute.train_configurations
    monkeypatch.setattr(compute, "train_configurations", killed)
    with pytest.raises(KeyboardInterrupt):
        KIND.compute(sweep("classifier", where, tmp_path / "killed", **changes))
    monkeypatch.setattr(compute, "train_configurations", train)
    result = KIND.compute(sweep("classifier", where, tmp_path / "killed", **changes))
    assert_alike(result, KIND.compute(sweep("classifier", where, tmp_path / "whole", **changes)))


def test_a_stopped_sweep_goes_on_from_its_checkpoint(where, tmp_path, monkeypatch):
    def killed(trials, data, **options):
        def kill(_, record):
            if record["epoch"] == 3:
                raise KeyboardInterrupt

        return train_many(trials, data, **options | {"on_epoch": kill})

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(training, "train_many", killed)
    with pytest.raises(KeyboardInterrupt):
        KIND.compute(sweep("classifier", where, tmp_path))
    epochs = []

    def watched(trials, data, **options):
        return train_many(trials, data, **options | {"on_epoch": lambda _, record: epochs.append(record["epoch"])})

    monkeypatch.setattr(training, "train_many", watched)
    result = KIND.compute(sweep("classifier", where, tmp_path))
    assert epochs[0] == 3
    assert_alike(result, KIND.compute(sweep("classifier", where, tmp_path / "other")))


def test_a_linear_probe_is_trained_and_tested_on_features(where, tmp_path):
    linear = {"base": {"hidden": [], "learning_rate": 0.01, "epochs": 5}, "grid": {"l2": [0.0, 1.0]}}
    study = sweep("classifier", where, tmp_path, variants={"mlp": None, "linear": linear}, baselines=["logistic"])
    result = KIND.compute(study)
    assert result.models[0].trials[0].parameters == 1000 * 2 + 2
    assert "linear probe for photo-patches" in result.network.description
    network = load_network(study.folder.path / result.network.network)
    test = study.inputs["on"].feature_set.load("test")
    assert (network.predict(test.X) == test.y).mean() == result.models[0].scores[0].measures["accuracy"]


def test_a_winner_out_of_patience_trains_as_long_again_without_watching_the_test_rows(where, tmp_path):
    base = {"batch_size": 32, "epochs": 40, "hidden": [16]}
    variants = {"sgd": {"base": base, "grid": {"activation": ["relu"], "init": None, "learning_rate": [2.0]}}}
    result = KIND.compute(sweep("activations", where, tmp_path, patience=1, variants=variants))
    for candidate, final in zip(result.configurations[0].trials, result.models[0].trials, strict=True):
        epochs = len(candidate.history)
        assert (candidate.ended, candidate.ended_words) == ("patience", f"out of patience at epoch {epochs}")
        assert epochs < 40
        assert (final.trial.epochs, len(final.history), final.ended) == (epochs, epochs, "finished")


def test_rates_that_differ_in_the_fourth_digit_stay_two_configurations(where, tmp_path):
    grid = {"hidden": [[5]], "learning_rate": [0.1, 0.1001]}
    variants = {"adam": None, "sgd": {"base": {"epochs": 2}, "grid": grid}}
    study = sweep("hidden_units", where, tmp_path, variants=variants, seeds=[0, 1])
    result = KIND.compute(study)
    assert len({each.key for each in result.configurations}) == 2
    assert len(result.judgement.rivals) == 1
    assert len(read_predictions(study.folder.path).probabilities) == len(result.models)


class TestDoubts:
    def test_a_sweep_that_cannot_learn_is_doubtful_as_a_whole(self, where, tmp_path):
        stuck = {"base": {"epochs": 2}, "grid": {"hidden": [[5], [6]], "learning_rate": [1e-12]}}
        result = KIND.compute(sweep("hidden_units", where, tmp_path, variants={"adam": None, "sgd": stuck}))
        assert result.remarks[0].doubt is Doubt.NOTHING_LEARNED
        assert result.remarks[0].count == 2
        assert len(doubts(result, Doubt.DID_NOT_LEARN)) >= 2

    def test_a_baseline_that_diverges_gives_equal_shares_and_does_not_stop_the_sweep(self, where, tmp_path):
        wild = {"base": {"epochs": 2, "init": "zero"}, "grid": {"hidden": [[5]], "learning_rate": [1e30]}}
        changes = {"variants": {"adam": None, "sgd": wild}, "baselines": ["sklearn-mlp"]}
        study = sweep("hidden_units", where, tmp_path, **changes)
        result = KIND.compute(study)
        (baseline,) = doubts(result, Doubt.BASELINE_DID_NOT_LEARN)
        probabilities = read_predictions(study.folder.path).probabilities[result.models[baseline.model].answers]
        np.testing.assert_allclose(probabilities, 0.1)


def test_test_rows_that_are_missing_are_asked_for(where, tmp_path):
    study = sweep("activations", where, tmp_path)
    digits = study.dataset
    bare = build("no test", digits.class_names, {"train": digits.splits["train"]}, "", maximum=16)
    lacking = Study(study.name, study.settings, {"on": Input("digits", bare)}, study.folder, where)
    with pytest.raises(DataError, match=r"has no test split .it has: train., but the sweep scores its winners on test"):
        KIND.compute(lacking)


def test_the_kind_is_light_to_import():
    import subprocess
    import sys

    code = "import sys, lib.studies.sweep; print([m for m in ('torch', 'sklearn', 'matplotlib', 'optuna') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
