"""Statistics of a set equal NumPy's over all of it at once, and so do the tables and pictures made of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.errors import FeatureSetError
from lib.features import open_feature_set
from lib.features.statistics import RunningStatistics, feature_statistics
from tests.conftest import REPOSITORY
from tests.feature_sets import WIDTH, expected_features, write_feature_set

SPLITS = {"train": 2000, "test": 700}


def assert_equal_numpy(found, X) -> None:
    exact = X.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.deviation, exact.std(axis=0), rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(found.minimum, exact.min(axis=0))
    np.testing.assert_array_equal(found.maximum, exact.max(axis=0))
    np.testing.assert_array_equal(found.zeros, (exact == 0).mean(axis=0))


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_they_equal_numpy_s_over_every_row_of_every_split(tmp_path, storage):
    seen = []
    found = feature_statistics(open_feature_set(write_feature_set(tmp_path, SPLITS, storage, 1500)), seen.append)
    assert found.rows == sum(seen) == 2700
    X = expected_features(2700, storage)
    assert_equal_numpy(found, X)
    np.testing.assert_array_equal(found.constant, np.ptp(X, axis=0) == 0)
    assert found.constant[[0, 7]].all()
    table = found.table()
    assert len(table) == WIDTH
    assert table[7] == {
        "feature": 7, "mean": 0.5, "standard_deviation": 0.0, "minimum": 0.5, "maximum": 0.5, "share_of_zeros": 0.0,
    }  # fmt: skip


def test_a_small_spread_around_a_large_mean_is_not_lost():
    """The sum of squares less the square of the sum would have no digit left here."""
    X = (1e7 + np.random.default_rng(0).standard_normal((5000, 3))).astype(np.float64)
    running = RunningStatistics(3)
    for part in np.array_split(X, 13):
        running.add(part)
    np.testing.assert_allclose(running.finish().deviation, X.std(axis=0), rtol=1e-8)


def test_a_wide_row_by_itself_and_parts_of_any_size_give_the_same():
    X = np.random.default_rng(1).standard_normal((300, 9216)).astype(np.float32)
    running = RunningStatistics(9216)
    for part in (X[:1], X[1:2], X[2:299], X[299:], X[:0]):
        running.add(part)
    assert_equal_numpy(running.finish(), X)


_PEAK = """
import re, sys
from pathlib import Path
from lib.features import open_feature_set
from lib.features.statistics import feature_statistics
feature_set = open_feature_set(Path(sys.argv[1]), verify=False)
feature_statistics(feature_set)
feature_set.labels("train")
# Not getrusage's peak, which a child inherits from the process that forked it.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak memory")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """The process's peak, so NumPy's, Arrow's and mapped files' together; the larger set has 66 MB of features more."""
    peaks = []
    for rows in (4096, 20_480):
        folder = write_feature_set(tmp_path / str(rows), {"train": rows}, shard_rows=4096)
        command = [sys.executable, "-c", _PEAK, str(folder)]
        peaks.append(int(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_no_rows_have_no_statistics():
    with pytest.raises(FeatureSetError, match="no rows to describe"):
        RunningStatistics(3).finish()
