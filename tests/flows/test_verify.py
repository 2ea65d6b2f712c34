"""The commands `verify` and `resume`, on a set that is damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.verify import profile_of_set, verify_sets
from lib.datasets import acquire
from lib.datasets.sources import ImageFolder
from lib.errors import FeatureSetError, program
from lib.features import FeatureSettings, extract
from lib.places import places
from tests.command_line import flows
from tests.image_files import write_images
from tests.object_store import object_at

SETTINGS = FeatureSettings(weights="random", input_size=64, shard_rows=5, device="cpu")


@pytest.fixture
def where(tmp_path):
    return places({"PROBEFLOW_DATA": str(tmp_path / "data"), "PROBEFLOW_MLRUNS": str(tmp_path / "mlruns")})


@pytest.fixture
def folder(tmp_path, where) -> Path:
    write_images(tmp_path / "pets", ("cat", "dog"), 10)
    dataset = acquire(ImageFolder(path=str(tmp_path / "pets")), where.data)
    return extract(dataset, SETTINGS, where.features).folder


def extraction(profile) -> FeatureSettings:
    """How the one feature set of a profile is made."""
    (node,) = profile.features.values()
    return node.extraction


def damage(folder: Path) -> bytes:
    path = folder / "part-00002.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    return content


def test_verify_says_what_is_whole_and_what_is_not(folder, where, capsys):
    assert verify_sets(None, where) == 0
    assert "whole: 20 rows in 4 shard(s), each byte, row and value read" in capsys.readouterr().out
    damage(folder)
    with pytest.raises(
        FeatureSetError, match=f"1 of 1 feature set.* not whole; `{program()} resume pets/{folder.name}`"
    ):
        verify_sets(folder.name[:6], where)
    assert "part-00002.parquet is damaged: its sha256 is not the manifest's" in capsys.readouterr().out
    (folder / "manifest.json").unlink()
    with pytest.raises(FeatureSetError):
        verify_sets(str(folder), where)
    assert "not sealed: 3 of 4 shards whole" in capsys.readouterr().out


def test_resume_makes_the_damaged_shard_alone_from_what_the_folder_says(folder, where, prefect_server):
    whole = damage(folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    places_of_test = {"PROBEFLOW_DATA": str(where.data), "PROBEFLOW_MLRUNS": str(where.mlruns)}
    told = flows("resume", folder.name[:8], **prefect_server | places_of_test)
    assert "20 images as 1,000 values each: AlexNet fc8, RANDOM weights (seed 0)" in told.stdout
    assert (folder / "part-00002.parquet").read_bytes() == whole
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    assert [name for name in before if before[name] != after[name]] == ["part-00002.parquet"]


def test_resume_refuses_a_set_whose_images_are_others_by_now(folder, where, tmp_path):
    assert extraction(profile_of_set(folder.name, where, "cpu")) == SETTINGS
    (tmp_path / "pets" / "cat" / "1.png").unlink()
    with pytest.raises(FeatureSetError, match=r"the images or weights of pets differ from those of .*: restore them"):
        profile_of_set(folder.name, where, None)


def test_a_set_that_lies_elsewhere_is_not_resumed(folder, where):
    elsewhere = where.data.parent / "elsewhere"
    shutil.copytree(folder, elsewhere)
    with pytest.raises(FeatureSetError, match=r"elsewhere is not under .*: set PROBEFLOW_DATA"):
        profile_of_set(str(elsewhere), where, None)


def test_a_name_of_any_length_makes_a_profile(tmp_path, where):
    write_images(tmp_path / ("p" * 200), ("cat", "dog"), 10)
    made = extract(acquire(ImageFolder(path=str(tmp_path / ("p" * 200))), where.data), SETTINGS, where.features)
    assert profile_of_set(made.digest[:8], where, None).name == "p" * 100


def test_a_set_in_an_object_store_is_verified_and_resumed_from_another_machine(s3_place, tmp_path, capsys):
    one, other = s3_place.machine("one"), s3_place.machine("other")
    write_images(tmp_path / "pets", ("cat", "dog"), 10)
    made = extract(acquire(ImageFolder(path=str(tmp_path / "pets")), one.data), SETTINGS, one.features)
    shard = object_at(made.folder / "part-00002.parquet")
    whole = shard.get()["Body"].read()
    shard.put(Body=whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    with pytest.raises(FeatureSetError, match=rf"1 of 1 feature set.* not whole; `{program()} resume pets/"):
        verify_sets(None, other)
    assert "part-00002.parquet is damaged: its sha256 is not the manifest's" in capsys.readouterr().out
    profile = profile_of_set(made.digest[:8], other, "cpu")
    assert extraction(profile) == SETTINGS
    extract(acquire(profile.data["images"], other.data), extraction(profile), other.features)
    assert shard.get()["Body"].read() == whole
    assert verify_sets(None, one) == 0
