"""A past run made again: where its settings come from, what is shared with it, and what counts as the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from flows.reproduce import reproduce_run
from lib.config import places
from lib.datasets import acquire
from lib.errors import ConfigError, DataError
from lib.studies.exploration import explore
from lib.studies.identity import NAME
from lib.studies.pipeline import summarise
from lib.studies.reproduction import compare_records, past_run, share_downloads, surroundings
from tests.image_files import write_images
from tests.records import identity_of, seal_record, trial_note


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    base = tmp_path_factory.mktemp("past")
    return places({"PROBEFLOW_DATA": str(base / "data"), "PROBEFLOW_MLRUNS": str(base / "mlruns")})


@pytest.fixture(scope="module")
def explored(small, where):
    return explore(small.exploration, acquire(small.images, where.data), where.studies)


def altered(record, change, tmp_path):
    """The record's folder, copied and with other content of its `record.json`."""
    content = json.loads((record.folder / "record.json").read_text())
    change(content)
    folder = tmp_path / record.folder.name
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(content))
    (folder / NAME).write_bytes((record.folder / NAME).read_bytes())
    return folder


def test_a_study_is_made_again_by_the_settings_beside_its_record(small, where, explored):
    past = past_run(explored.folder)
    assert (past.profile.images, past.profile.exploration) == (small.images, small.exploration)
    assert list(past.records) == ["exploration"]


def test_a_whole_run_is_made_again_by_its_profile(small, where, explored):
    record = summarise(small, {"exploration": explored}, where.studies)
    past = past_run(record.folder)
    assert past.profile == small
    assert list(past.records) == ["exploration"]


def test_figures_that_differ_are_a_table_and_status_1_with_the_likely_cause(where, explored, tmp_path, capsys):
    def change(content):
        content["parent"]["metrics"]["explained_variance_2d"] = 0.125
        content["made"]["numpy"] = "0.1"

    assert reproduce_run(str(altered(explored, change, tmp_path)), None, where) == 1
    told = capsys.readouterr().out
    now = f"{explored.parent.metrics['explained_variance_2d']:.8g}"
    assert ["exploration", "explained_variance_2d", "0.125", now] in [line.split() for line in told.splitlines()]
    assert "Made elsewhere than then, which is the likely cause:" in told
    assert "numpy: 0.1 -> " in told
    assert told.endswith("The run came out DIFFERENT in exploration.\n")


def test_what_cannot_be_made_again_is_refused_in_one_line(where, explored, tmp_path):
    folder = altered(explored, lambda content: content.update(format=1), tmp_path)
    with pytest.raises(ConfigError, match="has format 1, and this probeflow reads"):
        past_run(folder)
    (tmp_path / "other").mkdir()
    folder = altered(explored, lambda content: None, tmp_path / "other")
    (folder / NAME).unlink()
    with pytest.raises(ConfigError, match="does not record its settings"):
        past_run(folder)
    with pytest.raises(ConfigError, match="is not empty"):
        reproduce_run(str(explored.folder), tmp_path, where)
    with pytest.raises(ConfigError, match=r"is a folder but no record \(no record.json\); give one of "):
        reproduce_run(str(tmp_path), None, where)


def test_data_that_is_gone_or_changed_is_named_before_anything_is_made(small, where, tmp_path):
    pets = write_images(tmp_path / "pets", ("a", "b"), 12)
    source = (
        type(small)
        .model_validate(small.model_dump(mode="json") | {"images": {"source": "folder", "path": str(pets)}})
        .images
    )
    record = explore(small.exploration, acquire(source, where.data), where.studies)
    image = next((pets / "a").iterdir())
    image.rename(pets / "b" / f"moved-{image.name}")
    with pytest.raises(DataError, match=f"the data of exploration, {pets}, is not what the run had: its digest was"):
        reproduce_run(str(record.folder), tmp_path / "kept", where)
    pets.rename(tmp_path / "gone")
    with pytest.raises(DataError, match=f"the data of exploration, {pets}, cannot be had any more: "):
        reproduce_run(record.key[:16], None, where)
    assert not list((tmp_path / "kept").rglob("record.json"))


def test_the_same_bits_the_same_figures_and_other_figures_are_told_apart(tmp_path):
    children = [replace(trial_note(10, 2, 2, 1.0), name="one")]
    record = seal_record(tmp_path, identity_of(rate=0.1), children)

    def verdict(**changes):
        run = replace(record.children[0], metrics=record.children[0].metrics | changes)
        return compare_records(record, replace(record, children=(run,)), tmp_path, tmp_path)

    assert verdict().words == verdict(training_seconds=9.0).words == "same to the last bit"
    assert verdict(parameters=10 * (1 + 1e-8)).words == "same figures"
    assert verdict(parameters=10.1).words == verdict(another=1.0).words == "DIFFERENT"
    (difference,) = verdict(parameters=10.1).differences
    assert (difference.what, difference.then, difference.now) == ("one: parameters", "10", "10.1")
    other = replace(record, dataset=replace(record.dataset, digest="f" * 64))
    found = compare_records(record, other, tmp_path, tmp_path)
    assert (found.words, found.digests) == ("same figures", {"data": None})


def test_downloads_are_shared_and_what_was_made_of_them_is_not(tmp_path):
    raw, weights = tmp_path / "old" / "raw" / "folder", tmp_path / "old" / "features" / ".weights"
    raw.mkdir(parents=True)
    weights.mkdir(parents=True)
    for file in (raw / "pets.tar", raw / "catalogue-1.parquet", weights / "alexnet.pth", weights / "random-0.json"):
        file.write_text("x")
    share_downloads(tmp_path / "old", tmp_path / "new")
    found = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*.*")}
    assert found == {"raw/folder/pets.tar", "features/.weights", "features/.weights/alexnet.pth"}


def test_surroundings_differ_in_all_but_the_time():
    then = {"when": "then", "commit": "a", "numpy": "1"}
    now = {"when": "now", "commit": "b", "numpy": "1", "torch": "2"}
    assert [(each.what, each.then, each.now) for each in surroundings(then, now)] == [
        ("commit", "a", "b"),
        ("torch", "none", "2"),
    ]
