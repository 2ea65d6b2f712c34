"""A feature set as a study: what was extracted, how fast, and a picture of it (reference study, part E)."""

from __future__ import annotations

from pathlib import Path

from lib.datasets.dataset import Dataset
from lib.evaluation import figures
from lib.evaluation.projections import pca, sample_by_class
from lib.features import FeatureSet
from lib.features.speed import read_speeds
from lib.studies.record import DatasetNote, RunNote, StudyFolder, StudyRecord, study_key

_SCATTER = 2000
_SEED = 0


def describe_features(feature_set: FeatureSet, dataset: Dataset, root: Path) -> StudyRecord:
    """Show a sealed feature set of `dataset`, or return the record when nothing has changed."""
    manifest = feature_set.manifest
    folder = StudyFolder(root, "features", study_key("features", {}, manifest.digest))
    if record := folder.finished():
        return record
    train = feature_set.load("train")
    rows = sample_by_class(train.y, _SCATTER, _SEED)
    points, variance = pca(train.X[rows].astype("float32"))
    labels = (f"component 1 ({variance[0]:.1%} of variance)", f"component 2 ({variance[1]:.1%})")
    title = f"{manifest.description}\nPCA of {len(rows):,} training images of {manifest.dataset}"
    folder.figure("pca", figures.scatter(points, train.y[rows], manifest.class_names, title, labels))
    folder.table("shards", [shard.model_dump() for shard in manifest.shards])
    size = sum(shard.bytes for shard in manifest.shards)
    settings = manifest.settings
    speeds = read_speeds(feature_set.folder)
    speed = "; ".join(each.words for each in speeds)
    lines = [
        f"## Features of {manifest.dataset}",
        f"**{manifest.description}**, {manifest.width} values an image, input {settings.input_size} px "
        f"({settings.interpolation}), computed in {settings.precision}, stored as {settings.storage}.",
        f"{manifest.rows:,} rows in {len(manifest.shards)} sealed shard(s), {size / 1e6:.1f} MB, "
        f"in `{feature_set.folder}`. {speed}",
        f"Digest `{manifest.digest}`; weights sha256 `{manifest.weights_sha256}`.",
    ]
    metrics = {"images": float(manifest.rows), "bytes": float(size)}
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
            "folder": str(feature_set.folder),
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
