"""What models answer is scored by scikit-learn's definitions, compared row by row, and kept to be compared again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix

from lib.errors import DataError
from lib.evaluation.intervals import holm, paired_difference, wilson
from lib.evaluation.paired import compare_predictions
from lib.studies.sweep.answers import Answer, Judged, Model, class_scores, confusion_of, leads
from lib.studies.sweep.predictions import FILE, Predictions, read_predictions, save_predictions
from lib.studies.sweep.remarks import remarks
from lib.studies.sweep.result import Doubt, ModelRole, Outcome, TunedOn, Tuning


def answer(name: str, right: float, seed: int, labels: np.ndarray, of_seed: int = 0) -> Answer:
    """Probabilities, (n, 3), whose highest is the label's with a chance of `right`."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), len(labels))
    chosen = np.where(rng.random(len(labels)) < right, labels, rng.integers(0, 3, len(labels)))
    probabilities[np.arange(len(labels)), chosen] += 1.5
    return Answer(name, of_seed, probabilities / probabilities.sum(axis=1, keepdims=True), 0.5)


TUNING = Tuning(tried=4, on=TunedOn.VALIDATION, seconds=2.0)


@pytest.fixture(scope="module")
def judged() -> Judged:
    return Judged(np.random.default_rng(0).integers(0, 3, 300), None)


@pytest.fixture(scope="module")
def models(judged) -> list[Model]:
    found = []
    for place, (name, right) in enumerate((("near", 0.87), ("chosen", 0.9), ("worse", 0.5), ("better", 0.99))):
        seeds = range(1 if name == "better" else 2)
        answers = tuple(answer(f"{name} {of}", right, 10 * place + of, judged.labels, of) for of in seeds)
        found.append(Model(ModelRole.WINNER, 0, place, answers, TUNING))
    return found


def test_each_class_has_scikit_learn_s_figures_and_wilson_s_intervals(judged, models):
    first = models[0].answers[0]
    theirs = classification_report(judged.labels, first.predicted, output_dict=True)
    for place, ours in enumerate(class_scores(first, judged, 3)):
        report = theirs[str(place)]
        assert (ours.precision.estimate, ours.recall.estimate, ours.f1, ours.support) == pytest.approx(
            (report["precision"], report["recall"], report["f1-score"], report["support"])
        )
    of_class = judged.labels == 0
    hits = int((first.predicted[of_class] == 0).sum())
    assert class_scores(first, judged, 3)[0].recall == wilson(hits, int(of_class.sum()))
    np.testing.assert_array_equal(confusion_of(first, judged, 3), confusion_matrix(judged.labels, first.predicted))


def test_a_class_never_predicted_has_no_precision_and_one_without_rows_no_recall():
    given = Answer("a", 0, np.eye(3)[[0, 2, 0]], 0)
    scores = class_scores(given, Judged(np.array([0, 0, 1]), None), 3)
    assert [each.precision and each.precision.estimate for each in scores] == [0.5, None, 0]
    assert [each.recall and each.recall.estimate for each in scores] == [0.5, 0, None]


def test_models_are_held_against_the_chosen_one_with_holm_s_correction(judged, models):
    found = leads(1, models, judged)
    assert [lead.model for lead in found] == [0, 2, 3]
    own = models[1].answers[0].predicted
    pairs = [compare_predictions(own, models[at].answers[0].predicted, judged.labels) for at in (0, 2, 3)]
    assert [lead.same_rows for lead in found] == pairs
    assert [lead.p for lead in found] == holm([pair.p_value for pair in pairs])
    assert [lead.outcome for lead in found] == [Outcome.NOT_SIGNIFICANT, Outcome.AHEAD, Outcome.BEHIND]
    accuracies = [[(each.predicted == judged.labels).mean() for each in models[at].answers] for at in (1, 2)]
    assert found[1].over_seeds == paired_difference(*accuracies)
    assert found[2].over_seeds is None  # it has one seed, and the chosen one two


def test_accuracy_has_wilson_s_interval_and_of_rows_in_groups_a_bootstrap_s(judged, models):
    alone = models[0].scored(judged)
    assert alone.accuracy == wilson(alone.scores[0].right, 300)
    assert [score.seed for score in alone.scores] == [0, 1]
    grouped = Judged(judged.labels, np.arange(300) // 10)
    scored = models[0].scored(grouped)
    assert scored.accuracy == scored.measured["accuracy"]
    assert scored.accuracy.low != alone.accuracy.low
    perfect = replace(models[0], answers=(answer("perfect", 1.0, 0, judged.labels, 0),))
    for groups in (None, np.arange(300) // 10):
        found = perfect.scored(Judged(judged.labels, groups))
        assert found.accuracy.estimate == found.with_both.estimate == 1
        assert max(found.accuracy.low, found.with_both.low) < 0.995


def test_two_models_that_gave_the_same_answers_are_doubtful(judged, models):
    copy = replace(models[0], configuration=9)
    scored = [each.scored(judged) for each in (models[0], models[1], copy)]
    found = [each for each in remarks([], scored, [], judged, []) if each.doubt is Doubt.SAME_ANSWERS]
    assert [(each.model, each.other, each.seed) for each in found] == [(0, 2, 0), (0, 2, 1)]


def test_a_setting_that_ends_what_was_tried_is_doubtful(judged, models):
    ended = replace(models[0], tuning=TUNING.model_copy(update={"at_end": ("C",)}))
    scored = [each.scored(judged) for each in (models[0], ended)]
    assert [each.model for each in remarks([], scored, [], judged, []) if each.doubt is Doubt.AT_END] == [1]


class TestPredictions:
    def test_come_back_as_they_were_and_compare_with_another_study_s(self, judged, models, tmp_path):
        given = {each.answers[0].name: each.answers[0].probabilities for each in models}
        groups = judged.labels // 2
        save_predictions(tmp_path, Predictions("d1", judged.labels, given, groups, "chosen 0"))
        kept = read_predictions(tmp_path)
        assert (kept.probabilities.keys(), kept.chosen) == (given.keys(), "chosen 0")
        for name, values in given.items():
            np.testing.assert_array_equal(kept.probabilities[name], values)
        pair = kept.compare("chosen 0", Predictions("d1", judged.labels, {"mine": given["worse 0"]}), "mine")
        predicted = (models[1].answers[0].predicted, models[2].answers[0].predicted)
        assert pair == compare_predictions(*predicted, judged.labels, groups)

    def test_on_other_rows_or_of_an_unknown_model_are_refused(self, judged, models, tmp_path):
        mine = Predictions("d1", judged.labels, {"chosen": models[0].answers[0].probabilities})
        with pytest.raises(DataError, match="cannot be compared: run both models on the same"):
            mine.compare("chosen", Predictions("d2", judged.labels, mine.probabilities), "chosen")
        with pytest.raises(DataError, match=r"no predictions of 'other' were kept .there are: chosen"):
            mine.of("other")
        with pytest.raises(DataError, match=r"cannot be read .*run the study again"):
            read_predictions(tmp_path)
        (tmp_path / FILE).write_bytes(b"{}")
        with pytest.raises(DataError, match="cannot be read"):
            read_predictions(tmp_path)
