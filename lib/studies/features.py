"""A feature set as a study: what was extracted, how fast, and a picture of it (reference study, part E)."""

from __future__ import annotations

from pathlib import Path

from lib.datasets.dataset import Dataset
from lib.evaluation import figures
from lib.evaluation.projections import pca, sample_by_class
from lib.features import FeatureSet
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
    speed = (
        "" if manifest.images_per_second is None else f"{manifest.images_per_second:.0f} images/s on {manifest.device}"
    )
    lines = [
        f"## Features of {manifest.dataset}",
        f"**{manifest.description}**, {manifest.width} values an image, input {manifest.input_size} px "
        f"({manifest.interpolation}), computed in {manifest.precision}, stored as {manifest.storage}.",
        f"{manifest.rows:,} rows in {len(manifest.shards)} sealed shard(s), {size / 1e6:.1f} MB, "
        f"in `{feature_set.folder}`. {speed}",
        f"Digest `{manifest.digest}`; weights sha256 `{manifest.weights_sha256}`.",
    ]
    metrics = {"images": float(manifest.rows), "bytes": float(size)}
    if manifest.images_per_second is not None:
        metrics["images_per_second"] = manifest.images_per_second
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
            "device": manifest.device,
            "images_per_second": manifest.images_per_second,
        },
        parent=RunNote(
            folder.key,
            f"{manifest.description} of {manifest.dataset}",
            {
                "weights": manifest.description,
                "layer": manifest.layer,
                "width": manifest.width,
                "input_size": manifest.input_size,
                "interpolation": manifest.interpolation,
                "precision": manifest.precision,
                "storage": manifest.storage,
            },
            metrics,
            tags={"probeflow.features": manifest.description},
        ),
    )
