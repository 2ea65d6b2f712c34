"""The tasks of a node without a server: what is cut for workers, what a worker refuses, and data that changes on the way."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prefect.logging import disable_run_logger

from lib.errors import ChangedError, DataError
from lib.graph import ready_node
from lib.places import Workers, places
from lib.profile import parse_profile
from tasks import node as tasks
from tests.image_files import write_images
from tests.small_profile import SMALL


@pytest.fixture
def where(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(tasks, "workers_online", lambda pool, flow: 3)
    with disable_run_logger():
        yield places()


def cut(profile, name, where, **workers):
    node = ready_node(profile, name, where)
    return tasks._cut(name, node.work(), Workers(pool="gpu", **workers))


def test_pieces_hold_what_is_missing_one_for_each_worker_unless_they_were_too_small(small, where):
    pieces = cut(small, "fc8", where, chunk_images=100)
    assert [piece["title"] for piece in pieces] == [f"fc8 chunk {number} of 3" for number in (1, 2, 3)]
    shards = [index for piece in pieces for index in piece["positions"]]
    assert shards == list(range(len(shards)))
    assert len(cut(small, "fc8", where, chunks=2, chunk_images=100)) == 2
    assert cut(small, "fc8", where, chunks=2) == []  # one piece, which who does the whole node does as well
    part = dict(ready_node(small, "fc8", where).profile)
    assert tasks.do.fn(part, "fc8", pieces[0]["positions"], pieces[0]["key"]) == {"done": len(pieces[0]["positions"])}
    left = [piece["title"] for piece in cut(small, "fc8", where, chunk_images=100)]
    assert left == ["fc8 chunk 2 of 3", "fc8 chunk 3 of 3"]


@pytest.mark.parametrize("name", ["fc8", "hidden_units"])
def test_pieces_and_then_the_whole_give_the_record_of_an_inline_run(small, where, name, tmp_path, monkeypatch):
    part = dict(ready_node(small, name, where).profile)
    pieces = cut(small, name, where, chunks=2, chunk_images=100)
    assert len(pieces) == 2
    for piece in pieces:
        tasks.do.fn(part, name, piece["positions"], piece["key"])
    whole = ready_node(small, name, where)
    assert tasks.do.fn(part, name, None, whole.folder.key) == {"done": 1}
    record = whole.finished()
    assert cut(small, name, where) == []
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "inline"))
    inline = ready_node(small, name, places()).run()
    assert (record.key, record.present().headline.split(",")[0]) == (
        inline.key,
        inline.present().headline.split(",")[0],
    )


def test_a_kind_that_cannot_be_cut_has_no_pieces(small, where):
    assert cut(small, "exploration", where) == []


def test_a_worker_refuses_what_has_another_key_where_it_was_cut(small, where):
    part = dict(ready_node(small, "fc8", where).profile)
    for positions in ([0], None):
        with pytest.raises(DataError, match="on this worker and 0000000000000000 where its work was cut"):
            tasks.do.fn(part, "fc8", positions, "0" * 64)


@pytest.mark.parametrize(("changes", "ends_well"), [(3, True), (4, False)])
def test_data_that_changes_is_verified_anew_three_times(small, where, monkeypatch, changes, ends_well):
    verified, left = [], [ChangedError("a.png is another file by now")] * changes

    def changing(*given):
        verified.append(given)
        node = ready_node(*given)
        return SimpleNamespace(run=lambda: node.run() if not left else _raise(left.pop()))

    monkeypatch.setattr(tasks, "ready_node", changing)
    if ends_well:
        tasks.run_here.fn(small, "exploration")
    else:
        with pytest.raises(ChangedError):
            tasks.run_here.fn(small, "exploration")
    assert len(verified) == 4


def _raise(error):
    raise error


def test_an_image_that_is_overwritten_while_it_is_extracted_is_extracted_as_it_is_then(where, tmp_path, monkeypatch):
    pets = write_images(tmp_path / "pets", ("a", "b"), 12)
    features = {"fc8": SMALL["features"]["fc8"] | {"of": "pets"}}
    profile = parse_profile(
        {"name": "pets", "data": {"pets": {"source": "folder", "path": str(pets)}}, "features": features}
    )
    victim, other = pets / "a" / "0.png", write_images(tmp_path / "new", ("a",), 30) / "a" / "29.png"
    keys = []

    def overwritten(*given):
        node = ready_node(*given)
        keys.append(node.folder.key)
        if len(keys) == 1:
            victim.write_bytes(other.read_bytes())
        return node

    monkeypatch.setattr(tasks, "ready_node", overwritten)
    folder = tasks.run_here.fn(profile, "fc8")
    assert len(set(keys)) == len(keys) == 2
    monkeypatch.setenv("PROBEFLOW_DATA", str(tmp_path / "inline"))
    assert folder.endswith(ready_node(profile, "fc8", places()).run().key[:16])


def test_a_node_logs_a_line_when_it_begins_and_one_when_it_ends(small, where, caplog):
    caplog.set_level("INFO", logger="lib.progress")
    tasks.run_here.fn(small, "exploration")
    begun, done = [record.getMessage() for record in caplog.records if record.name == "lib.progress"]
    assert begun == "exploration (exploration): begins"
    assert done.startswith("exploration (exploration): ")
    assert done.endswith(" s]")
