"""What changed between two runs, in words."""

from __future__ import annotations

import pytest

from lib.graph.history import DataChange
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
