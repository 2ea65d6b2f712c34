"""Why a node has no record yet: the settings and inputs in which it differs from the nearest earlier one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from lib.datasets import acquire
from lib.graph.outlook import Outlook
from lib.graph.past import differences, past_records, records_of_key, value_words, why_to_do
from lib.profile import parse_profile
from lib.studies.record import ORIGIN, note_node_time, read_origin
from lib.studies.study import kind_named
from tests.image_files import write_images
from tests.lib.graph.conftest import TINY, run_all, tiny_profile


def wanted(profile, name, where):
    """What decides the record that a run of the node would make."""
    datasets = {node: acquire(source, where.data) for node, source in profile.data.items()}
    identity = Outlook(profile, datasets, where).identity(name)
    assert identity is not None
    return identity


def why(profile, name, where):
    return why_to_do(where.studies, wanted(profile, name, where))


def test_nothing_recorded_yet_is_said_to_be_so(where):
    assert why(tiny_profile(), "rates", where) == "nothing of it is recorded yet"


@pytest.mark.parametrize(
    ("name", "studies", "told"),
    [
        ("rates", {"rates": {"seeds": [0, 1]}}, "studies.rates.seeds [0] -> [0, 1]"),
        ("look", {"look": {"grid": 9, "scatter": 60}}, "studies.look.grid 4 -> 9, studies.look.scatter 50 -> 60"),
        ("map", {"rates": {"seeds": [1]}}, "studies.rates.seeds [0] -> [1]"),
        ("map", {"look": {"grid": 9}, "map": {"seed": 1}}, "studies.map.seed 0 -> 1"),
    ],
)
def test_the_settings_that_changed_are_told_by_their_place_in_the_profile(name, studies, told, ran):
    assert why(tiny_profile(**studies), name, ran[0]) == told


def test_more_than_three_are_counted(ran):
    changed = tiny_profile(map={"seed": 1, "sample": 50, "perplexity": 4, "iterations": 270})
    assert why(changed, "map", ran[0]).endswith(", and 1 more")


def test_the_nearest_of_several_records_is_compared_with(copied):
    run_all(tiny_profile(look={"grid": 9, "scatter": 70}), copied)
    assert why(tiny_profile(look={"grid": 9, "scatter": 60}), "look", copied) == "studies.look.scatter 70 -> 60"


@pytest.fixture
def pets(where, tmp_path):
    """A profile of a folder of images, explored; and that folder."""

    def profile(path, scatter=50):
        look = TINY["studies"]["look"] | {"on": "pets", "scatter": scatter}
        return parse_profile(
            {"name": "pets", "data": {"pets": {"source": "folder", "path": str(path)}}, "studies": {"look": look}}
        )

    folder = write_images(tmp_path / "pets", ("a", "b"), 12)
    run_all(profile(folder), where)
    return profile, folder


def test_where_the_same_data_lies_is_no_difference_that_counts(pets, where, tmp_path):
    profile, folder = pets
    shutil.copytree(folder, tmp_path / "moved")
    assert why(profile(tmp_path / "moved", scatter=40), "look", where) == "studies.look.scatter 50 -> 40"


def test_other_data_is_told_by_its_settings_or_else_by_its_digest(pets, where, tmp_path):
    profile, folder = pets
    other = write_images(tmp_path / "other", ("a", "c"), 12)
    assert why(profile(other), "look", where) == f"data.pets.path {short(folder)} -> {short(other)}"
    image = next((folder / "a").iterdir())
    image.rename(folder / "b" / f"moved-{image.name}")
    assert why(profile(folder), "look", where).startswith("on digest ")


def short(path):
    text = str(path)
    return text if len(text) <= 40 else f"{text[:39]}…"


def test_a_whole_run_is_told_by_the_studies_that_changed(ran, where):
    _, _, run = ran
    origin = read_origin(run.folder)
    assert origin is not None
    identity = origin.identity
    changed = {**identity.digests, "rates": "0" * 64}
    other = type(identity)(identity.kind, identity.name, identity.version, identity.settings, changed, identity.profile)
    assert differences(other, origin) == ["rates changed"]


def test_a_whole_run_is_compared_with_those_of_its_own_profile(ran):
    where, _, run = ran
    identity = read_origin(run.folder).identity
    for settings, told in (
        ({"promote": "rates"}, "promote none -> rates"),
        ({"name": "another"}, "nothing of it is recorded yet"),
    ):
        assert why_to_do(where.studies, replace(identity, settings=identity.settings | settings)) == told


@pytest.mark.parametrize("wrapped", [str, lambda address: [address]])
def test_no_secret_of_an_address_is_told_cut_or_whole(wrapped):
    shown = value_words(wrapped(f"https://me:{'secret' * 20}@host/pets.zip"))
    assert "secret" not in shown
    assert "https://host/pets.zip" in shown
    assert value_words("zip://*::https://me:secret@host/pets.zip?signature=1") == "zip://*::https://host/pets.zip"


def test_older_and_damaged_records_are_said_to_be_so(copied):
    profile = tiny_profile(look={"grid": 9})
    (record,) = past_records(copied.studies, "look")
    (record.folder / ORIGIN).unlink()
    assert why(profile, "look", copied) == "earlier records do not tell their settings"
    path = record.folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 0}))
    assert f"has version 0, now {kind_named('exploration').version}" in why(profile, "look", copied)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    assert "has format 1, now " in why(profile, "look", copied)
    path.write_text("{")
    assert past_records(copied.studies, "look") == []
    assert why(tiny_profile(), "look", copied) == "its record is damaged"
    assert why(profile, "look", copied) == "1 earlier record could not be read"


def test_a_record_is_found_by_its_key_or_the_beginning_of_it(copied, ran):
    record, other = ran[1]["look"], ran[1]["rates"]
    folder = copied.studies / "look" / record.folder.name
    for given in (record.key, record.key[:16], record.key[:6], record.key[:40]):
        assert records_of_key(copied.studies, given) == [folder]
    for given in (record.key[:5], f"{record.key[:20]}{other.key[20:]}", "*" * 8, "../" * 3, ""):
        assert records_of_key(copied.studies, given) == []
    shutil.copytree(folder, copied.studies / "glance" / folder.name)
    assert len(records_of_key(copied.studies, record.key[:8])) == 2


def test_a_node_s_time_is_kept_by_who_made_the_record_and_by_nobody_after(copied):
    (record,) = past_records(copied.studies, "look")
    made = (record.folder / ORIGIN).stat().st_mtime
    note_node_time(record.folder, 1.5, made + 1)  # a later node, which found the record
    assert read_origin(record.folder).node_seconds is None
    note_node_time(record.folder, 2.5, made - 1)
    note_node_time(record.folder, 3.5, made - 1)
    assert read_origin(record.folder).node_seconds == 2.5
