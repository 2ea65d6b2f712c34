"""Awkward inputs through every source that can hold them: taken right, or refused in one line, and the same ahead."""

from __future__ import annotations

import pytest

from lib.datasets import acquire, splits_ahead
from lib.errors import DataError
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
