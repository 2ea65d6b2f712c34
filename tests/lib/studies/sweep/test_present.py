"""What a sweep tells people: its numbers as SciPy has them, in the field's words, and text of users as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from markdown_it import MarkdownIt

from lib.evaluation.checks import Learned
from lib.evaluation.intervals import Difference, paired_difference
from lib.evaluation.paired import PairedPredictions
from lib.studies.presentation import escaped, markdown
from lib.studies.record import open_record
from lib.studies.sweep import present
from lib.studies.sweep.result import (
    Doubt,
    Judgement,
    Lead,
    Outcome,
    Remark,
    Rival,
    TunedOn,
    Tuning,
    Verdict,
    Weights,
)
from lib.studies.sweep.tables import comparison_rows, model_rows
from lib.studies.sweep.words import (
    configuration_name,
    endings,
    in_order,
    model_name,
    remarks_words,
    verdict_words,
)

FORMER_WORDS = ("told apart", "beside", "peer", " arm", "caution", "read with care", "mend", "said")


def section(record, heading: str) -> str:
    return next(each.body for each in record.present().sections if each.heading == heading)


def rows_of(table: str) -> list[list[str]]:
    """The cells of the Markdown table in `table`, as a reader of the page sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(table)
    rows: list[list[str]] = []
    for token, after in pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            rows[-1].append("".join(child.content for child in after.children))
    return rows


def test_a_record_that_is_read_again_presents_the_same(tested):
    assert open_record(tested.folder).present() == tested.present()


def test_the_headline_is_a_sentence_with_the_interval_on_test_rows_and_the_verdict(tested):
    result = tested.result
    headline = tested.present().headline
    accuracies = [score.measures["accuracy"] for score in result.models[result.chosen].scores]
    of = result.models[result.chosen].with_both
    assert f": test accuracy {np.mean(accuracies):.3f} ({of.low:.3f} to {of.high:.3f});" in headline
    assert headline.endswith(f"on validation rows {verdict_words(result)}")
    assert len(headline.split()) <= 25


def test_an_untested_sweep_s_headline_is_of_validation_rows_and_its_baselines_are_qualified(searched):
    headline = searched.present().headline
    assert re.match(
        r"random #\d+: validation accuracy 0\.\d{3} \(0\.\d{3} to [01]\.\d{3}\) on the rows it was chosen by; ",
        headline,
    )
    assert "test" not in headline
    assert len(headline.split()) <= 25
    comparison = section(searched, "Comparison with baselines")
    assert "which favours it; baselines chose theirs on rows held out of training" in comparison
    head, *rows = rows_of(comparison)
    assert not [cell for cell in head if "seeds" in cell]
    (logistic,) = [row for row in rows if row[0] == "logistic regression"]
    assert re.fullmatch(r"\d+, on rows held out of training", logistic[1])


def test_title_question_and_input_name_the_node_the_input_and_the_data(tested, heads):
    assert tested.present().title == "tested on raw pixels of digits"
    assert tested.present().input == "raw pixels"
    assert tested.present().question == "Which settings of a small network learn best on raw pixels?"
    assert heads.present().title == f"heads on {heads.result.representations[0].description} of photo-patches"


def test_random_weights_are_said_wherever_they_show(heads):
    shown = heads.present()
    for text in (shown.title, shown.question, shown.headline, shown.input, shown.sections[0].body, shown.parent.name):
        assert "RANDOM" in text
    assert any("RANDOM" in warning for warning in shown.warnings)


def test_each_way_in_which_trials_ended_is_said_once(tested):
    one = tested.result.configurations[0].trials[0]
    short, long = (
        one.model_copy(update={"ended": "patience", "history": one.history[:1] * epochs}) for epochs in (11, 12)
    )
    assert endings([long, one, short, long]) == f"{long.ended_words}, {one.ended_words}, {short.ended_words}"


def test_random_weights_of_a_control_alone_are_a_warning_of_the_control(heads):
    main, *others = heads.result.representations
    trained = main.model_copy(update={"weights": Weights.IMAGENET})
    control = others[0].model_copy(update={"node": "control", "weights": Weights.RANDOM})
    words = remarks_words(heads.result.model_copy(update={"representations": (trained, control, *others[1:])}))
    assert [each for each in words if "RANDOM" in each] == ["weights of control, in also_on, are RANDOM"]


@pytest.mark.parametrize("name", ["tested", "searched", "heads"])
def test_notes_use_the_field_s_words(name, request):
    text = markdown(request.getfixturevalue(name).present())
    assert not [word for word in FORMER_WORDS if word in text.lower()]
    assert "95 % confidence interval" in text
    assert "nan" not in text.split()


def test_all_models_are_compared_with_the_chosen_one(tested, heads):
    result = tested.result
    rows = rows_of(section(tested, "Test results"))
    assert len(rows) == 1 + len(result.models)
    assert len({row[0] for row in rows}) == len(rows)
    chosen = next(row for row in rows if row[0].endswith("(chosen)"))
    assert chosen[3] == result.over_seeds(result.chosen, "accuracy").words
    assert chosen[-3:-1] == ["-", "-"]
    [also_on] = [row for row in rows_of(section(heads, "Test results")) if row[0] == "same settings on patches"]
    lead = next(each for each in heads.result.leads if model_name(heads.result, each.model) == also_on[0])
    assert also_on[-3].startswith(f"{0 - lead.same_rows.estimate:.4f}")  # with the leaderboard's sign
    assert also_on[-2].startswith(f"{-lead.over_seeds.estimate:.4f}")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome.AHEAD, "-0.1000 (-0.2000 to -0.0500), p = 0.01: significantly worse"),
        (Outcome.BEHIND, "-0.1000 (-0.2000 to -0.0500), p = 0.01: significantly better"),
        (Outcome.NOT_SIGNIFICANT, "-0.1000 (-0.2000 to -0.0500), p = 0.01: not significantly different"),
    ],
)
def test_the_other_model_of_a_lead_is_the_one_that_is_better_or_worse(outcome, words):
    same = PairedPredictions(0.1, 0.05, 0.2, 100, 12, 2, 0.01)
    assert present._over_rows(Lead(model=1, same_rows=same, p=0.01, over_seeds=None, outcome=outcome)) == words
    over = Difference(0.1, 0.05, 0.2, 5, 0.001)
    lead = Lead(model=1, same_rows=same, p=0.01, over_seeds=over, outcome=outcome)
    if outcome is Outcome.AHEAD:
        assert present._over_seeds(lead, {1: 0.01}) == words
        turned = lead.model_copy(update={"over_seeds": over.turned})
        assert present._over_seeds(turned, {1: 0.01}).endswith("significantly better")
        assert present._over_seeds(lead, {1: 0.06}).endswith("p = 0.06: not significantly different")
        assert present._over_seeds(lead.model_copy(update={"over_seeds": None}), {}) == "-"


def test_differences_over_seeds_have_holm_s_correction_over_all_other_models(heads):
    first, second, *others = heads.result.leads
    p_values = {first.model: 0.03, second.model: 0.04}
    leads = [
        lead.model_copy(update={"over_seeds": Difference(0.1, 0.0, 0.2, 3, p_values[lead.model])})
        for lead in (first, second)
    ]
    leads += [lead.model_copy(update={"over_seeds": None}) for lead in others]
    result = heads.result.model_copy(update={"leads": tuple(leads)})
    assert result.over_seeds_p() == {first.model: 0.06, second.model: 0.06}
    rows = {row["model"]: row["over_seeds_difference_holm_p"] for row in comparison_rows(result)}
    assert list(rows.values()) == [0.06, 0.06, *[None] * len(others)]
    shown = section(replace(heads, result=result), "Test results")
    assert "not significantly" in shown
    assert "p = 0.03" not in shown


def test_every_model_s_budget_settings_and_time_are_in_the_table(tested, heads):
    """And in that of the files, with numbers unrounded."""
    result = tested.result
    head, *rows = rows_of(section(tested, "Test results"))
    of_model = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    at = next(at for at, each in enumerate(result.models) if each.baseline == "logistic")
    logistic = result.models[at]
    shown = of_model["logistic regression"]
    assert shown["settings tried"] == f"{logistic.tuning.tried}, on validation rows"
    assert shown["chosen settings"] == f"C {logistic.settings['C']:g}"
    choosing, training = map(float, shown["seconds to choose + to train"].split(" + "))
    assert choosing == pytest.approx(logistic.tuning.seconds, abs=0.5 if choosing >= 10 else 0.005)
    assert training == pytest.approx(logistic.scores[0].seconds, abs=0.5 if training >= 10 else 0.005)
    (network,) = [row for name, row in of_model.items() if name.endswith("(chosen)")]
    assert network["settings tried"] == f"{len(result.configurations)}, on validation rows"  # it is the best of all
    theirs = [row for name, row in of_model.items() if name.startswith("scikit-learn")]
    assert [row["settings tried"] for row in theirs] == ["1", "1"]
    assert all(row["chosen settings"].startswith("the network's (") for row in theirs)
    row = model_rows(result)[at]
    assert (row["settings_tried"], row["tuned_on"]) == (logistic.tuning.tried, "validation rows")
    assert row["choosing_seconds"] == logistic.tuning.seconds
    head, *rows = rows_of(section(heads, "Test results"))
    assert {row[head.index("input")] for row in rows} == {"fc8", "patches"}


def test_a_setting_at_the_end_of_its_path_is_a_warning_that_names_it(tested):
    at = next(at for at, each in enumerate(tested.result.models) if each.baseline == "logistic")
    model = tested.result.models[at].model_copy(
        update={"settings": {"C": 1e5}, "tuning": Tuning(tried=45, on=TunedOn.VALIDATION, seconds=1.0, at_end=("C",))}
    )
    models = (*tested.result.models[:at], model, *tested.result.models[at + 1 :])
    remark = Remark(doubt=Doubt.AT_END, model=at)
    [warning] = remarks_words(tested.result.model_copy(update={"models": models, "remarks": (remark,)}))
    assert warning.startswith("logistic regression: the chosen C 100000 ends the path")


def test_a_winner_is_listed_before_the_baselines_at_its_settings(tested):
    models = [tested.result.models[at] for at in in_order(tested.result)]
    assert [model.baseline for model in models] == [None, "sklearn-mlp", None, "sklearn-mlp", "majority", "logistic"]
    assert models[0].configuration == models[1].configuration


def test_measures_are_those_of_the_chosen_model(heads):
    result = heads.result
    rows = rows_of(section(heads, "Measures"))[1:]
    assert len(rows) == len(result.models[result.chosen].measured)
    accuracy = result.models[result.chosen].measured["accuracy"]
    assert rows[0][2] == f"{accuracy.estimate:.4f} ({accuracy.low:.4f} to {accuracy.high:.4f})"


def test_halving_and_patience_are_stated_with_their_counts(searched):
    result = searched.result
    body = section(searched, "")
    halved = sum(each.halved for each in result.configurations)
    stopped = sum(trial.ended == "patience" for each in result.configurations for trial in each.trials)
    assert halved > 0
    assert f"dropped {halved} of 12 configurations" in body
    assert f"Patience of 2 epochs ended {stopped} of" in body


def test_failed_trials_of_a_search_are_counted_in_one_warning_and_a_grid_s_named(tested, searched):
    result = searched.result
    failed = {
        at
        for at, each in enumerate(result.configurations)
        if any(trial.learned in (Learned.DIVERGED, Learned.AT_CHANCE) for trial in each.trials)
    }
    [warning] = [each for each in remarks_words(result) if "configurations diverged or did not learn" in each]
    assert warning.startswith(f"{len(failed)} of 12 ")
    alone = Remark(doubt=Doubt.DIVERGED, configuration=0, seed=2)
    one = tested.result.model_copy(update={"remarks": (alone,)})
    assert remarks_words(one) == [f"{configuration_name(one, 0)}, seed 2: diverged"]


@pytest.mark.parametrize("doubt", list(Doubt))
def test_every_doubt_is_a_warning_that_names_what_it_is_about(doubt, tested):
    remark = Remark(doubt=doubt, model=2, other=0, seed=1, count=3, of=4, figure=0.5, significant=True)
    result = tested.result.model_copy(update={"remarks": (remark,)})
    [warning] = remarks_words(result)
    about_models = doubt not in (Doubt.GROUPED_ROWS, Doubt.RANDOM_WEIGHTS, Doubt.NOTHING_LEARNED)
    assert (model_name(result, 2) in warning) is about_models


def test_a_verdict_that_is_not_significant_counts_who_ties(tested):
    even = paired_difference([0.9, 0.91, 0.93], [0.9, 0.92, 0.92])
    ahead = paired_difference([0.9, 0.91, 0.93], [0.1, 0.12, 0.12])
    rivals = [Rival(configuration=at, difference=each) for at, each in ((1, even), (2, ahead), (3, None))]
    judged = Judgement(verdict=Verdict.NOT_SIGNIFICANT, rivals=tuple(rivals))
    words = verdict_words(tested.result.model_copy(update={"judgement": judged}))
    assert words == "2 of 3 others not significantly worse"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_words_and_the_runner_up_its_difference(verdict, tested):
    runner_up = tested.result.judgement.rivals[0].model_copy(
        update={"difference": paired_difference([0.9, 0.91, 0.93], [0.8, 0.82, 0.85])}
    )
    judged = {"judgement": Judgement(verdict=verdict, rivals=(runner_up,))}
    record = replace(tested, result=tested.result.model_copy(update=judged))
    choice = section(record, "Choice")
    assert verdict_words(record.result) in choice
    assert f"the runner-up, {escaped(configuration_name(tested.result, runner_up.configuration))}, by 0.0900" in choice


def test_the_only_finite_configuration_of_several_is_called_so(tested):
    other = Rival(configuration=1, difference=None)
    judged = {"judgement": Judgement(verdict=Verdict.ONLY, rivals=(other,))}
    assert "finite with every seed" in verdict_words(tested.result.model_copy(update=judged))


def test_configurations_of_a_search_have_different_names_with_three_digits(searched):
    names = [configuration_name(searched.result, at) for at in range(12)]
    assert len(set(names)) == 12
    for name in names:
        assert re.fullmatch(r"#\d+ · \d+ units · rate \S+", name)
        assert len(re.sub(r"e-?\d+|[.0]|\D", "", name.rpartition("rate ")[2])) <= 3


def test_plain_text_survives_markdown():
    for text in ("a|b", "__init__", "*x* ~~y~~", "[l](u) <b> & `c`", "back\\slash"):
        assert rows_of(f"| {escaped(text)} |\n| --- |\n") == [[text]]


def test_a_presentation_is_of_the_record_s_name(tested):
    assert replace(tested, name="other").present().title.startswith("other on ")
