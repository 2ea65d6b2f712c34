"""The judge on records of real sweeps whose outcome is known from how they are made; figures against SciPy's."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lib.reference import claims_named, judge
from lib.reference.claims import Claims
from lib.reference.judge import circumstances
from lib.reference.judged import Circumstance, Direction, Finding, Judged, Reason, Verdict
from lib.studies.study import Record

NAME = "reference-study"
BASE: dict[str, Any] = {"hidden": [16], "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32, "epochs": 15}
SEEDS = [0, 1, 2, 3, 4, 5]


def sweep(axis: str, values: list[Any], **changes: Any) -> dict[str, Any]:
    """A sweep of the axis's values around `BASE`; lower-case names of settings are the sweep's, the others the base's."""
    base = BASE | changes.pop("base", {})
    variants = {"v": {"base": base, "grid": {axis: values}}}
    return {"axis": axis, "seeds": SEEDS, "splits": "fixed", "variants": variants, "baselines": ["majority"]} | changes


def activations(values: list[str], **changes: Any) -> dict[str, Any]:
    return sweep("activation", values, **{"test": True, "baselines": ["sklearn-mlp"]} | changes)


def judged(record: Record[Any]) -> dict[str, Finding]:
    """The findings by claim; there is one variant."""
    found = judge(NAME, {record.name: record}).findings
    assert len({each.claim for each in found}) == len(found)
    return {each.claim: each for each in found}


def verdicts(record: Record[Any]) -> dict[str, Verdict]:
    return {name: each.verdict for name, each in judged(record).items()}


def accuracies(record: Record[Any], baseline: str | None = None) -> dict[Any, list[float]]:
    """Test accuracies, one a seed, by activation: the networks' or a baseline's."""
    result = record.result
    return {
        result.configurations[each.configuration].trial.activation: [
            score.measures["accuracy"] for score in each.scores
        ]
        for each in result.models
        if each.baseline == baseline and each.configuration is not None
    }


@pytest.fixture(scope="module")
def curved(run) -> Record[Any]:
    """On classes that no linear network tells, and that sigmoids have not learned yet."""
    return run("activations", "same", **activations(["relu", "sigmoid", "linear"]))


@pytest.fixture(scope="module")
def stuck(run) -> Record[Any]:
    """From weights of zero, at which ReLU's derivative is none, while a sigmoid's unit is one half."""
    changed = {"init": "zero", "epochs": 20}
    return run("activations", "bright", **activations(["relu", "sigmoid"], base=changed, seeds=[*SEEDS, 6]))


@pytest.fixture(scope="module")
def easy(run) -> Record[Any]:
    """On classes that every network tells without a fault."""
    return run("activations", "bright", **activations(["relu", "linear"], base={"epochs": 40}, seeds=SEEDS[:3]))


@pytest.fixture(scope="module")
def widths(run) -> Record[Any]:
    """Of one, four and 64 units, on classes for which one does not do."""
    settings = sweep("hidden", [[64], [1], [4]], base={"epochs": 40})
    return run("hidden_units", "same", data={"images": 600}, **settings)


@pytest.fixture(scope="module")
def rates(run) -> Record[Any]:
    """Of which one jumps about, one settles and one has not come far."""
    settings = sweep("learning_rate", [0.1, 0.01, 0.001], base={"hidden": [32], "activation": "tanh", "epochs": 60})
    return run("learning_rates", "same", data={"images": 600, "noise": 60}, **settings)


class TestTheBestValue:
    def test_that_is_ahead_of_all_others_confirms_the_claim(self, curved):
        assert verdicts(curved)["best-activation"] is Verdict.CONFIRMED

    def test_is_tested_in_all_pairs_with_holm_s_correction(self, curved):
        of = accuracies(curved)
        p_values = {pair: stats.ttest_rel(of[pair[0]], of[pair[1]]).pvalue for pair in combinations(of, 2)}
        corrected, highest = {}, 0.0
        for rank, pair in enumerate(sorted(p_values, key=p_values.__getitem__)):
            highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[pair]))
            corrected[frozenset(pair)] = highest
        found = judged(curved)["best-activation"]
        assert {each.other for each in found.evidence} == {"sigmoid", "linear"}
        for each in found.evidence:
            assert each.subject == "relu"
            assert each.p == pytest.approx(corrected[frozenset((each.subject, each.other))])
            assert each.difference.estimate == pytest.approx(np.mean(of["relu"]) - np.mean(of[each.other]))
        low, high = stats.t.interval(0.95, len(SEEDS) - 1, np.mean(of["relu"]), stats.sem(of["relu"]))
        assert (found.value, found.low, found.high) == pytest.approx((np.mean(of["relu"]), low, min(high, 1)))

    def test_that_is_another_s_refutes_it(self, stuck):
        found = judged(stuck)["best-activation"]
        assert found.verdict is Verdict.REFUTED
        assert [(each.subject, each.other, each.direction) for each in found.evidence] == [
            ("sigmoid", "relu", Direction.HIGHER)
        ]

    def test_that_is_no_better_settles_nothing(self, easy):
        assert verdicts(easy)["best-activation"] is Verdict.NOT_SIGNIFICANT

    @pytest.mark.parametrize(
        ("values", "changes", "reason"),
        [
            (["relu", "linear"], {"seeds": [0]}, Reason.ONE_SEED),
            (["tanh", "linear"], {"seeds": [0]}, Reason.NOT_TRIED),
            (["relu", "linear"], {"seeds": [0], "test": False}, Reason.NOT_TESTED),
        ],
    )
    def test_cannot_be_compared_without_seeds_the_value_or_a_test(self, run, values, changes, reason):
        record = run("activations", "bright", **activations(values, base={"epochs": 2}, **changes))
        found = judged(record)["best-activation"]
        assert (found.verdict, found.reason) == (Verdict.NOT_COMPARABLE, reason)
        other = judged(record)["loses-to-sklearn"]
        assert other.reason is (Reason.NO_BASELINE if reason is Reason.NOT_TESTED else Reason.ONE_SEED)


class TestTheBaseline:
    def test_that_is_ahead_somewhere_confirms_a_loss_in_part(self, stuck):
        found = judged(stuck)["loses-to-sklearn"]
        assert found.verdict is Verdict.PARTLY
        assert {each.subject: each.direction for each in found.evidence} == {
            "relu": Direction.LOWER, "sigmoid": Direction.NOT_SIGNIFICANT,
        }  # fmt: skip
        ours, theirs = accuracies(stuck), accuracies(stuck, "sklearn-mlp")
        for each in found.evidence:
            lead = np.mean(ours[each.subject]) - np.mean(theirs[each.subject])
            assert each.difference.estimate == pytest.approx(lead)

    def test_that_equals_settles_nothing(self, easy):
        assert verdicts(easy)["loses-to-sklearn"] is verdicts(easy)["sklearn-linear"] is Verdict.NOT_SIGNIFICANT

    def test_that_scores_otherwise_at_another_value_refutes_that_it_does_not(self, curved):
        found = judged(curved)["sklearn-linear"]
        assert (found.verdict, found.printed) == (Verdict.REFUTED, 0.9767)
        assert found.value == pytest.approx(np.mean(accuracies(curved, "sklearn-mlp")["linear"]))

    def test_that_was_not_trained_cannot_be_compared(self, stuck):
        assert judged(stuck)["sklearn-linear"].reason is Reason.NO_BASELINE  # linear was not tried


class TestWidths:
    def test_a_loss_that_falls_at_each_step_confirms_that_it_falls_and_refutes_that_it_does_not(self, widths):
        found = judged(widths)
        assert found["units-train-loss"].verdict is Verdict.CONFIRMED
        assert found["units-validation-loss"].verdict is Verdict.REFUTED
        assert found["units-gap"].verdict is Verdict.NOT_SIGNIFICANT

    def test_steps_are_taken_by_rising_width_and_the_trend_is_page_s(self, widths):
        found = judged(widths)["units-train-loss"]
        assert [(each.other, each.subject) for each in found.evidence] == [
            ("1 units", "4 units"), ("4 units", "64 units"),
        ]  # fmt: skip
        of = {
            each.trial.hidden: [np.mean([epoch["train_loss"] for epoch in trial.history]) for trial in each.trials]
            for each in widths.result.configurations
        }
        losses = [of[width] for width in sorted(of)]
        assert found.trend_p == pytest.approx(stats.page_trend_test(-np.array(losses).T).pvalue)
        p_values = [stats.ttest_rel(after, before).pvalue for before, after in pairwise(losses)]
        assert max(each.p for each in found.evidence) == pytest.approx(max(*p_values, 2 * min(p_values)))

    def test_networks_that_learn_by_heart_overfit_the_more_the_wider(self, run):
        record = run("hidden_units", "chance", **sweep("hidden", [[1], [8], [128]], base={"epochs": 100}))
        found = verdicts(record)
        assert found["units-train-loss"] is found["units-gap"] is Verdict.CONFIRMED
        assert found["units-validation-loss"] in (Verdict.PARTLY_REFUTED, Verdict.NOT_SIGNIFICANT, Verdict.PARTLY)

    def test_the_last_two_differ_in_part_where_one_of_two_losses_does(self, widths):
        found = judged(widths)["units-last"]
        assert found.verdict is Verdict.PARTLY_YES
        assert [each.direction for each in found.evidence] == [Direction.LOWER, Direction.NOT_SIGNIFICANT]

    def test_equal_networks_settle_nothing(self, run):
        settings = sweep("hidden", [[2], [8], [64]], base={"init": "zero"}, seeds=[0, 1, 2])
        assert set(verdicts(run("hidden_units", "same", **settings)).values()) == {Verdict.NOT_SIGNIFICANT}

    def test_a_loss_that_is_not_finite_is_not_compared(self, run):
        settings = sweep("hidden", [[2], [4]], base={"optimizer": "sgd", "l2": 1e8}, seeds=[0, 1])
        found = judged(run("hidden_units", "same", **settings))["units-train-loss"]
        assert found.verdict is Verdict.NOT_SIGNIFICANT
        assert [each.direction for each in found.evidence] == [Direction.NOT_FINITE]

    @pytest.mark.parametrize(
        ("values", "changes", "reason"),
        [
            ([[2], [4]], {"seeds": [0]}, Reason.ONE_SEED),
            ([[2], [4]], {"patience": 1, "base": {"epochs": 60, "learning_rate": 1.0}}, Reason.STOPPED_EARLY),
            ([[4]], {}, Reason.TOO_FEW),
            ([[4, 4], [8, 2]], {}, Reason.TOO_FEW),
        ],
    )
    def test_cannot_be_compared_by_one_seed_after_early_stopping_or_without_an_order(
        self, run, values, changes, reason
    ):
        record = run("hidden_units", "same", **sweep("hidden", values, **{"base": {"epochs": 2}} | changes))
        assert {each.reason for each in judged(record).values()} == {reason}


class TestRates:
    def test_each_fault_is_seen_at_the_rate_that_has_it(self, rates):
        found = judged(rates)
        assert found["unstable-rate"].verdict is found["slow-rate"].verdict is Verdict.CONFIRMED
        for claim in ("unstable-rate", "slow-rate"):
            (above,) = [each.subject for each in found[claim].evidence if each.direction is Direction.ABOVE]
            assert above == {"unstable-rate": "rate 0.1", "slow-rate": "rate 0.001"}[claim]

    def test_the_shares_are_those_of_the_curves(self, rates):
        found = judged(rates)
        for configuration in rates.result.configurations:
            curves = [[epoch["train_loss"] for epoch in trial.history] for trial in configuration.trials]
            rises = [sum(max(b - a, 0) for a, b in pairwise(c)) / (c[0] - c[-1]) for c in curves]
            falls = [(np.mean(c[48:54]) - np.mean(c[54:])) / (c[0] - c[-1]) for c in curves]
            name = f"rate {configuration.trial.learning_rate:g}"
            for claim, shares in (("unstable-rate", rises), ("slow-rate", falls)):
                (shown,) = [each.estimate for each in found[claim].evidence if each.subject == name]
                assert (shown.mean, shown.standard_deviation) == pytest.approx(
                    (np.mean(shares), np.std(shares, ddof=1))
                )

    def test_the_best_is_the_one_below_all_others_by_both_losses(self, run, rates):
        settings = sweep("learning_rate", [0.1, 0.01, 0.001], base={"epochs": 60})
        record = run("learning_rates", "same", data={"images": 600, "noise": 60}, **settings)
        found = judged(record)["best-rate"]
        assert found.verdict is Verdict.CONFIRMED
        assert {each.subject for each in found.evidence} == {"rate 0.01"}
        assert verdicts(rates)["best-rate"] is Verdict.NOT_SIGNIFICANT

    def test_rates_far_from_the_claimed_ones_refute_it_or_are_not_clear(self, run):
        settings = sweep("learning_rate", [0.1, 0.01, 1e-12], base={"optimizer": "sgd", "epochs": 30})
        found = judged(run("learning_rates", "bright", **settings))
        assert found["best-rate"].verdict is Verdict.REFUTED  # 0.01 has not come as far as 0.1
        assert found["unstable-rate"].verdict is Verdict.REFUTED
        assert found["unstable-rate"].evidence[0].direction is Direction.UNCLEAR  # its loss does not fall
        assert found["slow-rate"].reason is Reason.NOT_TRIED

    def test_where_all_diverge_none_is_best_and_all_are_unstable(self, run):
        base = {"optimizer": "sgd", "l2": 1e8}
        settings = sweep("learning_rate", [0.1, 0.01, 0.001], base=base, seeds=[0, 1])
        found = judged(run("learning_rates", "bright", **settings))
        assert found["best-rate"].verdict is found["slow-rate"].verdict is Verdict.NOT_SIGNIFICANT
        assert found["unstable-rate"].verdict is Verdict.PARTLY
        assert {each.direction for each in found["unstable-rate"].evidence} == {Direction.DIVERGED}

    def test_few_epochs_cannot_show_either_fault(self, run):
        settings = sweep("learning_rate", [0.1, 0.001], base={"epochs": 19}, seeds=[0, 1])
        found = judged(run("learning_rates", "bright", **settings))
        assert found["unstable-rate"].verdict is found["slow-rate"].verdict is Verdict.NOT_SIGNIFICANT


class TestImages:
    def head(self, run, task, **changes: Any) -> Record[Any]:
        base = BASE | {"hidden": [], "epochs": 60} | changes.pop("base", {})
        settings = {
            "node": "fc8", "also_on": ["halves"], "seeds": SEEDS[:4], "test": True,
            "baselines": ["majority", "logistic"], "variants": {"v": {"base": base}},
        }  # fmt: skip
        return run("classifier", task, **settings | changes)

    def test_a_network_that_learns_refutes_that_it_hardly_does(self, run):
        record = self.head(run, "same")
        found = judged(record)
        own = record.result.models[record.result.chosen]
        assert found["hardly-learns"].verdict is Verdict.REFUTED
        assert found["hardly-learns"].value == pytest.approx(
            np.mean([each.measures["accuracy"] for each in own.scores])
        )
        assert found["better-than-majority"].verdict is Verdict.YES
        assert found["better-than-pixels"].verdict is Verdict.YES  # a linear one cannot learn from pixels
        assert found["better-than-sklearn"].reason is Reason.NO_BASELINE
        assert set(found["recalls"].shown) == {"a", "b"}

    def test_a_network_on_worse_features_than_pixels_is_not_better(self, run):
        record = self.head(run, "bright", layer="brightness")  # which does not show which half is bright
        assert verdicts(record)["better-than-pixels"] is Verdict.NO

    def test_a_network_at_chance_confirms_that_it_hardly_learns(self, run):
        found = judged(self.head(run, "chance", base={"epochs": 2, "learning_rate": 0.001}, also_on=[], seeds=[0]))
        assert found["hardly-learns"].verdict is Verdict.CONFIRMED
        assert found["better-than-majority"].verdict in (Verdict.NOT_SIGNIFICANT, Verdict.NO)
        assert found["better-than-pixels"].reason is Reason.NO_BASELINE

    def test_one_seed_compares_features_and_pixels_not_at_all_and_three_classes_not_with_two(self, run):
        found = judged(self.head(run, "three", base={"epochs": 2}, seeds=[0]))
        assert found["better-than-pixels"].reason is Reason.ONE_SEED
        assert found["hardly-learns"].reason is Reason.OTHER_CLASSES

    def test_nothing_is_said_of_test_figures_where_nothing_was_tested(self, run):
        found = judged(self.head(run, "same", base={"epochs": 2}, also_on=[], seeds=[0], test=False))
        assert {each.reason for each in found.values()} == {Reason.NOT_TESTED, Reason.TRAINING_ROWS}

    @pytest.mark.parametrize(
        ("task", "images", "verdict", "reason"),
        [
            ("same", 10_000, Verdict.CONFIRMED, None),
            ("same", 80, Verdict.REFUTED, None),
            ("three", 90, Verdict.NOT_COMPARABLE, Reason.OTHER_CLASSES),
        ],
    )
    def test_images_of_each_class_are_counted(self, run, task, images, verdict, reason):
        settings = {"kind": "exploration", "grid": 4, "scatter": 20}
        found = judged(run("exploration", task, data={"images": images}, **settings))["counts"]
        assert (found.verdict, found.reason) == (verdict, reason)
        assert sum(found.shown.values()) == images

    def test_speed_is_shown_not_judged(self, run):
        record = run("fc8", "same")
        found = judged(record)["speed"]
        assert (found.verdict, found.reason, found.printed) == (Verdict.NOT_COMPARABLE, Reason.OTHER_MACHINE, 432)
        assert found.value == max(each.images_per_second for each in record.result.speeds)
        assert found.circumstances == (Circumstance.OTHER_DATA, Circumstance.RANDOM_WEIGHTS)


class TestCircumstances:
    def own(self, record: Record[Any], **settings: Any) -> Claims:
        """The claims as if their study had been on the record's data, with settings of its own."""
        claims = claims_named(NAME)
        data = {
            name: each.model_copy(update={"digests": (record.dataset.digest,)}) for name, each in claims.data.items()
        }
        parts = tuple(each.model_copy(update={"settings": settings or each.settings}) for each in claims.parts)
        return claims.model_copy(update={"data": data, "parts": parts})

    def test_the_study_s_own_case_has_none(self, curved):
        claims = self.own(curved, **BASE | {"hidden": (16,), "activation": "sigmoid"})  # the axis's value is not asked
        assert circumstances(claims, claims.part("A"), curved, "") == ()

    def test_other_data_and_other_settings_are_told(self, curved):
        claims = self.own(curved)
        assert circumstances(claims, claims.part("A"), curved, "v") == (Circumstance.OTHER_SETTINGS,)
        assert {each.circumstances for each in judged(curved).values()} == {
            (Circumstance.OTHER_DATA, Circumstance.OTHER_SETTINGS)
        }

    def test_data_of_the_study_s_kind_of_source_is_its_own(self, run):
        record = run("fc8", "same")
        claims = claims_named(NAME)
        images = claims.data["images"].model_copy(update={"sources": ("halves",)})
        claims = claims.model_copy(update={"data": claims.data | {"images": images}})
        assert circumstances(claims, claims.part("E"), record, "") == (Circumstance.RANDOM_WEIGHTS,)


class TestPrintedResults:
    def test_stand_beside_the_run_s_own(self, curved, widths):
        found = judge(NAME, {each.name: each for each in (curved, widths)})
        rows = {(row.part, row.figure, row.model, row.value): row for row in found.rows}
        ours, theirs = accuracies(curved), accuracies(curved, "sklearn-mlp")
        assert {key[3] for key in rows if key[0] == "A"} == {"relu", "sigmoid", "linear"}
        for name in ours:
            assert rows["A", "accuracy", "network", name].ours.mean == pytest.approx(np.mean(ours[name]))
            assert rows["A", "accuracy", "sklearn-mlp", name].ours.mean == pytest.approx(np.mean(theirs[name]))
        assert rows["A", "accuracy", "network", "relu"].printed == 0.9388
        assert {key[3] for key in rows if key[0] == "B"} == set()  # of widths that were not tried there is none

    def test_losses_are_means_over_epochs_and_seeds(self, rates):
        rows = judge(NAME, {"learning_rates": rates}).rows
        for row in rows:
            (of,) = [each for each in rates.result.configurations if f"rate {each.trial.learning_rate:g}" == row.value]
            losses = [np.mean([epoch[row.figure] for epoch in trial.history]) for trial in of.trials]
            assert row.ours.mean == pytest.approx(np.mean(losses))
        assert len(rows) == 6


def test_a_study_of_another_kind_or_name_is_left_out(run, curved):
    exploration = run("exploration", "same", kind="exploration", grid=4, scatter=20)
    assert judge(NAME, {"activations": exploration, "mine": curved}) == Judged(name=NAME, findings=(), rows=())


def test_what_is_judged_is_read_again_as_it_was_written(curved, rates):
    found = judge(NAME, {"activations": curved, "learning_rates": rates})
    assert Judged.model_validate_json(found.model_dump_json()) == found
