"""The reference study's questions, asked of records whose answers are known: each verdict is given where it is due."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import accuracy_score, precision_score, recall_score

from lib.evaluation.intervals import SHARE, holm, over_seeds, paired_difference, wilson
from lib.evaluation.reference import CONFUSION, is_study_data
from lib.studies.cautions import cautions, trust_words
from lib.studies.image_questions import confusion
from lib.studies.questions import answer_lines, parts, verdict_lines
from lib.studies.record import DatasetNote, RunNote, StudyRecord

ACTIVATIONS = ("relu", "sigmoid", "tanh", "linear")
SHIFTS = np.array([0.0, 0.0004, -0.0003, 0.0007, -0.0008])
"""Of the seeds; each model's are in another order, so that paired differences have a spread."""


def record(study, summary, children=()):
    note = DatasetNote(summary["dataset"]["name"], "ab" * 32, "made up", ("a", "b"), {"train": 10, "test": 1000})
    run = RunNote("k", study, {})
    return StudyRecord(study, "k", study, "a headline", "", Path("nowhere"), note, summary, run, tuple(children))


def scored(accuracies):
    ends = wilson(round(1000 * accuracies[0]), 1000)
    statistics = {"test_accuracy": asdict(over_seeds(accuracies, SHARE))}
    return {
        "test_accuracy": float(np.mean(accuracies)), "test_accuracy_low": ends.low, "test_accuracy_high": ends.high,
        "statistics": statistics,
    }  # fmt: skip


def child(role, accuracy, seed, **params):
    return RunNote(
        f"{role} {params} {seed}",
        role,
        params | {"seed": seed},
        {"test_accuracy": accuracy},
        tags={"probeflow.role": role},
    )


def activations(ours, theirs, seeds=5, data="mnist"):
    """A sweep whose networks have these mean test accuracies, by activation."""
    shifts = SHIFTS[:seeds]
    values = {
        role: {
            name: (mean + np.roll(shifts, place + turn)).tolist()
            for place, (name, mean) in enumerate(zip(ACTIVATIONS, means, strict=True))
        }
        for turn, (role, means) in enumerate((("final", ours), ("peer", theirs)))
    }
    leads = {name: paired_difference(values["final"][name], values["peer"][name]) for name in ACTIVATIONS}
    corrected = iter(holm([lead.p_value for lead in leads.values() if lead]))
    finals = []
    for name in ACTIVATIONS:
        lead = leads[name]
        told = asdict(lead) | {"holm_p_value": next(corrected)} if lead else None
        peer = scored(values["peer"][name]) | ({"difference_of_test_accuracy": told} if told else {"difference": None})
        finals.append({"value": name, "seeds": seeds, "sklearn": peer} | scored(values["final"][name]))
    children = [
        child(role, accuracy, seed, activation=name)
        for role, of in values.items()
        for name, accuracies in of.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    return record("activations", {"dataset": {"name": data}, "axis": "activation", "finals": finals}, children)


def replies(found, letter):
    """The replies of a part by a word of their question."""
    (part,) = [part for part in found if part.letter == letter]
    return {question.question: question.replies for question in part.questions}


def verdict(found, letter, words):
    (answer,) = [answer for question, answer in replies(found, letter).items() if words in question]
    return [reply.verdict for reply in answer]


class TestActivations:
    def asked(self, *args, **kwargs):
        return parts({"activations": activations(*args, **kwargs)})

    def test_the_study_s_own_outcome_confirms_it(self):
        found = self.asked((0.98, 0.95, 0.96, 0.92), (0.99, 0.97, 0.97, 0.93))
        assert verdict(found, "A", "best") == ["confirmed"]
        assert verdict(found, "A", "lose to scikit-learn") == ["confirmed"]
        assert verdict(found, "A", "linear") == ["refuted"]

    def test_another_best_and_ours_ahead_refute_it(self):
        found = self.asked((0.97, 0.95, 0.98, 0.92), (0.97, 0.95, 0.97, 0.97))
        assert verdict(found, "A", "best") == ["refuted"]
        assert verdict(found, "A", "linear") == ["not told apart"]
        assert verdict(self.asked((0.98, 0.95, 0.98, 0.93), (0.97, 0.95, 0.97, 0.92)), "A", "lose") == ["refuted"]

    def test_a_loss_at_some_activations_confirms_it_in_part(self):
        found = self.asked((0.97, 0.95, 0.98, 0.92), (0.98, 0.95, 0.97, 0.92))
        assert verdict(found, "A", "lose") == ["confirmed in part"]
        (reply,) = replies(found, "A")["Does the network written from scratch lose to scikit-learn's?"]
        assert "behind with relu -0.0100 (" in reply.words
        assert "ahead with tanh 0.0100 (" in reply.words

    def test_what_the_seeds_do_not_settle_is_not_told_apart(self):
        found = self.asked((0.98, 0.95, 0.98, 0.92), (0.98, 0.95, 0.98, 0.92))
        assert verdict(found, "A", "best") == verdict(found, "A", "lose") == ["not told apart"]

    def test_the_best_is_tested_in_pairs_with_holm_s_correction(self):
        sweep = activations((0.981, 0.9798, 0.9804, 0.979), (0.99, 0.97, 0.97, 0.93))
        of = {name: [] for name in ACTIVATIONS}
        for each in sweep.children:
            if each.tags["probeflow.role"] == "final":
                of[each.params["activation"]].append(each.metrics["test_accuracy"])
        p_values = {pair: ttest_rel(of[pair[0]], of[pair[1]]).pvalue for pair in combinations(ACTIVATIONS, 2)}
        (reply,) = replies(parts({"activations": sweep}), "A")["Which activation is best?"]
        highest = 0.0
        for rank, pair in enumerate(sorted(p_values, key=p_values.__getitem__)):
            highest = max(highest, min(1.0, (6 - rank) * p_values[pair]))
            if "relu" not in pair:
                continue
            (name,) = set(pair) - {"relu"}
            lead = np.mean(of["relu"]) - np.mean(of[name])
            word = "ahead of" if highest < 0.05 else "not told apart from"
            assert re.search(rf"{word} {name}: {lead:.4f} \([^)]*, Holm's p = {highest:.2g}\)", reply.words), name
        assert f"relu {over_seeds(of['relu']).words}" in reply.words

    def test_one_seed_cannot_be_asked_but_shows_the_slip_on_the_study_s_data(self):
        found = self.asked((0.98, 0.95, 0.96, 0.92), (0.99, 0.97, 0.97, 0.93), seeds=1)
        assert verdict(found, "A", "best") == verdict(found, "A", "lose") == ["cannot be asked with one seed"]
        assert verdict(found, "A", "linear") == ["refuted"]  # 0.9767 lies above Wilson's interval
        other = self.asked((0.98, 0.95, 0.96, 0.92), (0.99, 0.97, 0.97, 0.93), seeds=1, data="digits")
        assert verdict(other, "A", "linear") == ["cannot be asked with one seed"]

    def test_on_other_data_the_answer_stands_and_says_so(self):
        (part,) = self.asked((0.98, 0.95, 0.96, 0.92), (0.99, 0.97, 0.97, 0.93), data="digits")
        assert [reply.verdict for question in part.questions for reply in question.replies] == [
            "holds here, on other data", "holds here, on other data", "differs here, on other data",
        ]  # fmt: skip
        assert part.data == "digits, other data than the study's (MNIST)"
        assert not any("0.0467" in fault for fault in part.wrong)

    def test_the_slip_s_size_is_told_on_the_study_s_data(self):
        (part,) = self.asked((0.98, 0.95, 0.96, 0.92), (0.99, 0.97, 0.97, 0.93))
        assert any("The printed 0.9767 is 0.0467 above what it scores in this run" in fault for fault in part.wrong)
        assert any("relu -0.0412, sigmoid -0.0464, tanh -0.0500 and linear -0.1037" in fault for fault in part.wrong)


UNITS = {
    "Does training loss fall with more units?": "yes (means over the epochs 0.664, 0.292, 0.173, 0.118, 0.0895)",
    "Does validation loss fall with more units?": "no, it stays flat (0.788, 0.562, 0.592, 0.523, 0.5225)",
    "Is the validation difference between 100 units and 200 units real?": "not tested; 0.523 at 100 units, 0.5225 at 200",
}
RATES = {
    "Which learning rate is best?": "0.01 (mean validation losses 0.874, 0.870, 1.298)",
    "Which learning rates are unstable?": "0.1 is unstable, 0.01 smooth",
    "Which learning rates have not converged?": "0.001",
}


def sweep(name, claims, answered, tried, arms=("study",), data="letters"):
    findings = [
        {"question": question, "claim": claims[question], "arm": arm, "answer": answer, "words": words}
        for question, (answer, words) in answered.items()
        for arm in arms
    ]
    configurations = [{"arm": arm, "label": label, "seeds": 5} for arm in arms for label in tried]
    return parts(
        {name: record(name, {"dataset": {"name": data}, "configurations": configurations, "findings": findings})}
    )


@pytest.mark.parametrize(
    ("words", "answer", "verdict_of"),
    [
        ("training loss", "yes", "confirmed"),
        ("training loss", "in part", "confirmed in part"),
        ("training loss", "no", "refuted"),
        ("training loss", "open", "not told apart"),
        ("validation loss", "no", "confirmed in part"),  # where it rises it is not flat
        ("validation loss", "in part", "refuted in part"),
        ("validation loss", "yes", "refuted"),
        ("real", "yes", "yes"),  # the study did not test it
        ("real", "in part", "in part"),
        ("real", "open", "not told apart"),
    ],
)
def test_an_answer_about_units_is_judged_by_what_was_claimed(words, answer, verdict_of):
    (question,) = [each for each in UNITS if words in each]
    found = sweep("hidden_units", UNITS, {question: (answer, "Said.")}, ["5 units", "20 units"])
    assert verdict(found, "B", words) == [verdict_of]


@pytest.mark.parametrize(
    ("words", "answer", "said", "verdict_of"),
    [
        ("best", "rate 0.01", "Rate 0.01: ...", "confirmed"),
        ("best", "rate 0.1", "Rate 0.1: ...", "refuted"),
        ("best", "open", "Not settled: ...", "not told apart"),
        ("unstable", "rate 0.1", "rate 0.1 unstable: ...", "confirmed"),
        ("unstable", "rate 0.1, rate 0.01", "rate 0.1 unstable: ...", "confirmed in part"),
        ("unstable", "none", "rate 0.1 smooth: ...", "refuted"),
        ("unstable", "rate 0.01", "rate 0.1 not told: ...; rate 0.01 unstable: ...", "not told apart"),
        ("converged", "rate 0.1", "rate 0.1 not converged: ...; rate 0.001 flat at the end: ...", "refuted"),
        (
            "converged",
            "open",
            "Open: 3 of 6 trials were stopped early, so their epochs are not the same.",
            "cannot be asked",
        ),
        (
            "converged",
            "open",
            "Open: one seed tells nothing of the spread; give several in `seeds`.",
            "cannot be asked with one seed",
        ),
    ],
)
def test_an_answer_about_rates_is_judged_by_what_was_claimed(words, answer, said, verdict_of):
    (question,) = [each for each in RATES if words in each]
    found = sweep(
        "learning_rates", RATES, {question: (answer, said)}, ["rate 0.1", "rate 0.01", "rate 0.001"]
    )  # fmt: skip
    assert verdict(found, "C", words) == [verdict_of]


def test_a_rate_that_was_not_tried_is_not_judged_and_other_arms_are_at_other_settings():
    question = "Which learning rate is best?"
    found = sweep("learning_rates", RATES, {question: ("rate 0.3", "...")}, ["rate 0.3", "rate 0.03"])
    assert verdict(found, "C", "best") == ["cannot be asked"]
    both = sweep("learning_rates", RATES, {question: ("rate 0.01", "...")}, ["rate 0.01", "rate 0.1"], ("study", "sgd"))
    assert [(reply.arm, reply.verdict) for reply in replies(both, "C")[question]] == [
        ("study", "confirmed"),
        ("sgd", "holds here, at other settings"),
    ]


def test_a_mix_of_rises_and_falls_refutes_in_part():
    question = next(each for each in UNITS if "training loss" in each)
    words = "Not throughout: the loss rises from 5 units to 20 units 0.1; falls from 20 units to 50 units -0.2."
    assert verdict(sweep("hidden_units", UNITS, {question: ("no", words)}, ["5 units"]), "B", "training") == [
        "refuted in part"
    ]
    words = "Not throughout: the loss rises from 5 units to 20 units 0.1; no clear change from 20 units to 50 units."
    assert verdict(sweep("hidden_units", UNITS, {question: ("no", words)}, ["5 units"]), "B", "training") == ["refuted"]


@pytest.mark.parametrize(("hidden", "verdict_of"), [(4, "confirmed"), (8, "holds here, at other settings")])
def test_the_study_s_settings_are_told_by_the_trials_not_by_the_arm_s_name(hidden, verdict_of):
    question = "Which learning rate is best?"
    summary = {
        "dataset": {"name": "letters"},
        "configurations": [{"arm": "study", "label": "rate 0.01", "seeds": 5}],
        "findings": [
            {"question": question, "claim": RATES[question], "arm": "study", "answer": "rate 0.01", "words": "..."}
        ],
    }
    trial = child("candidate", 0.9, 0, arm="study", hidden=hidden, optimizer="adam", batch_size=1024, epochs=100)
    found = parts({"learning_rates": record("learning_rates", summary, [trial])})
    assert verdict(found, "C", "best") == [verdict_of]


def test_a_card_has_the_answers_in_a_clause():
    (rates,) = sweep(
        "learning_rates",
        RATES,
        {
            "Which learning rate is best?": ("rate 0.01", "..."),
            "Which learning rates are unstable?": ("rate 0.1", "..."),
            "Which learning rates have not converged?": ("open", "..."),
        },
        ["rate 0.1"],
    )
    assert rates.brief == "Best by validation loss: 0.01. Unstable: 0.1. Not converged: not told"
    (activation,) = parts({"activations": activations((0.97, 0.95, 0.98, 0.92), (0.98, 0.95, 0.97, 0.92))})
    assert activation.brief == (
        "Best: tanh, ahead of all others. "
        "Beside scikit-learn's: behind with relu; ahead with tanh; not told apart with sigmoid and linear"
    )
    (images_told,) = parts({"classifier": classifier(0.9, 0.8, "not told apart")})
    assert re.fullmatch(
        r"Features less raw pixels: 0\.1000 \(0\.\d+ to 0\.\d+, p < 0\.0001\), better", images_told.brief
    )


def test_a_fault_that_two_parts_share_is_told_once():
    records = {}
    for name, claims in (("hidden_units", UNITS), ("learning_rates", RATES)):
        question = next(iter(claims))
        finding = {"question": question, "claim": claims[question], "arm": "study", "answer": "open", "words": "..."}
        configuration = {"arm": "study", "label": "one", "seeds": 5}
        summary = {"dataset": {"name": "letters"}, "configurations": [configuration], "findings": [finding]}
        records[name] = record(name, summary)
    units, rates = parts(records)
    assert "first row" in units.wrong[0]
    assert [fault for fault in rates.wrong if fault in units.wrong] == []
    assert "4 hidden units" in rates.wrong[-1]


def images(counts, data="cifar10"):
    return parts({"exploration": record("exploration", {"dataset": {"name": data}, "counts": {"train": counts}})})


def test_what_is_in_the_images_is_counted():
    assert verdict(images({"a": 5000, "b": 5000}), "D", "images") == ["confirmed"]
    assert verdict(images({"a": 5000, "b": 4999}), "D", "images") == ["refuted"]
    assert verdict(images({"a": 5000, "b": 5000, "c": 5000}), "D", "images") == ["other data"]
    found = images({"a": 5000, "b": 4000}, "pets")
    assert verdict(found, "D", "images") == ["other data"]
    assert "not balanced in training" in replies(found, "D")["What is in the images?"][0].words


@pytest.mark.parametrize(
    ("name", "is_theirs"), [("cifar10", True), ("cifar10-airplane-automobile-jpeg", True), ("cifar100", False)]
)
def test_a_copy_of_cifar_10_is_the_study_s_data(name, is_theirs):
    assert is_study_data("exploration", name) == is_theirs


def classifier(features, pixels, found, data="cifar10", weights="ImageNet weights"):
    """A classifier with these mean accuracies over seeds, and the same found beside each other model."""
    representation = f"AlexNet fc8, {weights}"
    of = {
        representation: (features + SHIFTS).tolist(),
        "raw pixels": (pixels + np.roll(SHIFTS, 1)).tolist(),
    }
    table = []
    for name, values in of.items():
        over, ends = over_seeds(values, SHARE), wilson(round(1000 * values[0]), 1000)
        table.append(
            {
                "input": name, "test_accuracy": values[0], "low": ends.low, "high": ends.high, "seeds": over.seeds,
                "mean_test_accuracy": over.mean, "standard_deviation": over.standard_deviation,
                "mean_low": over.low, "mean_high": over.high,
            }
        )  # fmt: skip
    lead = {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.15, "holm_p": 0.01, "found": found}
    models = ("same network on raw pixels", "scikit-learn MLPClassifier", "logistic regression", "majority class")
    rows = {"test": 1000}
    summary = {
        "dataset": {"name": data, "rows": rows}, "representation": representation, "table": table,
        "comparison": [{"model": f"chosen network on {representation}"}, *({"model": name} | lead for name in models)],
        "per_class": [{"class": "a", "recall": 0.8, "recall_low": 0.7, "recall_high": 0.9}],
        "final": {"train_accuracy": 1.0}, "flagged": None,
    }  # fmt: skip
    children = [child("final", value, seed, input=name) for name, each in of.items() for seed, value in enumerate(each)]
    return record("classifier", summary, children)


class TestClassifier:
    @pytest.mark.parametrize(
        ("accuracy", "verdict_of", "words"),
        [
            (0.85, "refuted", "it is above 0.6348"),
            (0.55, "confirmed", "it is below 0.6348"),
            (0.635, "not told apart", "0.6348 lies within the interval"),
        ],
    )
    def test_the_printed_accuracy_is_held_against_the_interval(self, accuracy, verdict_of, words):
        found = parts({"classifier": classifier(accuracy, 0.6, "not told apart")})
        assert verdict(found, "F", "learn from") == [verdict_of]
        assert words in replies(found, "F")["Does a small network learn from AlexNet's features?"][0].words

    def test_a_network_that_learned_nothing_confirms_it_and_other_classes_are_not_compared(self):
        flagged = classifier(0.85, 0.6, "not told apart")
        flagged.summary["flagged"] = "did not learn: ..."
        assert verdict(parts({"classifier": flagged}), "F", "learn from") == ["confirmed"]
        three = classifier(0.85, 0.6, "not told apart")
        three = replace(three, dataset=replace(three.dataset, classes=("a", "b", "c")))
        assert verdict(parts({"classifier": three}), "F", "learn from") == ["cannot be compared"]

    @pytest.mark.parametrize(
        ("features", "pixels", "verdict_of"), [(0.9, 0.8, "yes"), (0.8, 0.9, "no"), (0.8, 0.8, "not told apart")]
    )
    def test_features_and_pixels_are_paired_over_seeds(self, features, pixels, verdict_of):
        found = parts({"classifier": classifier(features, pixels, "not told apart")})
        assert verdict(found, "F", "raw pixels") == [verdict_of]
        (reply,) = replies(found, "F")["Are the features worth more than raw pixels to the same network?"]
        assert f"features less pixels {features - pixels:.4f} (" in reply.words.replace("-0.0000", "0.0000")

    @pytest.mark.parametrize(
        ("found", "verdict_of"),
        [("chosen network ahead", "yes"), ("chosen network behind", "no"), ("not told apart", "not told apart")],
    )
    def test_other_models_are_held_against_it_on_the_same_images(self, found, verdict_of):
        asked = parts({"classifier": classifier(0.9, 0.8, found)})
        for words in ("most frequent class", "logistic regression", "scikit-learn's network"):
            assert verdict(asked, "F", words) == [verdict_of]

    def test_random_weights_are_named_in_every_verdict(self):
        (part,) = parts({"classifier": classifier(0.9, 0.8, "not told apart", "pets", "RANDOM weights (seed 0)")})
        assert "weights are random, not ImageNet's" in part.data
        told = [reply.verdict for question in part.questions[:-1] for reply in question.replies]
        assert all(each.endswith(", on other data and with random weights") for each in told)
        (mine,) = parts({"classifier": classifier(0.9, 0.8, "not told apart", weights="RANDOM weights (seed 0)")})
        assert mine.questions[0].replies[0].verdict == "differs here, with random weights"

    def test_what_its_figures_cannot_carry_is_told(self):
        summary = classifier(0.9, 0.8, "not told apart", weights="RANDOM weights (seed 0)").summary | {"groups": 24}
        assert len(cautions(summary)) == 2  # no model scores higher
        summary["comparison"][-2] |= {"difference": -0.0139}
        groups, weights, higher = cautions(summary)
        assert "1,000 test images come in 24 groups" in groups
        assert "RANDOM" in weights
        assert higher == (
            "logistic regression scores higher than the chosen network (accuracy 0.0139 above, first seed), not told apart"
        )
        assert cautions(classifier(0.9, 0.8, "not told apart").summary) == []

    def test_whether_the_comparison_can_be_trusted_is_told_in_a_line(self):
        found = parts({"classifier": classifier(0.9, 0.9, "chosen network ahead", "pets")})
        assert trust_words(found, [5], 1) == (
            "Can the comparison be trusted? With 5 seeds, 4 of 5 answers stand out from chance, the rest are not told apart; "
            "5 are of other data, settings or weights than the reference study's; 1 remark on what to read with care."
        )
        assert trust_words([], [], 0) == ""

    def test_an_older_record_without_comparisons_is_still_answered(self):
        old = classifier(0.9, 0.8, "not told apart")
        for name in ("comparison", "per_class"):
            del old.summary[name]
        assert len(replies(parts({"classifier": old}), "F")) == 2


def test_the_study_s_confusion_matrix_is_read_with_its_axes_named():
    (a, b), (c, d) = CONFUSION
    true = np.repeat([0, 1, 0, 1], [a, b, c, d])
    predicted = np.repeat([0, 0, 1, 1], [a, b, c, d])
    cells = {row[0]: row[1:] for row in confusion().rows}
    assert cells["share found (recall)"][:2] == tuple(
        f"{recall_score(true, predicted, pos_label=k):.4f}" for k in (0, 1)
    )
    shares = cells["predicted 0"][-1], cells["predicted 1"][-1]
    assert shares == tuple(f"{precision_score(true, predicted, pos_label=k):.4f}" for k in (0, 1))
    assert cells["share found (recall)"][2] == f"accuracy {accuracy_score(true, predicted):.4f}" == "accuracy 0.6348"
    assert cells["all"][:2] == ("5,000", "5,000")  # the study's classes were balanced: columns are the true ones


def test_the_notes_have_a_verdict_a_question_and_the_answers_in_full():
    found = parts(
        {
            "classifier": classifier(0.9, 0.8, "chosen network ahead"),
            "activations": activations((0.98, 0.95, 0.96, 0.92), (0.99, 0.97, 0.97, 0.93)),
        }
    )
    assert [part.letter for part in found] == ["A", "F"]  # in the study's order, and no other
    short, full = "\n".join(verdict_lines(found)), "\n".join(answer_lines(found))
    assert "| A | Which activation is best? | confirmed |" in short
    assert len(verdict_lines(found)) == 2 + sum(len(part.questions) for part in found)
    for part in found:
        for words in (*part.wrong, *(reply.words for question in part.questions for reply in question.replies)):
            assert words in full
    assert "| predicted 1 | 2,581 | 3,929 | 6,510 | 0.6035 |" in full
    assert parts({}) == []
