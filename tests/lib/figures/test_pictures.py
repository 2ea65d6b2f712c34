"""Confusion matrices, images, rows in the plane and class sizes, also of very many classes."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from lib.evaluation.metrics import most_surely_wrong
from lib.figures.classes import class_distribution
from lib.figures.images import sample_grid, wrong_images
from lib.figures.matrix import clustered_order, confusion_matrix
from lib.figures.plane import scatter
from lib.figures.style import PALETTE


class TestConfusionMatrix:
    def test_says_which_side_is_which(self):
        axis = confusion_matrix(np.array([[8, 2], [1, 9]]), ["cat", "dog"], "t").axes[0]
        assert (axis.get_ylabel(), axis.get_xlabel()) == ("true class (rows)", "predicted class (columns)")
        texts = {tuple(map(round, text.get_position())): text.get_text() for text in axis.texts}
        assert texts[(1, 0)].startswith("2\n")  # column 1, row 0: cats taken for dogs

    @pytest.mark.parametrize("classes", [31, 200, 1000])
    def test_of_many_classes_the_largest_confusions_are_named_beside_a_clustered_matrix(self, classes):
        rng = np.random.default_rng(0)
        confusion = np.diag(rng.integers(50, 90, classes))
        partner = rng.permutation(classes)
        pairs = partner[:20].reshape(10, 2)
        confusion[pairs[:, 0], pairs[:, 1]] += 30 + np.arange(10)
        confusion[pairs[:, 1], pairs[:, 0]] += 1 + np.arange(10)
        figure = confusion_matrix(confusion, [f"class {k}" for k in range(classes)], "t")
        matrix, largest, _ = figure.axes
        named = [tick.get_text() for tick in largest.get_yticklabels()]
        assert named[:10] == [f"class {one} \N{RIGHTWARDS ARROW} class {other}" for one, other in pairs[::-1]]
        assert [bar.get_width() for bar in largest.patches[:10]] == list(range(39, 29, -1))
        assert largest.get_title() == "The 20 largest of 20 confusions"
        assert max(np.asarray(matrix.images[0].get_array()).shape) <= 250
        assert max(figure.get_size_inches()) <= 14
        assert not matrix.texts

    def test_classes_that_are_confused_lie_side_by_side(self):
        confusion = np.diag(np.full(40, 10))
        for one, other in ((0, 39), (5, 20), (20, 5)):
            confusion[one, other] = 8
        place = np.argsort(clustered_order(confusion))
        assert abs(place[0] - place[39]) == abs(place[5] - place[20]) == 1

    def test_of_many_classes_of_which_none_is_confused_it_says_so(self):
        _, largest, _ = confusion_matrix(np.diag(np.arange(40)), [str(k) for k in range(40)], "t").axes
        assert largest.get_title() == "No row is of another class"


def test_a_wrong_image_has_its_class_the_predicted_one_and_how_sure_it_was():
    probabilities = np.array([[0.01, 0.99], [0.2, 0.8]])
    wrong = most_surely_wrong(np.array([0, 0]), probabilities, 5)
    figure = wrong_images(np.zeros((2, 8, 8, 3), np.uint8), wrong, ["cat", "dog"], "Title")
    assert figure.axes[0].get_title() == "true cat\npredicted dog\nwith 99.0%"


class TestPlane:
    points = np.random.default_rng(0).standard_normal((120, 2))

    def legend(self, labels, names):
        figure = scatter(self.points, labels, names, "t", ("x", "y"))
        return [text.get_text() for text in figure.legends[0].get_texts()], figure.axes[0].collections[-1]

    def test_ten_classes_have_a_colour_each(self):
        names, _ = self.legend(np.arange(120) % 10, [f"class {k}" for k in range(10)])
        assert names == [f"class {k}" for k in range(10)]

    def test_of_more_the_most_frequent_are_named_and_no_two_share_a_colour_but_the_rest(self):
        labels = np.concatenate([np.repeat(np.arange(9) + 20, 10), np.arange(30)])
        names, points = self.legend(labels, [f"class {k}" for k in range(30)])
        assert names == [*(f"class {k}" for k in range(20, 29)), "21 other classes"]
        colours, counts = np.unique(points.get_facecolors(), axis=0, return_counts=True)
        assert len(colours) == len(PALETTE)
        assert sorted(counts) == [11] * 9 + [21]


class TestClassDistribution:
    def test_each_class_has_a_bar_in_each_split(self):
        figure = class_distribution({"train": {"cat": 5, "dog": 3}, "test": {"cat": 2, "dog": 1}}, "t")
        assert [bar.get_height() for bar in figure.axes[0].patches] == [5, 3, 2, 1]

    def test_200_classes_are_a_line_in_the_order_of_size(self):
        sizes = np.random.default_rng(0).integers(1, 99, 200).tolist()
        figure = class_distribution({"train": {f"class {k}": size for k, size in enumerate(sizes)}}, "t")
        assert figure.axes[0].lines[0].get_ydata().tolist() == sorted(sizes, reverse=True)
        assert figure.axes[0].get_xlabel() == "200 classes, the largest of each split first"
        assert figure.get_size_inches()[0] <= 12


def test_large_images_are_drawn_small_and_held_one_at_a_time():
    held: list[weakref.ref[np.ndarray]] = []

    def large():
        for shape in [(2000, 4000, 3), (1, 60_000, 3), (60_000, 1)] * 3:
            assert sum(each() is not None for each in held) <= 1
            image = np.zeros(shape, np.uint8)
            held.append(weakref.ref(image))
            yield image

    figure = sample_grid(large(), ["a"] * 9, "t")
    sizes = [axis.images[0].get_array().shape[:2] for axis in figure.axes if axis.images]
    assert sizes == [(256, 512), (1, 512), (512, 1)] * 3
