"""Readers: every way gives the rows that were written, each once; damage is found, also without the sha256."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from lib.errors import ConfigError, FeatureSetError
from lib.features import FeatureSet, open_feature_set, shard_reading
from lib.features.shards import ROW_GROUP
from lib.files import sealed
from tests.conftest import REPOSITORY
from tests.feature_sets import WIDTH, expected_features, expected_labels, flip_bit, write_feature_set

SPLITS = {"train": 3500, "validation": 200, "test": 1300}
TOTAL = sum(SPLITS.values())
RANGES = {"train": slice(0, 3500), "validation": slice(3500, 3700), "test": slice(3700, 5000)}


@pytest.fixture(scope="module", params=["float32", "float16"])
def feature_set(request, tmp_path_factory) -> FeatureSet:
    """Two shards of 3000 and 2000 rows: train ends, validation lies, and test begins within row groups of the second."""
    return open_feature_set(write_feature_set(tmp_path_factory.mktemp(request.param), SPLITS, request.param))


@pytest.fixture(scope="module")
def X(feature_set) -> np.ndarray:  # noqa: N802
    return expected_features(TOTAL, feature_set.manifest.settings.storage)


def assert_is(found, X, rows: slice) -> None:
    np.testing.assert_array_equal(found.X, X[rows])
    assert found.X.dtype == X.dtype
    np.testing.assert_array_equal(found.y, expected_labels(TOTAL)[rows])
    np.testing.assert_array_equal(found.sample_ids, np.arange(TOTAL)[rows])


def joined(parts) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(np.asarray(x), np.asarray(y)) for x, y in parts]
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


@pytest.fixture
def opened(monkeypatch) -> list[tuple[str, int]]:
    """Row groups read since: (shard, index)."""
    read: list[tuple[str, int]] = []
    original = shard_reading.OpenShard._read

    def noting(self, group, columns, rows):
        read.append((self.path.name, group))
        return original(self, group, columns, rows)

    monkeypatch.setattr(shard_reading.OpenShard, "_read", noting)
    return read


class TestArrays:
    @pytest.mark.parametrize("split", SPLITS)
    def test_a_loaded_split_is_what_was_written(self, feature_set, X, split):
        loaded = feature_set.load(split)
        assert_is(loaded, X, RANGES[split])
        assert loaded.X.flags.owndata
        assert loaded.X.flags.writeable

    def test_a_split_reads_only_the_shards_and_row_groups_that_hold_it(self, feature_set, opened):
        feature_set.load("validation")
        assert opened == [("part-00001.parquet", 0)]
        opened.clear()
        feature_set.load("test")
        assert opened == [("part-00001.parquet", 0), ("part-00001.parquet", 1)]

    def test_streamed_row_groups_are_views_of_what_was_decoded(self, feature_set, X):
        start = 0
        for part in feature_set.batches("train"):
            assert_is(part, X, slice(start, start + len(part)))
            assert not part.X.flags.owndata
            assert not part.X.flags.writeable
            assert len(part) <= ROW_GROUP
            start += len(part)
        assert start == SPLITS["train"]

    def test_labels_come_without_features(self, feature_set, monkeypatch):
        monkeypatch.setattr(shard_reading.OpenShard, "pieces", None)
        np.testing.assert_array_equal(feature_set.labels("test"), expected_labels(TOTAL)[RANGES["test"]])

    def test_samples_come_in_the_order_asked_for_from_their_row_groups_alone(self, feature_set, X, opened):
        ids = [4999, 0, 3001, 4999, 1]
        found = feature_set.sample(ids)
        np.testing.assert_array_equal(found.X, X[ids])
        np.testing.assert_array_equal(found.y, expected_labels(TOTAL)[ids])
        np.testing.assert_array_equal(found.sample_ids, ids)
        assert opened == [("part-00000.parquet", 0), ("part-00001.parquet", 0), ("part-00001.parquet", 1)]
        assert feature_set.sample([]).X.shape == (0, WIDTH)

    @pytest.mark.parametrize("ids", [[4999, 0, 3001, 4999, 1], [*range(4500, 5000), *range(200)], []])
    def test_an_array_is_filled_with_samples_in_the_order_asked_for(self, feature_set, X, ids, opened):
        out = np.full((len(ids), WIDTH), np.nan, np.float32)
        feature_set.fill(out, np.array(ids, np.int64))
        np.testing.assert_array_equal(out, X[ids].astype(np.float32))
        assert len(opened) == len(set(opened))

    def test_a_view_of_a_larger_array_is_filled_in_place(self, feature_set, X):
        whole = np.zeros((500, WIDTH + 3), np.float32)
        ids = np.random.default_rng(0).permutation(TOTAL)[:200]
        feature_set.fill(whole[100:300, 1:-2], ids)
        np.testing.assert_array_equal(whole[100:300, 1:-2], X[ids].astype(np.float32))
        whole[100:300, 1:-2] = 0
        assert not whole.any()

    @pytest.mark.parametrize(
        ("shape", "kind"), [((2, WIDTH), "float64"), ((3, WIDTH), "float32"), ((2, WIDTH - 1), "float32")]
    )
    def test_an_array_that_does_not_fit_is_refused(self, feature_set, shape, kind):
        with pytest.raises(
            FeatureSetError, match=r"an array of float32 and shape \(2, 1000\) is needed to fill, got float"
        ):
            feature_set.fill(np.zeros(shape, kind), np.array([0, 1]))
        with pytest.raises(FeatureSetError, match="has no sample 5000; it has 0 to 4999"):
            feature_set.fill(np.zeros((2, WIDTH), np.float32), np.array([0, 5000]))

    def test_what_is_not_there_is_refused_in_one_line(self, feature_set):
        with pytest.raises(FeatureSetError, match="has no split 'valid'; it has: train, validation, test"):
            feature_set.load("valid")
        with pytest.raises(FeatureSetError, match="has no sample 5000; it has 0 to 4999"):
            feature_set.sample([1, 5000])
        with pytest.raises(FeatureSetError, match="has no sample -1"):
            feature_set.sample(-1)
        with pytest.raises(FeatureSetError, match="must be a list of whole numbers, got float64"):
            feature_set.sample([0.5])


_FILLED = """
import sys, tracemalloc
from pathlib import Path
import numpy as np
import pyarrow as pa
from lib.features import open_feature_set
feature_set = open_feature_set(Path(sys.argv[1]), verify=False)
ids = np.random.default_rng(0).permutation(feature_set.manifest.rows)
out = np.empty((len(ids), feature_set.manifest.width), np.float32)
feature_set.fill(out[:1], ids[:1])  # what is imported at the first read is not counted
tracemalloc.start()
feature_set.fill(out, ids)
print(pa.default_memory_pool().max_memory(), tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_filling_holds_less_than_a_row_group_beside_the_array(storage, tmp_path):
    folder = write_feature_set(tmp_path, {"train": 12_000, "test": 500}, storage, shard_rows=5000)
    command = [sys.executable, "-c", _FILLED, str(folder)]
    told = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    arrow, numpy = map(int, told.split())
    assert 0 < arrow + numpy < ROW_GROUP * WIDTH * np.dtype(storage).itemsize


class TestFrames:
    def test_a_frame_has_the_shards_columns_with_a_row_s_features_as_one_array(self, feature_set, X):
        frame = feature_set.frame("test")
        assert list(frame.columns) == ["sample_id", "label", "split", "features"]
        assert frame["sample_id"].tolist() == list(range(3700, 5000))
        assert set(frame["split"]) == {"test"}
        np.testing.assert_array_equal(np.stack(frame["features"].tolist()), X[RANGES["test"]])
        np.testing.assert_array_equal(frame["label"], expected_labels(TOTAL)[RANGES["test"]])

    def test_a_wide_frame_has_a_column_for_each_feature(self, feature_set, X):
        frame = feature_set.frame("test", ["label", "features"], wide=True)
        assert list(frame.columns) == ["label", *(f"f{feature:04d}" for feature in range(WIDTH))]
        np.testing.assert_array_equal(frame["f0012"], X[RANGES["test"], 12])
        assert frame["f0012"].dtype == X.dtype

    def test_features_that_are_not_asked_for_are_not_read(self, feature_set, monkeypatch):
        monkeypatch.setattr(shard_reading.OpenShard, "pieces", None)
        assert feature_set.frame("test", ["label", "split"]).shape == (1300, 2)
        with pytest.raises(FeatureSetError, match="no column 'class'; they have: sample_id, label, split, features"):
            feature_set.frame("test", ["class"])


def assert_every_row_once(found: np.ndarray, labels: np.ndarray, X: np.ndarray) -> None:
    """Of the training rows, in any order, each with its label."""
    expected = {row.tobytes(): label for row, label in zip(X[:3500], expected_labels(3500), strict=True)}
    assert len(found) == len(expected) == 3500
    assert {row.tobytes(): label for row, label in zip(found, labels, strict=True)} == expected


_WORKERS = """
import sys
from pathlib import Path
import numpy as np
from torch.utils.data import DataLoader
from lib.features import open_feature_set

if __name__ == "__main__":
    method, folder, out = sys.argv[1:]
    features = open_feature_set(Path(folder))
    workers = {"num_workers": 2, "multiprocessing_context": method}
    loaders = {
        "dataset": DataLoader(features.torch_dataset("test"), batch_size=100, **workers),
        "shuffled": DataLoader(features.torch_stream("train", 100, shuffle=True, mix=2), batch_size=None, **workers),
    }
    for name, loader in loaders.items():
        for k, arrays in enumerate(zip(*loader)):
            np.save(Path(out, f"{name}-{k}.npy"), np.concatenate([each.numpy() for each in arrays]))
"""


class TestTorch:
    def test_a_dataset_gives_each_row_by_its_position(self, feature_set, X):
        dataset = feature_set.torch_dataset("test")
        assert len(dataset) == 1300
        for index in (0, 400, 1299, -1):
            features, label = dataset[index]
            np.testing.assert_array_equal(features.numpy(), X[3700 + index % 1300])
            assert label == expected_labels(TOTAL)[3700 + index % 1300]
        with pytest.raises(IndexError):
            dataset[1300]

    @pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
    @pytest.mark.parametrize("feature_set", ["float32"], indirect=True)
    def test_workers_of_either_kind_give_every_row_once(self, feature_set, X, method, tmp_path):
        """In a process of its own: forking the tests' one, with the threads of Prefect's server in it, is not ours to test."""
        command = [sys.executable, "-c", _WORKERS, method, str(feature_set.folder), str(tmp_path)]
        subprocess.run(command, cwd=REPOSITORY, check=True, timeout=240)
        found, labels = np.load(tmp_path / "dataset-0.npy"), np.load(tmp_path / "dataset-1.npy")
        np.testing.assert_array_equal(found, X[RANGES["test"]])
        np.testing.assert_array_equal(labels, expected_labels(TOTAL)[RANGES["test"]])
        assert_every_row_once(np.load(tmp_path / "shuffled-0.npy"), np.load(tmp_path / "shuffled-1.npy"), X)

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_a_stream_neither_loses_nor_doubles_a_row(self, feature_set, X, shuffle):
        found, labels = joined(DataLoader(feature_set.torch_stream("train", 100, shuffle, mix=2), batch_size=None))
        assert_every_row_once(found, labels, X)
        assert np.array_equal(found, X[RANGES["train"]]) == (not shuffle)

    def test_a_shuffled_stream_follows_torch_s_seed_and_changes_each_epoch(self, feature_set):
        stream = DataLoader(feature_set.torch_stream("train", 500, shuffle=True), batch_size=None)
        torch.manual_seed(1)
        first, second = joined(stream)[0], joined(stream)[0]
        torch.manual_seed(1)
        np.testing.assert_array_equal(joined(stream)[0], first)
        assert not np.array_equal(first, second)

    def test_a_stream_of_empty_batches_is_refused(self, feature_set):
        with pytest.raises(ConfigError, match="at least 1, got 0 and 8"):
            feature_set.torch_stream("train", 0)


class TestDamage:
    """One bit, found by the sha256 when the set is opened, and by whoever reads it if it was opened without."""

    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        return write_feature_set(tmp_path, {"train": 1500, "test": 300}, shard_rows=1000)

    @pytest.mark.parametrize("byte", [1_000_000, 2_500_000, -8], ids=["features", "features, further", "footer"])
    def test_it_is_found_and_the_shard_is_named(self, folder, byte):
        flip_bit(folder / "part-00001.parquet", byte, 5)
        with pytest.raises(FeatureSetError, match=r"part-00001.parquet is damaged \(its sha256 has changed\)"):
            open_feature_set(folder)
        unverified = open_feature_set(folder, verify=False)
        for read in (
            lambda: list(unverified.batches("train")),
            lambda: unverified.load("test"),
            lambda: unverified.sample([1700]),
            lambda: unverified.torch_dataset("test")[0],
            lambda: list(unverified.torch_stream("train", 10)),
        ):
            with pytest.raises(FeatureSetError, match=r"part-00001.parquet is damaged \(its checksums do not fit"):
                read()

    def test_any_bit_of_a_shard_is_found_by_reading_or_changes_no_row(self, folder):
        """Bits of the footer, and of everything before the features: page headers, ids, labels, splits."""
        path = folder / "part-00001.parquet"
        good, feature_set = path.read_bytes(), open_feature_set(folder, verify=False)
        rows = feature_set.rows("test")
        X = expected_features(1800)[rows.start :]
        footer = int.from_bytes(good[-8:-4], "little") + 8
        before = pq.read_metadata(path).row_group(0).column(3).data_page_offset + 40
        rng = np.random.default_rng(0)
        places = [*rng.choice(footer, 250, False) + len(good) - footer, *rng.choice(before, 150, False)]
        found = 0
        for byte in places:
            flip_bit(path, int(byte), int(rng.integers(8)))
            try:
                test = feature_set.load("test")
            except FeatureSetError:
                found += 1
            else:
                np.testing.assert_array_equal(test.X, X)
                np.testing.assert_array_equal(test.y, expected_labels(1800)[rows.start :])
            path.write_bytes(good)
        assert found > 200

    def test_a_shard_that_is_away_or_another_set_s_is_named(self, folder, tmp_path):
        feature_set = open_feature_set(folder)
        (folder / "part-00001.parquet").unlink()
        with pytest.raises(FeatureSetError, match=r"part-00001.parquet is missing; run the extraction again"):
            feature_set.load("test")
        with pytest.raises(FeatureSetError, match=r"part-00001.parquet is missing"):
            open_feature_set(folder, verify=False)
        other = write_feature_set(tmp_path / "other", {"train": 1500, "test": 300}, shard_rows=1000, digest="e" * 64)
        (other / "part-00001.parquet").rename(folder / "part-00001.parquet")
        with pytest.raises(FeatureSetError, match="or it is another set's"):
            feature_set.load("test")

    def test_a_manifest_whose_rows_do_not_add_up_is_refused(self, folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(sealed(json.loads(path.read_text().replace('"train": 1500', '"train": 1508')))))
        with pytest.raises(FeatureSetError, match=r"manifest of .* is damaged \(its rows do not add up\)"):
            open_feature_set(folder)


class TestOtherTools:
    """They read the shards as they are, by their names; float16 too, which DuckDB widens to FLOAT."""

    def test_pandas(self, feature_set, X):
        frame = pd.read_parquet(sorted(feature_set.folder.glob("part-*.parquet")))
        np.testing.assert_array_equal(np.stack(frame["features"].tolist()), X)
        assert frame["features"][0].dtype == X.dtype
        assert frame["split"].value_counts().to_dict() == SPLITS

    def test_polars_eagerly_and_lazily(self, feature_set, X):
        shards = f"{feature_set.folder}/part-*.parquet"
        frame = pl.read_parquet(shards)
        np.testing.assert_array_equal(frame["features"].to_numpy(), X)
        assert frame["features"].to_numpy().dtype == X.dtype
        lazy = pl.scan_parquet(shards).filter(pl.col("split") == "test").select("label").collect()
        np.testing.assert_array_equal(lazy["label"].to_numpy(), expected_labels(TOTAL)[RANGES["test"]])

    def test_duckdb(self, feature_set, X):
        shards = f"{feature_set.folder}/part-*.parquet"
        counts = duckdb.sql(f"SELECT split, count(*) FROM '{shards}' GROUP BY split").fetchall()
        assert dict(counts) == SPLITS
        found = duckdb.sql(f"SELECT features FROM '{shards}' ORDER BY sample_id").fetchnumpy()["features"]
        np.testing.assert_array_equal(np.stack(found), X.astype(np.float32))
        means = duckdb.sql(f"SELECT label, avg(features[1]) FROM '{shards}' GROUP BY label ORDER BY label").fetchall()
        expected = [X[expected_labels(TOTAL) == label, 0].mean(dtype=np.float64) for label in range(3)]
        np.testing.assert_allclose([mean for _, mean in means], expected, rtol=1e-5)
