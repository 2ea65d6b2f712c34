"""A whole run as a record: which records it is of, and what is shown of it."""

from __future__ import annotations

import pytest

from lib.errors import ConfigError, DataError
from lib.graph import leaderboard, studies_of, summarise
from lib.profile import parse_profile
from lib.studies.presentation import markdown
from lib.studies.record import open_record
from tests.lib.graph.conftest import TINY, tiny_profile


def test_a_run_names_its_records_by_their_keys_and_they_are_found_beside_it(ran):
    _, records, run = ran
    assert run.result.studies == {name: record.key for name, record in records.items()}
    assert studies_of(run) == dict(records)
    assert open_record(run.folder) == run
    with pytest.raises(DataError, match="not of a whole run"):
        studies_of(records["look"])


def test_one_line_a_study_and_every_warning_is_shown(ran):
    _, records, run = ran
    shown = run.present()
    assert shown.title == "Profile tiny"
    text = markdown(shown)
    for name, record in records.items():
        assert f"| {name} | " in text
        assert len([each for each in shown.warnings if each.startswith(f"{name}: ")]) == run.result.warnings[name]
        assert run.result.warnings[name] == len(record.present().warnings)
    assert shown.parent.metrics == records["look"].present().parent.metrics, (
        "nothing is promoted: the first stands for it"
    )


def test_the_leaderboard_is_a_picture_of_the_run(small_run):
    first, second = small_run.record.figures
    assert (first.file, second.file) == ("leaderboard.svg", "leaderboard-2.svg")
    drawn = (small_run.record.folder / "figures" / first.file).read_text(encoding="utf-8")
    entries = [each for each in leaderboard(small_run.records, "classifier") if each.data == "photo-patches"]
    for entry in entries:
        assert f"{entry.model} on {entry.input}" in drawn
    assert drawn.count("(chosen)") >= 1


def test_the_same_run_is_found_again_and_another_profile_is_another_run(ran):
    where, records, run = ran
    assert summarise(tiny_profile(), records, where) == run
    other = summarise(parse_profile(TINY | {"name": "other"}), records, where)
    assert other.key != run.key
    assert not other.result.built_in


def test_a_run_is_held_against_the_claims_that_its_profile_names(ran):
    where, records, _ = ran
    judged = summarise(parse_profile(TINY | {"claims": "reference-study"}), records, where)
    assert judged.result.judged.name == "reference-study"
    assert summarise(tiny_profile(), records, where).result.judged is None


def test_no_study_of_a_profile_can_be_a_whole_run():
    with pytest.raises(ConfigError, match="unknown kind of study 'pipeline'"):
        parse_profile(TINY | {"studies": {"again": {"kind": "pipeline"}}})
