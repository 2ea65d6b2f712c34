"""A past run made again: where its settings come from, what is shared with it, and what counts as the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lib.datasets import acquire, unpacked
from lib.datasets.sources import ImageFolder
from lib.errors import ConfigError, DataError
from lib.files import sealed
from lib.graph import past_run, ready_node, reproduce
from lib.graph.reproduce import compare_records, share_downloads, surroundings
from lib.profile import parse_profile
from lib.studies.record import ORIGIN, open_record
from tests.image_files import write_images
from tests.lib.graph.conftest import TINY, tiny_profile


def test_a_whole_run_comes_out_the_same_to_the_last_bit(ran, tmp_path):
    where, records, run = ran
    past = past_run(run.folder)
    assert past.profile == tiny_profile()
    verdicts = list(reproduce(past, where, tmp_path))
    assert [each.name for each in verdicts] == list(records)
    assert {each.words for each in verdicts} == {"same to the last bit"}
    rates = verdicts[1]
    assert {"data", "on", "network", "predictions", "tables"} <= set(rates.digests)
    assert rates.figures > 20


def test_a_study_is_made_again_by_the_settings_beside_its_record(ran):
    _, records, _ = ran
    past = past_run(records["map"].folder)
    assert past.profile.studies == {name: tiny_profile().studies[name] for name in ("rates", "map")}
    assert list(past.records) == ["map"]


def altered(record, change, folder):
    """The record read again with other content of its `record.json`, in a folder of its own."""
    content = json.loads((record.folder / "record.json").read_text())
    change(content)
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(sealed(content)))
    (folder / ORIGIN).write_bytes((record.folder / ORIGIN).read_bytes())
    return folder


def test_the_same_bits_the_same_figures_and_other_figures_are_distinguished(ran, tmp_path):
    record = ran[1]["look"]
    first, second = record.result.explained_variance

    def verdict(variance):
        result = record.result.model_copy(update={"explained_variance": variance})
        return compare_records(record, replace(record, result=result))

    assert verdict((first, second)).words == "same to the last bit"
    assert verdict((first * (1 + 1e-8), second)).words == "same figures"
    found = verdict((first + 0.125, second))
    assert found.words == "DIFFERENT"
    (difference,) = found.differences
    assert (difference.what, difference.figure) == ("explained_variance_2d", True)
    assert difference.then == f"{first + second:.8g}"
    other = compare_records(record, replace(record, dataset=replace(record.dataset, digest="f" * 64)))
    assert (other.words, other.digests["data"]) == ("same figures", None)


def test_another_network_or_table_is_told_by_its_digest(ran, copied):
    record = ran[1]["rates"]
    other = open_record(copied.studies / "rates" / record.folder.name)
    assert compare_records(record, other).same_bits
    table = other.folder / "tables" / other.tables[0].file
    table.write_text(table.read_text().replace("0.1", "0.2"))
    assert compare_records(record, other).digests["tables"] is None
    (other.folder / "network.safetensors").unlink()
    assert compare_records(record, other).digests["network"] is None


def test_what_cannot_be_made_again_is_refused_in_one_line(ran, tmp_path):
    record = ran[1]["look"]
    folder = altered(record, lambda content: content.update(format=1), tmp_path / "old")
    with pytest.raises(ConfigError, match="has format 1, and this probeflow reads"):
        past_run(folder)
    folder = altered(record, lambda content: content.update(figures=[], tables=[]), tmp_path / "bare")
    (folder / ORIGIN).unlink()
    with pytest.raises(ConfigError, match="does not record its settings"):
        past_run(folder)
    with pytest.raises(DataError, match="holds no finished study"):
        past_run(tmp_path)


def test_data_that_is_gone_or_changed_is_named_before_anything_is_made(where, tmp_path):
    pets = write_images(tmp_path / "pets", ("a", "b"), 12)
    look = TINY["studies"]["look"] | {"on": "pets"}
    content = {"name": "pets", "data": {"pets": {"source": "folder", "path": str(pets)}}, "studies": {"look": look}}
    record = ready_node(parse_profile(content), "look", where).run()
    image = next((pets / "a").iterdir())
    image.rename(pets / "b" / f"moved-{image.name}")
    with pytest.raises(DataError, match=f"the data of look, {pets}, is not what the run had: its digest was"):
        list(reproduce(past_run(record.folder), where, tmp_path / "again"))
    pets.rename(tmp_path / "gone")
    with pytest.raises(DataError, match=f"the data pets, {pets}, cannot be had any more: "):
        list(reproduce(past_run(record.folder), where, tmp_path / "again2"))
    assert not list(tmp_path.glob("again*/**/record.json"))


def test_downloads_are_shared_and_what_was_made_of_them_is_not(tmp_path):
    raw, weights = tmp_path / "old" / "raw" / "folder", tmp_path / "old" / "features" / ".weights"
    raw.mkdir(parents=True)
    weights.mkdir(parents=True)
    for file in (raw / "pets.tar", raw / "catalogue-1.parquet", weights / "alexnet.pth", weights / "random-0.json"):
        file.write_text("x")
    share_downloads(tmp_path / "old", tmp_path / "new")
    found = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*.*")}
    assert found == {"raw/folder/pets.tar", "features/.weights", "features/.weights/alexnet.pth"}


def test_a_copy_of_before_serves_again_without_its_origin(tmp_path, monkeypatch):
    write_images(tmp_path / "in" / "pets", ("cat", "dog"), 5)
    archive = Path(shutil.make_archive(str(tmp_path / "mirror" / "pets"), "zip", tmp_path / "in"))
    source, mirror = ImageFolder(path="pets.zip"), archive.parent.as_uri()
    first = acquire(source, tmp_path / "old", mirror)
    share_downloads(tmp_path / "old", tmp_path / "new")
    archive.unlink()
    monkeypatch.setattr(unpacked, "unpack", None)
    assert acquire(source, tmp_path / "new", mirror).digest == first.digest
    monkeypatch.undo()
    next((tmp_path / "old").rglob("0.png")).write_bytes(b"damaged")
    assert acquire(source, tmp_path / "new", mirror).digest == first.digest
    assert acquire(source, tmp_path / "old", mirror).digest == first.digest


def test_surroundings_differ_in_all_but_the_time():
    then = {"when": "then", "commit": "a", "numpy": "1"}
    now = {"when": "now", "commit": "b", "numpy": "1", "torch": "2"}
    assert [(each.what, each.then, each.now) for each in surroundings(then, now)] == [
        ("commit", "a", "b"),
        ("torch", "none", "2"),
    ]
