"""Training curves: bands against SciPy, seeds that ended early, labels that are long."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from lib.figures.curves import Panel, training_curves


def histories(seeds) -> list[list[dict[str, float]]]:
    """Records of epochs whose losses and accuracies are these; the watched rows' losses are twice as high."""
    return [
        [{"train_loss": x, "train_accuracy": x, "validation_loss": 2 * x, "validation_accuracy": x / 2} for x in seed]
        for seed in seeds
    ]


class TestTrainingCurves:
    def draw(self, seeds, quantity="loss"):
        return training_curves([Panel("a", histories(seeds))], "Title", quantity)

    def test_the_band_is_the_interval_of_the_mean_at_every_epoch(self):
        seeds = np.exp(np.random.default_rng(0).normal(0, 0.2, (5, 12)))
        figure = self.draw(seeds.tolist())
        line, band = figure.axes[0].lines[0], figure.axes[0].collections[0]
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
        label = "leaky_relu · layers 256-256-256\n256-256-256-64 · he init · mom\nentum 0.95 · a name without end and blanks"
        figure = training_curves([Panel(label, histories([[0.5, 0.4]]))] * 12, "Title")
        figure.savefig(tmp_path / "f.png")
        boxes = [axis.title.get_window_extent() for axis in figure.axes]
        assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])

    def test_a_lost_seed_leaves_the_rest_of_the_figure(self, tmp_path):
        figure = self.draw([[0.5, np.nan], [0.7, np.inf], [0.6, 0.3]])
        figure.savefig(tmp_path / "f.png")
        assert self.draw([[0.9, 0.8], [0.7, 0.9]], "error").axes[0].lines[0].get_ydata() == pytest.approx([0.2, 0.15])

    def test_the_watched_rows_have_the_name_they_are_given(self):
        figure = training_curves([Panel("a", histories([[0.5, 0.4]]))], "Title", "loss", "test")
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "test"]
        assert figure.axes[0].lines[1].get_ydata() == pytest.approx([1.0, 0.8])

    def test_two_configurations_of_one_label_have_a_panel_each(self):
        figure = training_curves([Panel("a", histories([[0.5, 0.4]])), Panel("a", histories([[0.3, 0.2]]))], "Title")
        assert [axis.lines[0].get_ydata()[0] for axis in figure.axes] == [0.5, 0.3]
