"""The study's questions, asked of curves whose answers are known: each is found when it is there, and not when not."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from lib.mlp.training import TrialResult
from lib.mlp.trial import Trial
from lib.studies.configuration import Configuration
from lib.studies.findings import answers, section

EPOCHS = 40


def result(trial: Trial, train: Any, validation: Any, ended: str = "finished") -> TrialResult:
    history = tuple(
        {"epoch": epoch, "train_loss": float(t), "validation_loss": float(v), "train_accuracy": 0.5,
         "validation_accuracy": 0.5, "seconds": 0.0}
        for epoch, (t, v) in enumerate(zip(train, validation, strict=True), 1)
    )  # fmt: skip
    diverged = len(history) if ended == "diverged" else None
    return TrialResult(trial, cast("Any", history), diverged, cast("Any", None), cast("Any", ended))


def configuration(axis: str, value: Any, curves: Any, arm: str = "study", ended: str = "finished") -> Configuration:
    """One seed for each pair (train losses, validation losses) of `curves`."""
    trial = Trial(**{axis: value})
    label = f"{value[0]} units" if axis == "hidden" else f"rate {value:g}"
    results = tuple(result(trial, train, validation, ended) for train, validation in curves)
    return Configuration(arm, label, value, results, (None,) * len(results))


def widths(train_levels, validation_levels, seeds=5, noise=0.01, start=5):
    """Configurations of doubling width with flat curves at the given levels, and noise between seeds."""
    rng = np.random.default_rng(0)
    return [
        configuration(
            "hidden",
            (start * 2**index,),
            [(np.full(EPOCHS, t + rng.normal(0, noise)), np.full(EPOCHS, v + rng.normal(0, noise))) for _ in range(seeds)],
        )
        for index, (t, v) in enumerate(zip(train_levels, validation_levels, strict=True))
    ]  # fmt: skip


def asked(axis, configurations):
    return {answer.question: answer for answer in answers(axis, configurations)}


def only(found, words):
    (answer,) = [answer for question, answer in found.items() if words in question]
    return answer


def falling(end, tail=0.0, bumps=0.0):
    """A smooth fall from about 2 to `end`, with `tail` still to fall in the last tenth and `bumps` on every other epoch."""
    epochs = np.arange(100)
    curve = end + (2 - end) * np.exp(-epochs / 8)
    curve[-10:] -= tail * np.linspace(0.1, 1, 10) * 2
    curve[1:-1:2] += bumps
    return curve


class TestUnits:
    def test_a_falling_loss_is_found_at_every_step(self):
        found = asked("hidden", widths([0.7, 0.4, 0.2, 0.1], [0.8, 0.8, 0.8, 0.8]))
        train = only(found, "training loss fall")
        assert train.answer == "yes"
        assert "at each of the 3 steps: 5 units to 10 units -0.3" in train.words
        assert "falls as a trend over all 4" in train.words
        assert only(found, "validation loss fall").answer == "open"
        assert only(found, "gap").answer == "yes"

    def test_a_loss_that_does_not_change_is_not_said_to_fall(self):
        train = only(asked("hidden", widths([0.5] * 4, [0.5] * 4)), "training loss fall")
        assert train.answer == "open"
        assert train.words.startswith("Not told by 5 seeds")
        assert "no trend that it falls is shown" in train.words

    def test_a_rise_along_the_way_is_a_no(self):
        train = only(asked("hidden", widths([0.7, 0.4, 0.6], [0.5] * 3)), "training loss fall")
        assert train.answer == "no"
        assert train.words.startswith(
            "Not throughout: the training loss (mean over the epochs) rises from 10 units to 20"
        )

    def test_a_fall_that_levels_off_is_one_in_part(self):
        train = only(asked("hidden", widths([0.7, 0.4, 0.4], [0.5] * 3)), "training loss fall")
        assert train.answer == "in part"
        assert "no clear change from 10 units to 20 units" in train.words

    @pytest.mark.parametrize(
        ("lower", "answer", "opening"), [(0.2, "yes", "Real."), (0.0, "open", "Not told apart with 5")]
    )
    def test_the_last_two_widths_differ_or_are_not_told_apart(self, lower, answer, opening):
        found = only(
            asked("hidden", widths([0.1] * 2, [0.5, 0.5 - lower], start=100)), "between 100 units and 200 units"
        )
        assert (found.answer, found.words.startswith(opening)) == (answer, True)
        assert ("real, lower with 200 units" in found.words) == (answer == "yes")

    def test_widths_are_put_in_order_first(self):
        shuffled = widths([0.7, 0.4, 0.2], [0.8] * 3)[::-1]
        assert only(asked("hidden", shuffled), "training loss fall").answer == "yes"

    def test_one_seed_answers_nothing(self):
        found = answers("hidden", widths([0.7, 0.1], [0.8, 0.2], seeds=1))
        assert {answer.answer for answer in found} == {"open"}
        assert all("one seed" in answer.words for answer in found)

    def test_a_width_that_diverged_is_not_compared(self):
        lost = configuration("hidden", (40,), [([np.nan], [np.nan])] * 5, ended="diverged")
        found = asked("hidden", [*widths([0.7, 0.4], [0.8, 0.8]), lost])
        assert "not compared from 10 units to 40 units a loss is not finite" in only(found, "training loss fall").words
        assert only(found, "between 10 units and 40").words == "Open: a validation loss is not finite."


class TestRates:
    def rates(self, **curves):
        """Curves by rate: the seeds' differ by small shifts, given to other seeds at each rate."""
        found = []
        for place, (name, curve) in enumerate(curves.items()):
            seeds = [(curve + shift, curve + shift + 0.1) for shift in np.roll(self.shifts, place)]
            found.append(configuration("learning_rate", float(name[1:].replace("_", ".")), seeds))
        return found

    shifts = (0.0, 0.011, 0.018, 0.033, 0.041)

    def test_each_fault_is_found_at_the_rate_that_has_it(self):
        found = asked(
            "learning_rate",
            self.rates(r0_1=falling(0.8, bumps=0.05), r0_01=falling(0.3), r0_001=falling(0.6, tail=0.1)),
        )
        assert only(found, "unstable").answer == "rate 0.1"
        assert only(found, "not converged").answer == "rate 0.001"
        assert only(found, "is best").answer == "rate 0.01"
        assert "rate 0.01 smooth" in only(found, "unstable").words

    def test_where_no_rate_has_a_fault_none_is_found(self):
        found = asked("learning_rate", self.rates(r0_1=falling(0.3), r0_01=falling(0.3)))
        assert only(found, "unstable").answer == "none"
        assert only(found, "not converged").answer == "none"
        assert only(found, "is best").answer == "open"
        assert only(found, "is best").words.startswith("Not settled")

    def test_a_share_that_straddles_the_limit_is_not_told(self):
        seeds = [(falling(0.5, bumps=bump), falling(0.5)) for bump in (0.0, 0.001, 0.0, 0.02, 0.001)]
        rough = configuration("learning_rate", 0.1, seeds)
        smooth = configuration("learning_rate", 0.01, [(falling(0.5), falling(0.5))] * 5)
        found = only(asked("learning_rate", [rough, smooth]), "unstable")
        assert found.answer == "open"
        assert found.words.startswith("rate 0.1 not told: rises as a share of the net fall 0.1")

    def test_a_rate_that_diverged_is_unstable_and_one_that_never_fell_is_not_judged(self):
        lost = configuration("learning_rate", 1.0, [([2.0, np.nan], [2.0, np.nan])] * 3, ended="diverged")
        stuck = configuration("learning_rate", 0.1, [(np.full(40, 2.3), np.full(40, 2.3))] * 3)
        good = configuration("learning_rate", 0.01, [(falling(e), falling(e)) for e in (0.3, 0.31, 0.33)])
        found = asked("learning_rate", [lost, stuck, good])
        unstable = only(found, "unstable")
        assert unstable.answer == "rate 1"
        assert "rate 1 unstable: diverged with 3 of 3 seeds" in unstable.words
        assert "rate 0.1 not told: the loss did not fall with 3 of 3 seeds" in unstable.words
        assert only(found, "is best").answer == "rate 0.01"

    def test_few_epochs_cannot_show_either(self):
        found = asked("learning_rate", self.rates(r0_1=falling(0.3)[:19], r0_01=falling(0.3)[:19]))
        assert only(found, "unstable").answer == only(found, "not converged").answer == "open"


def test_trials_that_were_stopped_early_are_not_compared_by_averages_over_their_epochs():
    stopped = configuration("hidden", (20,), [([1.0, 0.5], [1.0, 0.9])] * 3, ended="patience")
    whole = configuration("hidden", (40,), [([1.0, 0.5, 0.2], [1.0, 0.9, 0.9])] * 3)
    assert all("3 of 6 trials were stopped early" in answer.words for answer in answers("hidden", [stopped, whole]))


def test_other_studies_have_no_such_questions():
    assert answers("activation", widths([0.7, 0.1], [0.8, 0.2])) == []
    deep = [configuration("hidden", value, [([1.0], [1.0])] * 2) for value in ((5, 5), (9, 9))]
    assert answers("hidden", deep) == []


def test_the_section_asks_once_and_answers_for_each_arm():
    from dataclasses import asdict

    one = widths([0.7, 0.4], [0.8, 0.8])
    other = [Configuration("sgd", each.label, each.value, each.results, each.flags) for each in one]
    text = "\n".join(section([asdict(answer) for answer in answers("hidden", [*one, *other])]))
    assert text.count("Does training loss fall with more units?") == 1
    assert "- study: Yes" in text
    assert "- sgd: Yes" in text
