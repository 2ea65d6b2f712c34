"""No best is announced that the figures do not bear out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from lib.evaluation.checks import Learned
from lib.evaluation.intervals import holm
from lib.mlp.trial import Trial
from lib.studies.sweep.judgement import judge, ranked, rivals_of, steps, winners, with_ranks
from lib.studies.sweep.result import Configuration, TrialOutcome, Verdict
from lib.studies.sweep.settings import SweepSettings


def configuration(accuracies, losses=None, ended="finished", variant="sgd", number=1, **settings) -> Configuration:
    """A configuration whose trials, one a seed, end with these validation accuracies and have these losses."""
    losses = losses or [(0.5, 0.5)] * len(accuracies)
    trials = [
        TrialOutcome(
            trial=Trial(**settings, seed=seed, epochs=1),
            history=(
                {"epoch": 1, "train_loss": train, "validation_loss": validation, "validation_accuracy": accuracy},
            ),
            diverged_epoch=1 if ended == "diverged" else None,
            ended=ended,
            parameters=1,
            learned=Learned.YES,
        )
        for seed, (accuracy, (train, validation)) in enumerate(zip(accuracies, losses, strict=True))
    ]
    return Configuration(
        variant=variant, number=number, searched=False, varied=tuple(settings), trials=tuple(trials), rank=1
    )


def verdict(*configurations) -> Verdict:
    return judge(0, configurations).verdict


BEST = configuration([0.900, 0.902, 0.901, 0.903, 0.899])


def test_the_best_must_differ_significantly_from_every_rival():
    near = configuration([0.80, 0.81, 0.80, 0.81, 0.80])
    assert verdict(BEST, near) is Verdict.SIGNIFICANT
    erratic = configuration([0.1, 0.9, 0.9, 0.1, 0.9])
    assert verdict(BEST, near, erratic) is Verdict.NOT_SIGNIFICANT
    rivals = judge(0, [BEST, erratic, near]).rivals
    assert [rival.configuration for rival in rivals] == [2, 1]  # the strongest first
    test = ttest_rel([0.900, 0.902, 0.901, 0.903, 0.899], [0.80, 0.81, 0.80, 0.81, 0.80])
    assert rivals[0].difference.p_value == pytest.approx(test.pvalue)


def test_rivals_of_one_label_are_still_two():
    """0.1 and 0.1001 were one rival once: they were known by labels of three digits."""
    one = configuration([0.80, 0.81, 0.80, 0.81, 0.80], learning_rate=0.1)
    other = configuration([0.1, 0.9, 0.9, 0.1, 0.9], learning_rate=0.1001)
    assert len(judge(0, [BEST, one, other]).rivals) == 2
    assert verdict(BEST, one, other) is Verdict.NOT_SIGNIFICANT


def test_what_cannot_be_judged_is_called_so():
    assert verdict(BEST) is Verdict.ONLY
    assert verdict(configuration([0.9]), configuration([0.8])) is Verdict.ONE_SEED
    halved = configuration([0.99], ended="halved")
    assert verdict(BEST, halved) is Verdict.ONLY
    assert verdict(configuration([np.nan] * 5), BEST) is Verdict.NOT_FINITE
    assert verdict(BEST, configuration([np.nan] * 5)) is Verdict.ONLY


def test_a_halved_configuration_never_wins_however_good_its_early_figure():
    every = [
        configuration([0.99], ended="halved"),
        configuration([0.5]),
        configuration([0.7], ended="diverged"),
    ]
    assert ranked(every) == [1, 2, 0]
    assert [each.rank for each in with_ranks(every)] == [3, 1, 2]


def test_a_tie_goes_to_the_lower_loss():
    every = [configuration([0.5], [(0, 0.4)]), configuration([0.5], [(0, 0.3)]), configuration([0.5], [(0, np.nan)])]
    assert ranked(every) == [1, 0, 2]


def settings(**changes) -> SweepSettings:
    grid = {"hidden": [[5], [100], [200], [400]]}
    return SweepSettings.model_validate(
        {"on": "d", "axis": "hidden", "variants": {"sgd": {"base": {}, "grid": grid}}} | changes
    )


def along_axis(*losses) -> list[Configuration]:
    return [
        configuration([0.5] * 3, [*zip(train, validation, strict=True)], hidden=(units,), number=number)
        for number, (units, (train, validation)) in enumerate(zip((5, 100, 200, 400), losses, strict=False), start=1)
    ]


def test_each_step_along_the_axis_is_tested_with_holm_s_correction_over_the_steps():
    losses = [
        ([0.60, 0.62, 0.61], [0.80, 0.82, 0.81]),
        ([0.10, 0.11, 0.12], [0.50, 0.53, 0.51]),
        ([0.05, 0.06, 0.06], [0.51, 0.52, 0.51]),
        ([np.nan, 0.06, 0.06], [0.51, 0.52, 0.51]),
    ]
    found = steps(settings(), along_axis(*losses))
    assert [(step.before, step.after) for step in found] == [(0, 1), (1, 2), (2, 3)]
    assert found[2].train_loss is None
    assert found[2].train_loss_p == 1
    raw = [ttest_rel(losses[at + 1][0], losses[at][0]).pvalue for at in (0, 1)]
    assert [step.train_loss_p for step in found[:2]] == pytest.approx(holm(raw))
    assert found[0].validation_loss.estimate == pytest.approx(np.mean([0.50, 0.53, 0.51]) - np.mean([0.80, 0.82, 0.81]))


def test_steps_are_not_asked_where_they_would_mislead():
    losses = [([0.6, 0.62, 0.61], [0.8, 0.82, 0.81]), ([0.1, 0.11, 0.12], [0.5, 0.53, 0.51])]
    every = along_axis(*losses)
    assert len(steps(settings(), every)) == 1
    assert steps(settings(seeds=[0]), every) == ()
    assert steps(settings(axis=None), every) == ()
    words = {"sgd": {"base": {}, "grid": {"activation": ["relu", "tanh"]}}}
    of_words = [
        configuration([0.5] * 3, [*zip(*loss, strict=True)], activation=name)
        for loss, name in zip(losses, ("relu", "tanh"), strict=True)
    ]
    assert steps(settings(axis="activation", variants=words), of_words) == ()
    two = {"sgd": {"base": {}, "grid": {"hidden": [[5], [100]], "l2": [0, 1]}}}
    assert steps(settings(variants=two), every) == ()
    early = [every[0], configuration([0.5] * 3, [*zip(*losses[1], strict=True)], ended="patience", hidden=(100,))]
    assert steps(settings(), early) == ()


def test_where_nothing_differs_a_step_is_claimed_in_at_most_one_study_of_twenty():
    rng = np.random.default_rng(0)
    claimed = 0
    for _ in range(300):
        noise = rng.normal(0.5, 0.1, (4, 3)).tolist()
        found = steps(settings(), along_axis(*((values, values) for values in noise)))
        claimed += any(step.train_loss_p < 0.05 for step in found)
    assert claimed <= 0.05 * 300 + 12  # three standard errors above


class TestWinners:
    def every(self):
        return with_ranks(
            [
                configuration([0.9], activation="relu", init="he"),
                configuration([0.95], activation="relu", init="xavier"),
                configuration([0.5], activation="tanh", init="he"),
                configuration([0.6], activation="tanh", init="xavier", variant="adam"),
                configuration([0.99], activation="sigmoid", init="he", ended="halved"),
            ]
        )

    def of(self, **changes):
        base = {"base": {}, "grid": {"activation": ["relu", "tanh", "sigmoid"], "init": ["he", "xavier"]}}
        return settings(**{"axis": "activation", "variants": {"sgd": base, "adam": base}} | changes)

    def test_with_an_axis_are_those_of_its_values_whatever_the_variant(self):
        assert winners(self.of(), self.every()) == [1, 3]
        assert rivals_of(3, self.of(), self.every()) == [self.every()[2], self.every()[3]]

    def test_without_one_is_the_best_alone(self):
        assert winners(self.of(axis=None), self.every()) == [1]
        assert rivals_of(1, self.of(axis=None), self.every()) == list(self.every())  # the halved one was tried, too

    def test_of_a_search_over_a_range_of_the_axis_is_one(self):
        ranged = {"base": {}, "search": {"configurations": 2, "space": {"l2": {"low": 0, "high": 1}}}}
        grid = {"base": {}, "grid": {"l2": [0.0, 1.0]}}
        every = with_ranks(
            [
                configuration([0.9], l2=0.3, variant="searched"),
                configuration([0.8], l2=0.4, variant="searched"),
                configuration([0.7], l2=0.0),
                configuration([0.6], l2=1.0),
            ]
        )
        both = settings(axis="l2", variants={"searched": ranged, "sgd": grid})
        assert winners(both, every) == [0, 2, 3]
        assert [len(rivals_of(at, both, every)) for at in (0, 2, 3)] == [2, 1, 1]
