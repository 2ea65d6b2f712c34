"""What a node is given, and that a node that is done is not done again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib.errors import DataError
from lib.graph import ready_node
from lib.profile import parse_profile
from lib.studies.record import read_origin
from tests.image_files import write_images
from tests.lib.graph.conftest import TINY, tiny_profile


def test_a_study_is_given_the_record_and_the_data_at_the_root_of_it(ran):
    where, records, _ = ran
    given = ready_node(tiny_profile(), "map", where).inputs["of"]
    assert given.record == records["rates"]
    assert given.dataset.digest == records["rates"].dataset.digest
    assert given.digest == records["rates"].key
    assert given.feature_set is None


def test_a_node_that_is_done_is_found_and_has_no_work_left(ran):
    where, records, _ = ran
    for name, record in records.items():
        node = ready_node(tiny_profile(), name, where)
        assert node.finished() == node.run() == record
        assert node.work() is None


def test_a_node_before_what_it_needs_is_refused_in_one_line(where):
    with pytest.raises(DataError, match=r"rates/[0-9a-f]{16} holds no finished study; run the study first"):
        ready_node(tiny_profile(), "map", where)


def test_a_node_carries_the_part_of_the_profile_that_it_needs_with_absolute_paths(where, tmp_path, monkeypatch):
    write_images(tmp_path / "pets", ("a", "b"), 12)
    monkeypatch.chdir(tmp_path)
    look = TINY["studies"]["look"] | {"on": "pets"}
    data = TINY["data"] | {"pets": {"source": "folder", "path": "pets"}}
    node = ready_node(parse_profile(TINY | {"data": data, "studies": TINY["studies"] | {"look": look}}), "look", where)
    record = node.run()
    origin = read_origin(record.folder)
    assert origin is not None
    assert origin.identity.profile == node.profile
    assert {name: list(node.profile[name]) for name in ("data", "features", "studies")} == {
        "data": ["pets"],
        "features": [],
        "studies": ["look"],
    }
    monkeypatch.chdir(os.sep)
    assert Path(node.profile["data"]["pets"]["path"]) == tmp_path / "pets"
    assert ready_node(parse_profile(node.profile), "look", where).folder.key == record.key
