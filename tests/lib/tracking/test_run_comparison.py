"""Two runs side by side: settings, figures, and the difference over the same images."""

from __future__ import annotations

import re

import numpy as np
import pytest

from flows.compare import show_comparison
from lib.errors import ConfigError
from lib.evaluation.intervals import wilson
from lib.evaluation.paired import compare_predictions
from lib.graph import leaderboard, ready_node, studies_of, summarise
from lib.profile import parse_profile
from lib.tracking.comparison import Verdict, compare
from lib.tracking.past_runs import find_run, record_of_run
from lib.tracking.records import log_record


def test_accuracies_on_the_same_images_are_compared_in_pairs(gate, capsys):
    good, better = gate.right_on((0, 380)), gate.right_on((0, 420))
    left, right = gate.log(gate.record("good", good)), gate.log(gate.record("better", better))
    found = compare(gate.tracking, left, right[:12])
    assert found.same_data
    (accuracy,) = [each for each in found.figures if each.name == "test_accuracy"]
    labels = gate.judged.labels
    expected = compare_predictions(*(np.where(mask, labels, (labels + 1) % 10) for mask in (better, good)), labels)
    assert (accuracy.left, accuracy.right) == pytest.approx((380 / 447, 420 / 447))
    assert (accuracy.difference, accuracy.verdict) == (expected, Verdict.SIGNIFICANT)
    show_comparison(left, right, gate.where)
    said = " ".join(capsys.readouterr().out.split())
    assert f"+0.08949 {expected.low:+.4f} to {expected.high:+.4f}: significant, paired" in said
    assert f"both on digits {gate.on.dataset.digest[:12]}" in said


def test_without_the_predictions_the_two_intervals_stand_side_by_side(gate, capsys):
    left, right = (
        gate.log(gate.record(f"{count} right", gate.right_on((0, count)), known=False)) for count in (380, 385)
    )
    show_comparison(left, right, gate.where)
    one, other = (wilson(count, 447) for count in (380, 385))
    words = f"A {one.low:.4f} to {one.high:.4f}, B {other.low:.4f} to {other.high:.4f}: intervals overlap"
    assert words in " ".join(capsys.readouterr().out.split())


def test_settings_that_differ_stand_first_and_equal_ones_in_one_line(tracking, small_run, capsys):
    log_record(tracking, small_run.records["activations"], {})
    one, other = "relu · he init · seed 0", "tanh · he init · seed 1"
    assert compare(tracking, one, other).params["activation"] == ("relu", "tanh")
    show_comparison(one, other, small_run.where)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["activation", "relu", "tanh"] in lines
    assert ["seed", "0", "1"] in lines
    assert any(line[:3] == ["equal", "in", "both:"] and "sgd," in line for line in lines)


def test_runs_of_different_data_are_said_to_be_so(gate, capsys):
    right = gate.right_on((0, 380))
    other = gate.log(gate.record("other data", right, dataset_digest="feed" * 16))
    show_comparison(gate.log(gate.record("one", right)), other, gate.where)
    assert "DIFFERENT data, so their figures cannot be compared" in capsys.readouterr().out


def test_a_run_that_is_not_there_or_not_the_only_one_is_refused(gate):
    left = gate.log(gate.record("twin", gate.right_on((0, 380))))
    gate.log(gate.record("other twin", gate.right_on((0, 380))))
    name = gate.tracking.client.get_run(left).info.run_name
    with pytest.raises(ConfigError, match=r"means [23] runs \(.*\): give more of the id"):
        compare(gate.tracking, left, name)
    for absent in ("0" * 32, "nowhere", ""):
        with pytest.raises(ConfigError, match=f"no run '{absent}'"):
            compare(gate.tracking, absent, left)


@pytest.fixture(scope="module")
def whole_runs(tracking, small_run):
    """Two whole runs, logged: that of the small profile, and one whose sweep on pixels has other settings."""
    content = small_run.profile.model_dump(mode="json")
    content["name"] = "changed"
    content["studies"]["activations"]["variants"]["sgd"]["base"]["epochs"] = 3
    profile = parse_profile(content)
    records = {name: ready_node(profile, name, small_run.where).run() for name in small_run.records}
    changed = summarise(profile, records, small_run.where)
    every = {each.key: each for each in [*small_run.records.values(), *records.values()]}
    for record in every.values():
        log_record(tracking, record, {})
    return [(run, log_record(tracking, run, {}).info.run_id) for run in (small_run.record, changed)]


def test_whole_runs_are_compared_study_by_study_and_one_model_is_said_to_be_one(
    whole_runs, tracking, small_run, capsys
):
    (one, left), (_, right) = whole_runs
    show_comparison(left, right, small_run.where)
    said = capsys.readouterr().out
    assert "activations: changed: studies.activations.variants.sgd.base.epochs 4 -> 3\n  A  " in said
    assert "exploration: same: 480 images" in said
    assert said.endswith("figures: of the same model, the classifier's in both\n")
    assert "equal in both" not in said
    assert find_run(tracking, one.key[:16]).info.run_id == left
    assert record_of_run(left, small_run.where) == one.folder


def test_the_models_of_whole_runs_stand_side_by_side_with_their_difference(whole_runs, small_run, tracking, capsys):
    (one, left), (other, right) = whole_runs
    boards = [leaderboard(studies_of(run), run.result.main) for run in (one, other)]
    found = compare(tracking, left, right, small_run.where.studies)
    assert [pair.left for pair in found.models if pair.left] == boards[0]
    assert sorted(map(repr, (pair.right for pair in found.models if pair.right))) == sorted(map(repr, boards[1]))
    show_comparison(left, right, small_run.where)
    said = capsys.readouterr().out
    for pair in found.models:
        if pair.left is None or pair.right is None:
            continue
        assert {(each.study, each.model, each.settings, each.input) for each in (pair.left, pair.right)} == {
            (pair.left.study, pair.left.model, pair.left.settings, pair.left.input)
        }
        scores = [each.score.estimate for each in (pair.left, pair.right)]
        assert pair.difference == scores[1] - scores[0]  # test rows are those of the data, which is the same
        change = "same" if pair.left == pair.right else f"{pair.difference:+.3f}"
        assert re.search(
            rf"^{pair.left.model}.* {scores[0]:.3f} .* {scores[1]:.3f} +{re.escape(change)}", said, re.MULTILINE
        )
    assert {pair.left.study for pair in found.models if pair.left == pair.right} == {"classifier"}
    assert any(pair.difference for pair in found.models)


def test_a_profile_s_name_means_its_newest_whole_run(whole_runs, small_run, tracking):
    changed, _ = whole_runs[1]
    later = summarise(
        parse_profile(changed.result.profile | {"promote": "activations"}), studies_of(changed), small_run.where
    )
    run_id = log_record(tracking, later, {}).info.run_id
    assert find_run(tracking, "changed").info.run_id == run_id


def test_whole_runs_with_other_models_are_compared_in_pairs(whole_runs, small_run, tracking):
    """As if the sweep on pixels were the one that is promoted."""
    runs = []
    for run, _ in whole_runs:
        profile = parse_profile(run.result.profile | {"promote": "activations"})
        promoted = summarise(profile, studies_of(run), small_run.where)
        runs.append(log_record(tracking, promoted, {}).info.run_id)
    found = compare(tracking, *runs, small_run.where.studies)
    assert (found.of, found.same_model, found.whole_runs) == ("activations", False, True)
    (accuracy,) = [each for each in found.figures if each.name == "test_accuracy"]
    assert accuracy.difference is not None
    assert accuracy.difference.rows == 447
