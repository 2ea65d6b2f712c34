"""Exactly once: whatever happens to those who extract, the sealed set is the same, and damage is found."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.errors import FeatureSetError, StorageError
from lib.features import FeatureSet, extract, open_feature_set, plan_extraction, shards
from lib.features.plan import settle_batch, settled_batch
from lib.features.sets import found_sets
from lib.features.verify import verify
from lib.storage.address import place_of
from lib.storage.copies import fetch
from tests import killed_extraction
from tests.conftest import REPOSITORY
from tests.killed_extraction import SETTINGS


@pytest.fixture(scope="module")
def dataset():
    return killed_extraction.dataset()


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory) -> FeatureSet:
    return extract(dataset, SETTINGS, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture
def copied(undisturbed, tmp_path) -> Path:
    """A copy of the undisturbed set, to be damaged."""
    return Path(shutil.copytree(undisturbed.folder, tmp_path / undisturbed.folder.name))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [*sorted(folder.glob("*.parquet")), folder / "manifest.json"]}


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.long)])
def test_killed_often_the_set_is_bit_identical_to_an_undisturbed_one(undisturbed, tmp_path, kills):
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_extraction", str(tmp_path), str(kills), "0"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=480,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["killed"] == kills
    assert told["at a moment"] == told["while writing"] == kills // 2
    for number in range(told["sets"]):
        (folder,) = (tmp_path / f"set-{number}" / "noise").iterdir()
        assert content(folder) == content(undisturbed.folder)
        assert not list(folder.glob(".*.tmp"))
        assert verify(folder).whole


@pytest.mark.slow
def test_killed_on_two_machines_that_share_an_object_store_the_set_is_bit_identical_too(undisturbed, s3_place):
    machines = [s3_place.folder / f"machine-{number}" for number in range(2)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_extraction", str(s3_place.folder), "6", "1", s3_place.address],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=480,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["killed"] == 6
    for number in range(told["sets"]):
        for machine in machines:
            variables = s3_place.environment | {"PROBEFLOW_CACHE": str(machine)}
            home = place_of(f"{s3_place.address}/set-{number}", variables)[0] / "features"
            (found,) = found_sets(home)
            assert verify(found.folder).whole
            assert content(found.folder) == content(undisturbed.folder)


@pytest.fixture
def machines(data_place) -> tuple[Path, Path]:
    """The folders of features of two machines that share their data: one folder, or each its own copies."""
    return data_place.machine("one").features, data_place.machine("other").features


def test_a_set_is_the_same_whoever_makes_its_shards_and_in_which_order(dataset, undisturbed, machines):
    count = len(undisturbed.manifest.shards)
    order = np.random.default_rng(0).permutation(count).tolist()
    # Two workers in threads; they share some shards, and each is told of them in another order.
    hands = [order[: count // 2 + 5], order[: count // 2 - 5 : -1]]
    told = []
    workers = [
        threading.Thread(
            target=lambda home=home, hand=hand: told.append(plan_extraction(dataset, SETTINGS, home).compute(hand))
        )
        for home, hand in zip(machines, hands, strict=True)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted({index for made in told for index in made}) == list(range(count))
    work = plan_extraction(dataset, SETTINGS, machines[0])
    assert work.missing() == []
    assert content(work.seal().folder) == content(undisturbed.folder)
    assert content(plan_extraction(dataset, SETTINGS, machines[1]).folder) == content(undisturbed.folder)


def test_two_workers_on_one_shard_end_with_one_valid_shard(dataset, undisturbed, machines, monkeypatch):
    together = threading.Barrier(2)
    write = shards.pq.write_table

    def meeting(*arguments, **options):
        together.wait(timeout=240)  # both hold a temporary file of the same shard
        write(*arguments, **options)

    monkeypatch.setattr(shards.pq, "write_table", meeting)
    told = []
    workers = [
        threading.Thread(target=lambda home=home: told.append(plan_extraction(dataset, SETTINGS, home).compute([7])))
        for home in machines
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert told == [[7], [7]]
    for home in machines:
        fetch(home, deep=True)
        (path,) = home.rglob("*.parquet")
        assert path.read_bytes() == (undisturbed.folder / "part-00007.parquet").read_bytes()


def test_a_block_s_size_is_settled_by_whoever_comes_first(machines):
    assert settled_batch(machines[0], "cuda") is None
    assert [settle_batch(home / "set", "cuda", size) for home, size in zip(machines, (512, 1024), strict=True)] == [
        512,
        512,
    ]
    assert settle_batch(machines[1] / "set", "cpu", 256) == 256
    assert sorted(path.name for path in (machines[1] / "set").iterdir()) == ["batch-cpu.json", "batch-cuda.json"]


def test_a_full_disk_is_told_and_the_extraction_goes_on_after_room_is_made(dataset, undisturbed, tmp_path, monkeypatch):
    written = 0
    write = pq.write_table

    def full(table, path, **options):
        nonlocal written
        write(table, path, **options)
        written += path.stat().st_size
        if written > 1_000_000:
            os.truncate(path, 1000)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shards.pq, "write_table", full)
    with pytest.raises(StorageError, match=r"disk full while writing .*parquet: free some space and run the same"):
        extract(dataset, SETTINGS, tmp_path)
    stored = len(list(tmp_path.rglob("*.parquet")))
    assert 0 < stored < 40
    assert not list(tmp_path.rglob(".*.tmp"))
    monkeypatch.undo()
    assert content(extract(dataset, SETTINGS, tmp_path).folder) == content(undisturbed.folder)


def another(folder: Path, dataset) -> FeatureSet:
    return extract(dataset, SETTINGS.model_copy(update={"seed": 5}), folder)


class TestMending:
    """Whatever `verify` finds, extracting again repairs, and the set is the undisturbed one again."""

    @pytest.fixture
    def home(self, undisturbed, tmp_path) -> Path:
        """A features folder that holds the undisturbed set."""
        shutil.copytree(undisturbed.folder.parents[1], tmp_path / "features")
        return tmp_path / "features"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda folder: (folder / "part-00001.json").unlink(),
            lambda folder: (folder / "part-00001.json").write_text("{}"),
            lambda folder: [path.unlink() for path in folder.glob("part-*.json")],
            lambda folder: (folder / "plan.json").unlink(),
            lambda folder: (folder / "manifest.json").write_text("{"),
            lambda folder: shutil.copy(folder / "part-00001.parquet", folder / "part-00099.parquet"),
            lambda folder: shutil.copy(folder / "part-00001.parquet", folder / "quarantine.parquet"),
            lambda folder: (folder / "part-00001.parquet").unlink(),
            lambda folder: shutil.copy(folder / "part-00002.parquet", folder / "part-00001.parquet"),
            lambda folder: (folder / "manifest.json").write_text(
                (folder / "manifest.json").read_text().replace('"a",', '"z",')
            ),
        ],
    )
    def test_extracting_again(self, home, dataset, undisturbed, damage):
        (folder,) = (home / "noise").iterdir()
        damage(folder)
        extract(dataset, SETTINGS, home)
        assert verify(folder).whole
        assert content(folder) == content(undisturbed.folder)
        assert sorted(path.name for path in folder.glob("p*")) == sorted(
            path.name for path in undisturbed.folder.glob("p*")
        )

    def test_a_set_or_shard_of_other_settings_is_not_taken_for_the_one_asked_for(
        self, home, dataset, undisturbed, tmp_path
    ):
        (folder,) = (home / "noise").iterdir()
        foreign = another(tmp_path / "foreign", dataset)
        shutil.copytree(foreign.folder, folder, dirs_exist_ok=True)
        assert content(extract(dataset, SETTINGS, home).folder) == content(undisturbed.folder)
        (folder / "manifest.json").unlink()
        for name in ("part-00003.parquet", "part-00003.json"):
            shutil.copy(foreign.folder / name, folder / name)
        assert content(extract(dataset, SETTINGS, home).folder) == content(undisturbed.folder)

    @pytest.mark.parametrize("value", ["-3", "0", "true", '"x"'])
    def test_a_block_s_size_that_is_none_is_refused(self, home, dataset, value):
        (folder,) = (home / "noise").iterdir()
        (folder / "batch-cpu.json").write_text(f'{{"batch_size": {value}}}')
        (folder / "part-00001.parquet").unlink()
        with pytest.raises(FeatureSetError, match=r"batch-cpu.json is damaged"):
            extract(dataset, SETTINGS, home)


def rewritten(path: Path, change) -> None:
    """The shard with some of its content changed, as a valid Parquet file."""
    table = change(pq.read_table(path))
    pq.write_table(table, path, row_group_size=1024, compression="none")


def column(name: str, change):
    def changed(table: pa.Table) -> pa.Table:
        index = table.column_names.index(name)
        values = change(table[name].combine_chunks())
        return table.set_column(index, name, values)

    return changed


def with_value(value: float):
    def changed(features: pa.FixedSizeListArray) -> pa.FixedSizeListArray:
        flat = features.flatten().to_numpy().copy()
        flat[1234] = value
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), SETTINGS.width)

    return column("features", changed)


class TestVerify:
    def test_finds_nothing_in_a_whole_set(self, undisturbed):
        verdict = verify(undisturbed.folder)
        assert verdict.whole
        assert verdict.faults == {}

    @pytest.mark.parametrize("where", [4, 200, 9_000, -300, -5])
    def test_finds_one_flipped_bit_anywhere_as_readers_do(self, copied, where):
        path = copied / "part-00011.parquet"
        damaged = bytearray(path.read_bytes())
        damaged[where] ^= 0x10
        path.write_bytes(damaged)
        verdict = verify(copied)
        assert verdict.faults == {"part-00011.parquet": "is damaged: its sha256 is not the manifest's"}
        assert verdict.missing == (11,)
        with pytest.raises(FeatureSetError, match=r"part-00011.parquet is damaged"):
            open_feature_set(copied)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (lambda table: table.slice(0, 3), "has 3 rows, not 4"),
            (lambda table: table.take([1, 0, 2, 3]), "does not hold samples 44 to 47 in order"),
            (lambda table: table.take([0, 1, 1, 3]), "does not hold samples 44 to 47 in order"),
            (column("label", lambda _: pa.array([0, 1, 0, 2])), "has labels outside 0 to 1"),
            (
                column("split", lambda old: pa.array(["train", "train", "test", "train"], old.type)),
                "has samples 44 to 47 in other splits than the plan",
            ),
            (with_value(np.nan), "has features that are not finite among samples 44 to 47"),
            (with_value(np.inf), "has features that are not finite among samples 44 to 47"),
            (lambda table: table.replace_schema_metadata({}), "belongs to another set"),
        ],
    )
    def test_finds_wrong_rows_in_a_shard_that_no_manifest_describes_yet(self, copied, change, fault):
        (copied / "manifest.json").unlink()
        rewritten(copied / "part-00011.parquet", change)
        verdict = verify(copied)
        assert verdict.faults == {"part-00011.parquet": fault}
        assert verdict.missing == (11,)
        assert not verdict.sealed

    def test_finds_a_flipped_bit_before_there_is_a_manifest(self, copied):
        (copied / "manifest.json").unlink()
        path = copied / "part-00011.parquet"
        damaged = bytearray(path.read_bytes())
        damaged[-300] ^= 0x10  # in the footer, which has no checksum of its own
        path.write_bytes(damaged)
        (fault,) = verify(copied).faults.items()
        assert fault[0] == "part-00011.parquet"

    def test_finds_missing_and_foreign_shards_and_a_damaged_manifest(self, copied):
        (copied / "part-00000.parquet").unlink()
        shutil.copy(copied / "part-00001.parquet", copied / "part-00040.parquet")
        assert verify(copied).faults == {
            "part-00000.parquet": "is missing",
            "part-00040.parquet": "is no shard of this set",
        }
        (copied / "manifest.json").write_text("{}")
        assert "is damaged" in verify(copied).faults["manifest.json"]

    def test_a_folder_that_is_no_set_is_named(self, tmp_path):
        with pytest.raises(FeatureSetError, match=r"is no feature set \(no plan.json\)"):
            verify(tmp_path)
