"""The leaderboard of a run: numbers of the studies' own predictions and tests, and one sentence of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from lib.graph.leaderboard import answer, leaderboard, name_among, same_rows, titled
from lib.mlp.store import load_network
from lib.studies.entry import ModelKind, Standing
from lib.studies.presentation import Rows
from lib.studies.study import kind_named
from lib.studies.sweep.predictions import read_predictions


@pytest.fixture(scope="module")
def board(small_run):
    return leaderboard(small_run.records, main="classifier")


def test_everything_that_was_tested_stands_in_it_the_best_of_the_same_rows_first(small_run, board):
    groups = list(same_rows(board))
    assert [group[0].study for group in groups] == ["classifier", "activations"]
    for group in groups:
        scores = [entry.score.estimate for entry in group]
        assert scores == sorted(scores, reverse=True)
    tested = [name for name, record in small_run.records.items() if getattr(record.result, "models", ())]
    assert {entry.study for entry in board} == set(tested)
    assert len(board) == sum(len(small_run.records[name].result.models) for name in tested)
    assert {entry.rows for entry in board} == {Rows.TEST}
    assert {entry.input for entry in groups[0]} == {"fc8", "patches"}
    assert all(entry.random_weights == (entry.input == "fc8") for entry in board)


@pytest.mark.parametrize("study", ["activations", "classifier"])
def test_scores_and_differences_are_those_of_the_predictions_and_mcnemar_s_test_decides(small_run, study):
    record = small_run.records[study]
    kept, models = read_predictions(record.folder), record.result.models
    right = {name: kept.of(name) == kept.labels for name in kept.probabilities}
    own, entries = right[kept.chosen], kind_named("sweep").entries(record)
    (chosen,) = (entry for entry in entries if entry.standing is Standing.CHOSEN)
    assert (chosen.seeds[0], chosen.difference) == (own.mean(), None)
    p = {}
    for entry, model in zip(entries, models, strict=True):
        theirs = right[model.answers]
        assert (entry.count, entry.seeds[0]) == (len(own), theirs.mean())
        assert entry.score.estimate == pytest.approx(np.mean(entry.seeds))
        if entry is not chosen:
            assert entry.difference.estimate == pytest.approx(theirs.mean() - own.mean())
            assert entry.difference.low <= entry.difference.estimate <= entry.difference.high
            differ = int((own ^ theirs).sum())
            p[entry] = binomtest(int((own & ~theirs).sum()), differ).pvalue if differ else 1.0
    adjusted = 0.0
    if kept.groups is not None:  # rows of one photograph are not independent, and McNemar's test is not theirs
        assert {entry.test for entry in p} == {"an exact sign-flip test over groups of rows with Holm's correction"}
        return
    for rank, entry in enumerate(sorted(p, key=p.get)):
        adjusted = max(adjusted, (len(p) - rank) * p[entry])  # Holm
        sign = Standing.BETTER if entry.difference.estimate > 0 else Standing.WORSE
        assert entry.standing is (sign if adjusted < 0.05 else Standing.NOT_SIGNIFICANT)


def test_a_network_s_size_is_that_of_its_file(small_run, board):
    for study in ("activations", "classifier"):
        network = load_network(small_run.records[study].folder / small_run.records[study].model.network)
        (chosen,) = (e for e in board if e.study == study and e.standing is Standing.CHOSEN)
        assert chosen.parameters == network.network_.parameters.size
        assert chosen.kind is ModelKind.NETWORK
        assert chosen.seconds > 0


def test_where_nothing_was_tested_validation_rows_stand_in_and_each_study_has_its_own(ran):
    _, records, _ = ran
    entries = leaderboard(records)
    assert {entry.rows for entry in entries} == {Rows.VALIDATION}
    assert [len({entry.study for entry in group}) for group in same_rows(entries)] == [1]
    assert "validation accuracy" in answer(entries)


def test_groups_that_are_called_alike_have_their_nodes_in_their_titles(board):
    group = next(same_rows(board))[:2]
    (alone, _) = titled(group)[0]
    assert alone == f"{group[0].data}, {group[0].count} test images"
    other = [replace(each, digest="of another decoding", input=f"full-{each.input}") for each in group]
    inputs = list(dict.fromkeys(each.input for each in group))
    assert [title for title, _ in titled([*group, *other])] == [
        f"{alone} ({', '.join(inputs)})",
        f"{alone} ({', '.join(f'full-{name}' for name in inputs)})",
    ]
    validated = [replace(each, rows=Rows.VALIDATION, study=study) for study in "ab" for each in group]
    validated = [replace(each, digest=each.study) for each in validated]
    assert [title.rpartition(" ")[2] for title, _ in titled(validated)] == ["(a)", "(b)"]


def test_one_sentence_names_the_chosen_and_who_ties_with_it(board):
    group = next(same_rows(board))
    chosen, *others = sorted(group, key=lambda each: each.standing is not Standing.CHOSEN)

    def told(*standings):
        below = replace(chosen.score, estimate=chosen.score.estimate - 0.01)
        changed = [
            replace(each, standing=standing, score=below) for each, standing in zip(others, standings, strict=True)
        ]
        return answer([chosen, *changed])

    score = f"{chosen.score.estimate:.3f} ({chosen.score.low:.3f} to {chosen.score.high:.3f})"
    assert f"MLP 16 on fc8: test accuracy {score}" in told(*[Standing.WORSE] * 3)
    assert told(*[Standing.WORSE] * 3).endswith("; all 3 others are significantly worse.")
    assert told(*[Standing.NOT_SIGNIFICANT] * 3).endswith("; all 3 others are not significantly different.")
    one = told(Standing.NOT_SIGNIFICANT, Standing.WORSE, Standing.WORSE)
    assert one.endswith(f"; {name_among(others[0], group)} is not significantly different.")
    two = told(Standing.BETTER, Standing.BETTER, Standing.WORSE)
    assert two.endswith(
        f"; {name_among(others[0], group)} and {name_among(others[1], group)} are significantly better."
    )
    ahead = replace(
        others[0],
        standing=Standing.NOT_SIGNIFICANT,
        score=replace(chosen.score, estimate=chosen.score.estimate + 0.01),
    )
    higher = answer([chosen, ahead, *(replace(each, standing=Standing.WORSE) for each in others[1:])])
    top = f"{name_among(others[0], group)} scores {ahead.score.estimate:.3f}, not significantly higher"
    assert higher.endswith(f"; {top}.")
    every = (one, two, higher, answer(group), told(Standing.BETTER, Standing.NOT_SIGNIFICANT, Standing.NOT_SIGNIFICANT))
    assert max(len(each.split()) for each in every) <= 32
    assert answer([replace(each, standing=Standing.NOT_COMPARED) for each in group]).endswith(
        "no difference was tested."
    )
