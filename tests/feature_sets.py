"""Feature sets for tests of their readers: sealed folders with features that follow from the row, without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib.features import FeatureSettings
from lib.features.manifest import write_manifest
from lib.features.plan import SetPlan, write_plan
from lib.features.shards import ShardContent, shard_name, write_shard

WIDTH = 1000


def expected_features(rows: int, storage: str = "float32") -> npt.NDArray[np.floating]:
    """What `write_feature_set` stores: noise whose scale grows with the feature, every tenth feature often 0."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, WIDTH)) * np.linspace(0.1, 3, WIDTH) + np.linspace(-2, 2, WIDTH)
    X[:, ::10] = np.maximum(X[:, ::10], 0)
    X[:, 7] = 0.5
    return X.astype(storage)


def expected_labels(rows: int) -> npt.NDArray[np.int64]:
    """The label of each row: 0, 1, 2, 0, …"""
    return np.arange(rows) % 3


def write_feature_set(
    folder: Path,
    splits: dict[str, int],
    storage: str = "float32",
    shard_rows: int = 3000,
    digest: str = "d1" * 32,
    sealed: bool = True,
) -> Path:
    """A set of `splits` (rows of each) in `folder`, which it returns; unsealed, it lacks its last shard."""
    settings = FeatureSettings(weights="random", storage=storage, shard_rows=shard_rows)
    rows = sum(splits.values())
    plan = SetPlan(
        digest=digest,
        dataset="noise",
        dataset_digest="d2" * 32,
        class_names=("ant", "bee", "cat"),
        description=settings.describe(),
        weights_sha256="d3" * 32,
        settings=settings,
        width=WIDTH,
        rows=rows,
        splits=splits,
        quarantined=0,
        quarantine=None,
        source=None,
        versions={},
    )
    X, y = expected_features(rows, storage), expected_labels(rows)
    write_plan(folder, plan)
    entries = []
    for index, held in enumerate(plan.cut()):
        if sealed or held.stop < rows:
            part = slice(held.start, held.stop)
            entries.append(write_shard(folder / shard_name(index), ShardContent(held, y[part], X[part]), plan))
    if sealed:
        write_manifest(folder, plan, tuple(entries))
    return folder


def flip_bit(path: Path, byte: int, bit: int = 0) -> None:
    """Flip one bit of a file; negative bytes count from its end."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)
