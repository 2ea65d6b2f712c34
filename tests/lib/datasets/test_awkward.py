"""Awkward inputs through every source that can hold them: taken right or refused in one line, the same ahead and by predict."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from flows.predict import find_images
from lib.datasets import Why, acquire, splits_ahead
from lib.datasets.sources import ImageFolder
from lib.errors import ConfigError, DataError
from tests.awkward import ROWS, Refused, Row, written

EACH = [pytest.param(row, holder, id=f"{row.name}-{holder}") for row in ROWS for holder in row.holders]


@pytest.mark.parametrize(("row", "holder"), EACH)
def test_each_is_taken_right_or_refused_in_one_line(row: Row, holder: str, tmp_path):
    source = written(row, holder, tmp_path)
    if isinstance(row.right, Refused):
        for _ in range(2):  # the second time by what is remembered of the first
            with pytest.raises(DataError, match=row.right.words) as caught:
                acquire(source, tmp_path / "data")
            assert "\n" not in str(caught.value)
        return
    ahead = splits_ahead(source, tmp_path / "data")
    assert ahead is None or ahead == tuple(row.right.splits)
    digests = set()
    for _ in range(2):
        data = acquire(source, tmp_path / "data")
        digests.add(data.digest)
        assert data.class_names == tuple(row.right.classes)
        assert data.understood.splits == row.right.splits
        assert {each.why: each.count for each in data.reading.left_out} == row.right.left_out
        assert row.right.warns in "; ".join(data.warnings)
        assert bool(data.warnings) == bool(row.right.warns)
    assert len(digests) == 1


@pytest.mark.parametrize("row", [row for row in ROWS if "folder" in row.holders], ids=lambda row: row.name)
def test_predict_takes_for_images_what_training_does(row: Row, tmp_path):
    settings = dict(row.settings) | {"unreadable": "quarantine"}
    source = written(replace(row, settings=settings), "folder", tmp_path)
    if row.name in ("tars", "hidden classes"):
        with pytest.raises(ConfigError, match="holds no image"):
            find_images([source.path])
        return
    found = find_images([source.path])
    names = [str(path.relative_to(source.path)) for path in found.images]
    told = {*found.images, *found.left_out}
    assert len(told) == len(found.images) + len(found.left_out)
    assert all(told & {path, *path.parents} for path in Path(source.path).rglob("*") if path.is_file())
    try:
        data = acquire(source, tmp_path / "data")
    except DataError:
        return  # refused for its layout
    trained = [split.images.name(row) for split in data.splits.values() for row in range(len(split))]
    set_aside = [] if data.quarantined is None else data.quarantined["name"].to_pylist()
    assert set(trained) | set(set_aside) <= set(names)
    no_images = {
        name for left in data.reading.left_out if left.why in (Why.NO_IMAGE, Why.HIDDEN) for name in left.examples
    }
    assert not [name for name in names if any(name.startswith(each) for each in no_images)]


_ADVICE = re.compile(r'set (?:splits: (\{.*?"\})|classes: (\[.*?\])|path: (\S+)$)')
_ADVISED = [row for row in ROWS if isinstance(row.right, Refused) and "folder" in row.holders]


@pytest.mark.parametrize("row", _ADVISED, ids=lambda row: row.name)
def test_what_a_refusal_advises_works(row: Row, tmp_path):
    source = written(row, "folder", tmp_path)
    with pytest.raises(DataError) as caught:
        acquire(source, tmp_path / "data")
    for splits, classes, path in _ADVICE.findall(str(caught.value)):
        if "…" in splits + classes:
            continue
        advised = {"splits": splits, "classes": classes, "path": path}
        given = {name: yaml.safe_load(value) for name, value in advised.items() if value}
        assert acquire(ImageFolder.model_validate({**source.model_dump(), **given}), tmp_path / "data").splits
