"""Text of a user in figures: shown as it is, whatever matplotlib would make of it."""

from __future__ import annotations

import io
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from lib.figures.classes import class_distribution
from lib.figures.images import sample_grid
from lib.figures.intervals import Row, Spread, ranked
from lib.figures.matrix import confusion_matrix
from lib.figures.plane import scatter
from lib.figures.style import plain, plain_lines, shown
from lib.figures.vector import describe, svg_bytes

NAMES = ("$x$ and $y$", "_hidden", "a^2_b", "50 $", r"back\slash")


def pictures():
    image = np.zeros((4, 4), np.uint8)
    yield class_distribution({"train": dict.fromkeys(NAMES, 3)}, "t")
    yield scatter(np.eye(5, 2), np.arange(5), NAMES, "t", ("x", "y"))
    yield confusion_matrix(np.eye(5, dtype=np.int64), NAMES, "t")
    yield sample_grid([image] * 5, NAMES, "t")
    yield ranked([Row("v", name, Spread([0.8, 0.9], 0.7, 1.0)) for name in NAMES], "t", "accuracy")


@pytest.mark.parametrize("figure", list(pictures()), ids=["classes", "plane", "matrix", "images", "intervals"])
def test_names_are_shown_as_they_are_in_pictures_and_in_words(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a letter without a glyph, a label that the legend leaves out
        figure.savefig(io.BytesIO(), format="png")
    drawn = [shown("".join(element.itertext())) for element in ElementTree.fromstring(svg_bytes(figure)).iter()]
    for name in NAMES:
        assert any(text.strip() == name for text in drawn)
        assert name in describe(figure)


def test_a_legend_keeps_a_name_with_a_leading_underscore():
    figure = scatter(np.eye(5, 2), np.arange(5), NAMES, "t", ("x", "y"))
    assert [shown(text.get_text()) for text in figure.legends[0].get_texts()] == list(NAMES)


def test_long_names_end_in_an_ellipsis_in_each_line():
    assert plain_lines("short\nvery long line", 9) == "short\nvery lon…"
    long = "a class whose name is much longer than there is room for"
    figure = sample_grid([np.zeros((4, 4), np.uint8)] * 8, [long] * 8, "t")
    figure.savefig(io.BytesIO(), format="png")
    boxes = [axis.title.get_window_extent() for axis in figure.axes]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])


def test_what_is_shown_is_what_was_given():
    assert [shown(plain(name)) for name in NAMES] == list(NAMES)
