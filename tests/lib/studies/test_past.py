"""Why a study has no record yet: the settings and inputs in which it differs from the nearest earlier one."""

from __future__ import annotations

import json

import pytest

from lib.studies.identity import NAME, Identity, note_stage_time, read_origin
from lib.studies.past import past_records, records_of_key, why_to_do
from tests.records import identity_of, seal_record


def test_nothing_recorded_yet_is_said_to_be_so(tmp_path):
    assert why_to_do(tmp_path, identity_of(rate=0.1)) == "nothing of it is recorded yet"


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"rate": 0.2}, "learning_rates.rate 0.1 -> 0.2"),
        ({"rate": 0.1, "seeds": [0, 1]}, "learning_rates.seeds [0] -> [0, 1]"),
        ({"rate": 0.1, "data": "b" * 64}, "data digest aaaaaaaaaaaa -> bbbbbbbbbbbb"),
        ({"rate": 0.1, "data": "b" * 64, "path": "/new"}, "learning_rates.data.path /old -> /new"),
        (
            {"rate": 0.1, "seeds": [1], "units": 4, "depth": 2, "width": 3},
            "learning_rates.seeds [0] -> [1], learning_rates.units none -> 4, learning_rates.depth none -> 2, and 1 more",
        ),
    ],
)
def test_the_settings_and_digests_that_changed_are_told(wanted, told, tmp_path):
    seal_record(tmp_path, identity_of(rate=0.1))
    assert why_to_do(tmp_path, identity_of(**wanted)) == told


def test_the_nearest_of_several_records_is_compared_with(tmp_path):
    seal_record(tmp_path, identity_of(rate=0.5, seeds=[0, 1]))
    seal_record(tmp_path, identity_of(rate=0.1))
    seal_record(tmp_path, identity_of(rate=0.7, seeds=[3]))
    assert why_to_do(tmp_path, identity_of(rate=0.1, seeds=[0, 1])) in (
        "learning_rates.rate 0.5 -> 0.1",
        "learning_rates.seeds [0] -> [0, 1]",
    )


def test_where_the_same_data_lies_is_no_difference_that_counts(tmp_path):
    seal_record(tmp_path, identity_of(rate=0.1))
    assert why_to_do(tmp_path, identity_of(rate=0.2, path="/new")) == "learning_rates.rate 0.1 -> 0.2"


def test_the_network_that_a_map_is_of_is_told_by_its_settings(tmp_path):
    parts = {"activations": {"epochs": 4}, "tsne": {"sample": 100}}
    digests = {"activations": "a" * 64, "data": "d" * 64}
    seal_record(tmp_path, Identity("tsne", {"sample": 100}, digests, parts))
    wanted = Identity(
        "tsne", {"sample": 100}, digests | {"activations": "b" * 64}, parts | {"activations": {"epochs": 5}}
    )
    assert why_to_do(tmp_path, wanted) == "activations.epochs 4 -> 5"


def test_older_records_and_records_without_settings_are_said_to_be_so(tmp_path):
    record = seal_record(tmp_path, identity_of(rate=0.1))
    (record.folder / NAME).unlink()
    assert why_to_do(tmp_path, identity_of(rate=0.2)) == "earlier records do not tell their settings"
    path = record.folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    assert "has format 1, now " in why_to_do(tmp_path, identity_of(rate=0.2))
    path.write_text("{")
    assert past_records(tmp_path, "learning_rates") == []
    assert why_to_do(tmp_path, identity_of(rate=0.1)) == "its record is damaged"
    assert why_to_do(tmp_path, identity_of(rate=0.2)) == "1 earlier record could not be read"
    seal_record(tmp_path, identity_of(rate=0.3))
    told = "learning_rates.rate 0.3 -> 0.2; 1 earlier record could not be read"
    assert why_to_do(tmp_path, identity_of(rate=0.2)) == told


def test_a_record_is_found_by_its_key_or_the_beginning_of_it(tmp_path):
    record, other = (seal_record(tmp_path, identity_of(rate=rate)) for rate in (0.1, 0.2))
    for wanted in (record.key, record.key[:16], record.key[:6], record.key[:40]):
        assert records_of_key(tmp_path, wanted) == [record.folder]
    for wanted in (record.key[:5], f"{record.key[:20]}{other.key[20:]}", "*" * 8, "../" * 3, ""):
        assert records_of_key(tmp_path, wanted) == []
    twin = record.folder.parent.parent / "activations" / record.folder.name
    twin.mkdir(parents=True)
    (twin / "record.json").write_bytes((record.folder / "record.json").read_bytes())
    assert len(records_of_key(tmp_path, record.key[:8])) == 2


def test_a_stage_s_time_is_kept_by_who_made_the_record_and_by_nobody_after(tmp_path):
    record = seal_record(tmp_path, identity_of(rate=0.1))
    made = (record.folder / NAME).stat().st_mtime
    note_stage_time(record.folder, 1.5, made + 1)  # a later stage, which found the record
    assert read_origin(record.folder).stage_seconds is None
    note_stage_time(record.folder, 2.5, made - 1)
    note_stage_time(record.folder, 3.5, made - 1)
    assert read_origin(record.folder).stage_seconds == 2.5
    again = seal_record(tmp_path, identity_of(rate=0.1))  # the folder was there: gone on with, so not timed
    assert read_origin(again.folder).seconds is None
