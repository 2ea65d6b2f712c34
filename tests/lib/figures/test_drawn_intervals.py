"""Configurations and models in rows: what stands beside them, and where an axis ends."""

from __future__ import annotations

import math

from lib.evaluation.intervals import over_seeds, wilson
from lib.figures.intervals import BaselineLine, ModelRow, SummaryRow, axis_summary, model_accuracies


def test_the_summary_s_rows_have_mean_deviation_and_interval():
    losses, accuracies = [0.5, 0.6, 0.7], [0.8, 0.8, 0.9]
    figure = axis_summary([SummaryRow("a", "x", losses, accuracies)], "axis", "Title")
    assert [axis.texts[0].get_text() for axis in figure.axes] == [over_seeds(v).words for v in (losses, accuracies)]
    lost = axis_summary([SummaryRow("a", "x", [0.5, math.nan, 0.7], accuracies)], "axis", "Title")
    assert lost.axes[0].texts[0].get_text() == "not finite"


def test_of_one_seed_there_is_no_interval_and_the_title_says_so():
    figure = axis_summary([SummaryRow("a", "x", [0.5], [0.8])], "axis", "Title")
    assert [axis.texts[0].get_text() for axis in figure.axes] == ["0.5000", "0.8000"]
    assert "one seed, no interval" in figure.get_suptitle()


def test_one_poor_row_does_not_squash_the_others_and_stands_as_an_arrow():
    good = [SummaryRow("a", "x", [0.1 + i / 200, 0.11, 0.12], [0.95 + i / 1000, 0.951, 0.952]) for i in range(9)]
    poor = SummaryRow("a", "x", [0.4, 3.4, 1.0], [0.2, 0.3, 0.2])
    losses, accuracies = axis_summary([*good, poor], "axis", "Title").axes
    assert losses.get_xscale() == "log"
    assert 0.01 < losses.get_xlim()[0] < 0.1
    assert losses.get_xlim()[1] > 3.4
    assert "logarithmic; arrow: goes on beyond the axis" in losses.get_xlabel()
    assert accuracies.get_xlim()[0] > 0.9
    arrows = [(line.get_marker(), *line.get_ydata()) for line in accuracies.lines if line.get_marker() in ("<", ">")]
    assert arrows == [("<", 0)]
    alike = axis_summary(good, "axis", "Title").axes[0]
    assert alike.get_xscale() == "linear"
    assert alike.get_xlabel() == "best validation cross-entropy (nats)"


def test_more_variants_than_colours_are_drawn():
    rows = [SummaryRow(f"variant {index}", "x", [0.5, 0.6], [0.8, 0.9]) for index in range(12)]
    names = [tick.get_text() for tick in axis_summary(rows, "axis", "Title").axes[0].get_yticklabels()]
    assert names[0] == "variant 0: x"


class TestBaselineLines:
    row = SummaryRow("a", "x", [0.5, 0.6], [0.8, 0.9])

    def test_a_baseline_that_is_near_is_a_line_and_one_far_off_is_named_only(self):
        lines = [BaselineLine("near", 0.85, 0.55), BaselineLine("far", 0.1, 2.3)]
        figure, plain = axis_summary([self.row], "axis", "Title", lines), axis_summary([self.row], "axis", "Title")
        for axis, bare, value in zip(figure.axes, plain.axes, (0.55, 0.85), strict=True):
            assert len(axis.lines) == len(bare.lines) + 1
            assert set(axis.lines[-1].get_xdata()) == {value}
        legend = figure.legends[0]
        assert [text.get_text() for text in legend.get_texts()] == [
            "near: loss 0.55, accuracy 0.85",
            "far: loss 2.3, accuracy 0.1",
        ]

    def test_the_axis_grows_to_a_baseline_a_little_way_off(self):
        figure = axis_summary([self.row], "axis", "Title", [BaselineLine("below", 0.72, 0.55)])
        assert figure.axes[1].get_xlim()[0] < 0.72


def test_a_model_of_one_seed_has_its_interval_over_rows_and_one_of_several_that_over_seeds():
    rows = [
        ModelRow("network", "best", [0.90, 0.92, 0.91], wilson(90, 100)),
        ModelRow("baseline", "majority", [0.6], wilson(60, 100)),
    ]
    figure = model_accuracies(rows, "Title")
    first, second = (text.get_text() for text in figure.axes[0].texts)
    interval = wilson(60, 100)
    assert first == over_seeds([0.90, 0.92, 0.91]).words
    assert second == f"0.6000 ({interval.low:.4f} to {interval.high:.4f})"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["network", "baseline"]
    assert figure.axes[0].get_xlabel().startswith("test accuracy")
    assert figure.axes[0].get_xlim()[0] < 0.6
