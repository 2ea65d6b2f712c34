"""A feature set as a study: what was extracted, how fast, and a picture of it (reference study, part E)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from lib.datasets.dataset import Dataset
from lib.errors import FeatureSetError
from lib.evaluation import figures
from lib.evaluation.feature_figures import feature_portrait
from lib.evaluation.projections import principal_components, sample_by_class
from lib.features import FeatureSet, FeatureSettings
from lib.features.manifest import Manifest
from lib.features.plan import read_plan
from lib.features.rows import Features
from lib.features.speed import read_speeds, speed_words
from lib.features.statistics import FeatureStatistics, feature_statistics
from lib.progress import Advance, bar, silent
from lib.storage.copies import shown
from lib.studies.identity import Identity
from lib.studies.record import DatasetNote, RunNote, StudyFolder, StudyRecord

_SAMPLE = 2000
_COMPONENTS = 30
_SEED = 0
_SHOWS = {"statistics": 1}
"""Part of the record's key: raised when what is shown of a set changes, so that other studies' records stay."""


@dataclass(frozen=True)
class Portrait:
    """What a set's values are like: each feature over all rows, and a bounded sample of the training rows.

    Attributes
    ----------
    sample : Features
        At most 2,000 rows, in float32, the classes in proportion.
    points : ndarray, shape (n, 2)
        Their first two principal components.
    shares : ndarray, shape (components,)
        Share of variance of each of the first components.
    """

    manifest: Manifest
    statistics: FeatureStatistics
    sample: Features
    points: npt.NDArray[np.floating]
    shares: npt.NDArray[np.floating]

    @property
    def _sampled(self) -> str:
        every = len(self.sample) == self.manifest.splits["train"]
        return f"{'all ' if every else ''}{len(self.sample):,} training images of {self.manifest.dataset}"

    def picture(self) -> Figure:
        """Features, values, principal components and their shares of variance."""
        manifest, settings = self.manifest, self.manifest.settings
        title = f"{manifest.description}, {settings.precision} arithmetic, stored as {settings.storage}"
        return feature_portrait(
            self.statistics, self.sample.X, self.sample.y, manifest.class_names,
            self.points, self.shares, title, self._sampled,
        )  # fmt: skip

    def scatter(self) -> Figure:
        """The sample in the plane of its principal components."""
        first, second = (float(share) for share in [*self.shares, 0.0][:2])
        labels = (f"component 1 ({first:.1%} of variance)", f"component 2 ({second:.1%})")
        title = f"{self.manifest.description}\nPCA of {self._sampled}"
        return figures.scatter(self.points, self.sample.y, self.manifest.class_names, title, labels)


def portray(feature_set: FeatureSet, advance: Advance = silent) -> Portrait:
    """Read a set once for its statistics and once more for the sample; `advance` hears of rows. Memory stays flat.

    Raises
    ------
    FeatureSetError
        When a shard is damaged, or the set has no rows.
    """
    statistics = feature_statistics(feature_set, advance)
    chosen = sample_by_class(feature_set.labels("train"), _SAMPLE, _SEED)
    drawn = feature_set.sample(chosen + feature_set.rows("train").start)
    sample = Features(drawn.X.astype(np.float32), drawn.y, drawn.sample_ids)
    points, shares = principal_components(sample.X, _COMPONENTS, _SEED)
    return Portrait(feature_set.manifest, statistics, sample, points, shares)


def described_set(record: StudyRecord, root: Path) -> Path:
    """The folder of the set that a record of this study is of, under the root of all sets on this machine."""
    return root / str(record.summary["dataset"]["name"]) / str(record.summary["digest"])[:16]


def settings_of(feature_set: FeatureSet) -> FeatureSettings:
    """The settings of a set, with the path of its weights file where its plan still tells that."""
    try:
        return read_plan(feature_set.folder).settings
    except FeatureSetError:
        return feature_set.manifest.settings


def features_identity(digest: str, settings: FeatureSettings, dataset: Dataset) -> Identity:
    """What decides how the set with this digest is shown."""
    parts = {"images": dataset.source, "features": settings.model_dump(mode="json")}
    return Identity("features", _SHOWS, {"features": digest}, parts)


def describe_features(feature_set: FeatureSet, dataset: Dataset, root: Path) -> StudyRecord:
    """Show a sealed feature set of `dataset`, or return the record when nothing has changed."""
    manifest = feature_set.manifest
    folder = StudyFolder.of(root, features_identity(manifest.digest, settings_of(feature_set), dataset))
    if record := folder.finished():
        return record
    with bar(f"describe features of {manifest.dataset}", manifest.rows, "image") as advance:
        portrait = portray(feature_set, advance)
    statistics = portrait.statistics
    constant = int(statistics.constant.sum())
    folder.figure("pca", portrait.scatter())
    folder.figure("features", portrait.picture())
    folder.table("features", statistics.table())
    folder.table("shards", [shard.model_dump() for shard in manifest.shards])
    size = sum(shard.bytes for shard in manifest.shards)
    settings = manifest.settings
    speeds = read_speeds(feature_set.folder)
    speed = speed_words(speeds)
    lines = [
        f"## Features of {manifest.dataset}",
        f"**{manifest.description}**, {manifest.width} values an image, input {settings.input_size} px "
        f"({settings.interpolation}), computed in {settings.precision}, stored as {settings.storage}.",
        f"{manifest.rows:,} rows in {len(manifest.shards)} sealed shard(s), {size / 1e6:.1f} MB, "
        f"in `{shown(feature_set.folder)}`.{f' {speed[0].upper()}{speed[1:]}.' if speed else ''}",
        f"{constant:,} of {manifest.width:,} features are constant; {statistics.zeros.mean():.1%} of all values are 0; "
        f"values from {statistics.minimum.min():.4g} to {statistics.maximum.max():.4g} (`features.csv` has each feature).",
        f"Digest `{manifest.digest}`; weights sha256 `{manifest.weights_sha256}`.",
    ]
    metrics = {
        "images": float(manifest.rows),
        "bytes": float(size),
        "constant_features": float(constant),
        "share_of_zeros": float(statistics.zeros.mean()),
    }
    if speeds:
        metrics["images_per_second"] = max(each.images_per_second for each in speeds)
    return folder.seal(
        title=f"Features of {manifest.dataset}",
        headline=f"{manifest.rows:,} rows × {manifest.width}, {manifest.description}{', ' if speed else ''}{speed}",
        notes="\n".join(lines) + "\n",
        dataset=DatasetNote.of(dataset),
        summary={
            "dataset": {"name": manifest.dataset, "rows": manifest.splits},
            "description": manifest.description,
            "folder": shown(feature_set.folder),
            "digest": manifest.digest,
            "speeds": [each.model_dump() for each in speeds],
        },
        parent=RunNote(
            folder.key,
            f"{manifest.description} of {manifest.dataset}",
            {
                "weights": manifest.description,
                "layer": settings.layer,
                "width": manifest.width,
                "input_size": settings.input_size,
                "interpolation": settings.interpolation,
                "precision": settings.precision,
                "storage": settings.storage,
            },
            metrics,
            tags={"probeflow.features": manifest.description},
        ),
    )
