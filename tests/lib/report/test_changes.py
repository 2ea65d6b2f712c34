"""What changed between two runs, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.graph.history import DataChange, data_changes
from lib.report.changes import data_words
from lib.studies.study import DatasetNote


def pets(train: int, *classes: str, digest: str = "a") -> DatasetNote:
    return DatasetNote("pets", digest, "a folder", classes, {"train": train, "test": 100})


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (pets(800, "cat"), pets(900, "cat", "dog"), "pets 900 -> 1,000 images (class dog added)"),
        (pets(900, *"abcd"), pets(900, "e"), "pets 1,000 images as before, other content (class e added; "
         "classes a, b, c and 1 more removed)"),
        (pets(800, "cat"), pets(700, "cat"), "pets 900 -> 800 images"),
        (None, pets(900, "cat"), "pets new, 1,000 images"),
        (pets(900, "cat"), None, "pets no longer there"),
    ],
)  # fmt: skip
def test_a_dataset_that_changed_is_told_by_its_images_and_classes(before, after, words):
    assert data_words(DataChange(before, after)) == words


def test_datasets_of_one_name_and_renamed_ones_are_held_apart_by_their_content():
    (a, b, c), other = (pets(100, "cat", digest=digest) for digest in "abc"), replace(pets(100, "cat"), name="other")
    assert list(data_changes([a, b], [c, b])) == [DataChange(a, c)], "the second of one name is as it was"
    assert list(data_changes([a], [other])) == [], "the same content"
    assert list(data_changes([a, b], [a])) == [DataChange(b, None)]
    assert list(data_changes([a], [a, b])) == [DataChange(None, b)]
