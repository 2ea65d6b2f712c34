"""Metrics, intervals, checks and projections against independent references."""

from __future__ import annotations

from itertools import combinations
from statistics import stdev
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp
from sklearn import metrics
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from lib.errors import ConfigError
from lib.evaluation import baselines, figures
from lib.evaluation.checks import learning_flag, same_model_flags, study_flag
from lib.evaluation.intervals import SHARE, Estimate, holm, mean_over_seeds, over_seeds, wilson
from lib.evaluation.metrics import score
from lib.evaluation.peers import train_sklearn
from lib.evaluation.projections import pca, sample_by_class, tsne
from lib.evaluation.reference import comparison
from lib.mlp.labels import wrapped
from lib.mlp.training import TrialData, train
from lib.mlp.trial import Trial


@pytest.fixture(scope="module")
def data() -> TrialData:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return TrialData(X[:600], y[:600], X[600:900], y[600:900], 10)


@pytest.mark.parametrize(("right", "total"), [(0, 10), (7, 10), (10, 10), (970, 1000)])
def test_the_wilson_interval_equals_scipy_s(right, total):
    theirs = binomtest(right, total).proportion_ci(method="wilson")
    ours = wilson(right, total)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_over_seeds_equals_scipy_s_and_one_seed_gives_none():
    values = [0.91, 0.93, 0.92, 0.95]
    theirs = ttest_1samp(values, 0).confidence_interval()
    ours = mean_over_seeds(values)
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert mean_over_seeds([0.9]) is None


def test_a_figure_over_seeds_has_mean_deviation_and_interval_and_one_seed_has_no_false_one():
    values = [0.91, 0.93, 0.92, 0.95]
    theirs = ttest_1samp(values, 0).confidence_interval()
    found = over_seeds(values)
    assert (found.mean, found.standard_deviation) == pytest.approx((np.mean(values), stdev(values)))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.words == "0.9275 ± 0.0171 (0.9003 to 0.9547)"
    assert over_seeds([0.9, 0.99, 0.98], SHARE).high == 1  # an accuracy above 1 there is none
    assert over_seeds([0.9, 0.99, 0.98]).high > 1
    assert over_seeds([0.9]) == Estimate(0.9, None, None, None, 1)
    assert over_seeds([0.9]).words == "0.9000 (one seed, no interval)"
    assert over_seeds([0.9, np.nan]).words == "not finite"
    assert over_seeds([0.5, 0.5]).words == "0.5000 with each of 2 seeds"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_s_correction_is_the_closed_test_of_bonferroni_s(p_values):
    """Holm's is the shortcut of a slow procedure: a test counts only if every set of tests that holds it does."""
    places = range(len(p_values))
    sets = [chosen for size in places for chosen in combinations(places, size + 1)]
    slow = [
        max(min(1.0, len(each) * min(p_values[other] for other in each)) for each in sets if place in each)
        for place in places
    ]
    assert holm(p_values) == pytest.approx(slow)


def test_holm_s_correction_equals_r_s():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(p, "holm")
    assert holm([]) == []


def test_scores_equal_scikit_learn_s():
    rng = np.random.default_rng(0)
    y, proba = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    found = score(y, proba)
    assert found.accuracy.estimate == metrics.accuracy_score(y, proba.argmax(1))
    assert found.f1 == pytest.approx(metrics.f1_score(y, proba.argmax(1), average="macro"))
    assert found.log_loss == pytest.approx(metrics.log_loss(y, proba))
    assert found.confusion[1, 2] == ((y == 1) & (proba.argmax(1) == 2)).sum()  # rows true, columns predicted
    assert found.majority == np.bincount(y).max() / 200


def test_a_loss_that_cannot_learn_is_flagged(data):
    """The reference study's fault: 100 epochs at the majority class's share, and a loss near zero to hide it."""
    stuck = train(Trial(hidden=(20,), learning_rate=1e-9, epochs=3), data)
    flag = learning_flag(stuck, data.y_train)
    assert flag is not None
    assert "did not learn: training accuracy" in flag
    good = train(Trial(hidden=(20,), epochs=10), data)
    assert learning_flag(good, data.y_train) is None
    assert study_flag([flag, flag]) is not None
    assert study_flag([flag, None]) is None


def test_a_diverged_trial_is_flagged_with_its_epoch(data):
    lost = train(Trial(hidden=(20, 20), activation="linear", learning_rate=1e6, epochs=3), data)
    assert learning_flag(lost, data.y_train) == f"diverged: the loss was not finite in epoch {lost.diverged_epoch}"


def test_one_model_under_two_names_is_flagged():
    """The reference study's fault: its "identity" row scored the ReLU model again."""
    rng = np.random.default_rng(0)
    y, relu, tanh = rng.integers(0, 2, 50), rng.dirichlet([1, 1], 50), rng.dirichlet([1, 1], 50)
    digests = [
        (name, score(y, proba).prediction_digest)
        for name, proba in (("relu", relu), ("tanh", tanh), ("identity", relu))
    ]
    assert same_model_flags(digests[:2]) == []
    (flag,) = same_model_flags(digests)
    assert flag.startswith("identity and relu gave bit-identical probabilities")
    silent = score(y, np.full((50, 2), 0.5)).prediction_digest  # as of networks that diverged
    assert same_model_flags([("one", silent), ("another", silent)]) == []


@pytest.mark.parametrize(("activation", "theirs"), [("relu", "relu"), ("sigmoid", "logistic"), ("linear", "identity")])
def test_the_peer_trains_with_the_trial_s_own_activation_for_all_its_epochs(data, activation, theirs):
    told = []
    peer = train_sklearn(Trial(hidden=(15,), activation=activation, epochs=4), data, data.X_validation, told.append)
    assert peer.activation == theirs
    assert peer.probabilities.shape == (300, 10)
    assert sum(told) == 4


def test_a_peer_that_diverges_says_nothing_and_stops_nothing(data):
    lost = Trial(hidden=(15,), activation="linear", learning_rate=1000, epochs=4)
    assert (train_sklearn(lost, data, data.X_validation).probabilities == 0.1).all()


def test_a_sample_by_class_keeps_shares_and_order():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    rows = sample_by_class(labels, 100, 0)
    assert np.bincount(labels[rows]).tolist() == [60, 30, 10]
    assert (np.diff(rows) > 0).all()
    assert len(sample_by_class(labels, None, 0)) == 1000
    uneven = np.repeat([0, 1, 2, 3], [997, 7, 1, 1])
    assert np.bincount(uneven[sample_by_class(uneven, 10, 0)], minlength=4).tolist() == [7, 1, 1, 1]


def test_projections_part_what_is_apart_and_tell_their_progress():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (40, 8)), rng.normal(20, 1, (40, 8))])
    points, variance = pca(rows)
    assert variance[0] > 0.9
    assert (points[:40, 0] > 0).all() != (points[40:, 0] > 0).all()
    told: list[int] = []
    points, divergence = tsne(rows, 10, 300, 0, told.append)
    assert divergence > 0
    assert 250 <= sum(told) <= 300
    apart = np.linalg.norm(points[:40].mean(0) - points[40:].mean(0))
    assert apart > points[:40].std()
    with pytest.raises(ConfigError, match=r"tsne.perplexity 100 must be below the 80 rows"):
        tsne(rows, 100, 300, 0)


def test_curves_and_areas_agree_with_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    second = np.clip(y * 0.3 + rng.random(300) * 0.7, 0, 1)
    figure, areas = figures.roc_and_precision_recall(
        y, {"m": np.column_stack([1 - second, second])}, ["no", "yes"], "t"
    )
    assert areas["m"]["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, second))
    figure.savefig(tmp_path / "f.png")
    assert [axis.get_xlabel() for axis in figure.axes] == ["false positive rate", "recall"]


class TestTrainingCurves:
    def draw(self, seeds, quantity="loss"):
        return figures.training_curves({"a": {"train_loss": seeds, "train_accuracy": seeds}}, "Title", quantity)

    def test_the_band_is_the_interval_of_the_mean_at_every_epoch(self):
        seeds = np.exp(np.random.default_rng(0).normal(0, 0.2, (5, 12)))
        figure = self.draw(seeds.tolist())
        (line,), (band,) = figure.axes[0].lines, figure.axes[0].collections
        assert line.get_ydata() == pytest.approx(seeds.mean(axis=0))
        theirs = ttest_1samp(seeds, 0).confidence_interval()
        corners = band.get_paths()[0].vertices
        at_epoch_7 = corners[corners[:, 0] == 7, 1]
        assert (at_epoch_7.min(), at_epoch_7.max()) == pytest.approx((theirs.low[6], theirs.high[6]))
        assert "mean of 5 seeds; bands: 95 % interval" in figure.get_suptitle()

    def test_two_seeds_are_a_range_and_one_has_no_band(self):
        figure = self.draw([[0.5, 0.4], [0.7, 0.2]])
        assert "bands: from one seed to the other" in figure.get_suptitle()
        corners = figure.axes[0].collections[0].get_paths()[0].vertices
        assert set(corners[corners[:, 0] == 1, 1]) == {0.5, 0.7}
        single = self.draw([[0.5, 0.4]])
        assert "one seed, no band" in single.get_suptitle()
        assert len(single.axes[0].collections) == 0

    def test_seeds_that_ended_early_cut_the_panel_and_it_says_so(self):
        figure = self.draw([[0.5, 0.4, 0.3], [0.7, 0.2], [0.6, 0.3, 0.1]])
        assert figure.axes[0].lines[0].get_ydata() == pytest.approx([0.6, 0.3])
        assert figure.axes[0].texts[0].get_text() == "drawn to epoch 2: a seed ended there"

    def test_panels_of_long_labels_do_not_reach_into_each_other(self, tmp_path):
        label = (
            "leaky_relu · layers 256-256-256-256-256-256-256-64 · he init · momentum 0.95 · rate 0.000123 · batch 2048"
        )
        text = wrapped(label, 30)
        assert max(map(len, text.split("\n"))) <= 30
        assert text.replace("\n", "").replace(" · ", "").replace(" ", "") == label.replace(" · ", "").replace(" ", "")
        seed = {"train_loss": [[0.5, 0.4]]}
        figure = figures.training_curves({text: seed} | {f"{text}{i}": seed for i in range(11)}, "Title")
        figure.savefig(tmp_path / "f.png")
        boxes = [axis.title.get_window_extent() for axis in figure.axes]
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])

    def test_a_lost_seed_leaves_the_rest_of_the_figure(self, tmp_path):
        figure = self.draw([[0.5, np.nan], [0.7, np.inf], [0.6, 0.3]])
        figure.savefig(tmp_path / "f.png")
        assert self.draw([[0.9, 0.8], [0.7, 0.9]], "error").axes[0].lines[0].get_ydata() == pytest.approx([0.2, 0.15])


def test_the_summary_s_rows_say_mean_deviation_and_interval():
    losses, accuracies = [0.5, 0.6, 0.7], [0.8, 0.8, 0.9]
    group = {"arm": "a", "label": "x", "best_validation_losses": losses, "best_validation_accuracies": accuracies}
    figure = figures.axis_summary([group], "axis", "Title")
    assert [axis.texts[0].get_text() for axis in figure.axes] == [over_seeds(v).words for v in (losses, accuracies)]
    lost = figures.axis_summary([group | {"best_validation_losses": [0.5, None, 0.7]}], "axis", "Title")
    assert lost.axes[0].texts[0].get_text() == "not finite"


def test_one_poor_row_does_not_squash_the_others_and_stands_as_an_arrow():
    def group(losses, accuracies):
        return {
            "arm": "a",
            "label": "x",
            "best_validation_losses": losses,
            "best_validation_accuracies": accuracies,
        }

    good = [group([0.1 + i / 200, 0.11, 0.12], [0.95 + i / 1000, 0.951, 0.952]) for i in range(9)]
    losses, accuracies = figures.axis_summary([*good, group([0.4, 3.4, 1.0], [0.2, 0.3, 0.2])], "axis", "Title").axes
    assert losses.get_xscale() == "log"
    assert 0.01 < losses.get_xlim()[0] < 0.1
    assert losses.get_xlim()[1] > 3.4
    assert "logarithmic; arrow: goes on beyond the axis" in losses.get_xlabel()
    assert accuracies.get_xlim()[0] > 0.9
    arrows = [(line.get_marker(), *line.get_ydata()) for line in accuracies.lines if line.get_marker() in ("<", ">")]
    assert arrows == [("<", 0)]
    alike = figures.axis_summary(good, "axis", "Title").axes[0]
    assert alike.get_xscale() == "linear"
    assert alike.get_xlabel() == "best validation cross-entropy (nats)"


def test_the_confusion_matrix_says_which_side_is_which():
    figure = figures.confusion_matrix(np.array([[8, 2], [1, 9]]), ["cat", "dog"], "t")
    axis = figure.axes[0]
    assert (axis.get_ylabel(), axis.get_xlabel()) == ("true class (rows)", "predicted class (columns)")
    texts = {tuple(map(round, text.get_position())): text.get_text() for text in axis.texts}
    assert texts[(1, 0)].startswith("2\n")  # column 1, row 0: cats taken for dogs


def test_the_reference_table_has_the_study_s_figures_beside_this_run_s():
    units = {"arm": "study", "label": "20 units", "value": [20], "seeds": 1, "mean_train_loss": 0.2, "mean_validation_loss": 0.3,
             "best_validation_loss": 0.25}  # fmt: skip
    rows = comparison(
        {
            "activations": {
                "dataset": {"name": "mnist"},
                "finals": [{"value": "linear", "seeds": 1, "test_accuracy": 0.92, "sklearn": {"test_accuracy": 0.921}}],
            },
            "hidden_units": {"dataset": {"name": "digits"}, "configurations": [units]},
        }
    )
    table = {(row["part"], row["figure"]): row for row in rows}
    assert table["A", "test accuracy, from scratch"] | {"setting": ""} == {
        "part": "A", "figure": "test accuracy, from scratch", "setting": "", "reference": "0.8163",
        "this_run": "0.9200 (one seed)", "data": "mnist",
    }  # fmt: skip
    assert "a slip" in table["A", "test accuracy, scikit-learn"]["reference"]
    losses = table["B", "average train / validation cross-entropy"]
    assert (losses["reference"], losses["this_run"]) == ("0.292 / 0.562", "0.2 (one seed) / 0.3 (one seed)")
    assert losses["data"] == "digits (the study: letters)"


class TestReferenceLines:
    group: ClassVar = {
        "arm": "a",
        "label": "x",
        "best_validation_losses": [0.5, 0.6],
        "best_validation_accuracies": [0.8, 0.9],
    }

    def test_a_baseline_that_is_near_is_a_line_and_one_far_off_is_named_only(self):
        references = [figures.Reference("near", 0.85, 0.55), figures.Reference("far", 0.1, 2.3)]
        figure = figures.axis_summary([self.group], "axis", "Title", references)
        plain = figures.axis_summary([self.group], "axis", "Title")
        for axis, bare, value in zip(figure.axes, plain.axes, (0.55, 0.85), strict=True):
            assert len(axis.lines) == len(bare.lines) + 1
            assert set(axis.lines[-1].get_xdata()) == {value}
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert legend[0] == "near: loss 0.55, accuracy 0.85"
        assert legend[1] == "far: loss 2.3 (off the axis), accuracy 0.1 (off the axis)"

    def test_the_axis_grows_to_a_baseline_a_little_way_off(self):
        bars = [{"label": "relu", "series": "ours", "accuracy": 0.9, "low": 0.88, "high": 0.92}]
        figure = figures.accuracy_bars(bars, "Title", [figures.Reference("below", 0.85, 1.0)])
        assert figure.axes[0].get_ylim()[0] < 0.85
        assert "below 0.85" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_logistic_regression_takes_fewer_steps_over_very_many_values(data, monkeypatch):
    whole = baselines.logistic_regression(Trial(), data, data.X_validation)
    monkeypatch.setattr(baselines, "_MANY_VALUES", data.X_train.size)
    monkeypatch.setattr(baselines, "_FEWER_STEPS", 2)
    few = baselines.logistic_regression(Trial(), data, data.X_validation)
    theirs = LogisticRegression(max_iter=2).fit(data.X_train, data.y_train).predict_proba(data.X_validation)
    np.testing.assert_allclose(few, theirs)
    assert np.abs(whole - few).max() > 0.1
