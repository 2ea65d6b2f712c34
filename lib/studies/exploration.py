"""First look at image data: a grid of samples, a PCA scatter, and the class distribution (reference study, part D)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib.config import ExplorationStudy
from lib.datasets import require_no_leakage
from lib.datasets.dataset import Dataset, Split
from lib.evaluation import figures
from lib.evaluation.projections import pca, sample_by_class
from lib.studies.identity import Identity
from lib.studies.record import DatasetNote, RunNote, StudyFolder, StudyRecord

_SEED = 0
_SCATTER_SIDE = 32


def exploration_identity(study: ExplorationStudy, dataset: Dataset) -> Identity:
    """What decides the exploration of `dataset`."""
    settings = study.model_dump(mode="json")
    parts = {"images": dataset.source, "exploration": settings}
    return Identity("exploration", settings, {"data": dataset.digest}, parts)


def explore(study: ExplorationStudy, dataset: Dataset, root: Path) -> StudyRecord:
    """Draw the training images of `dataset`, or return the record when nothing has changed.

    Raises
    ------
    LeakageError
        When a test image is a training image.
    """
    folder = StudyFolder.of(root, exploration_identity(study, dataset))
    if record := folder.finished():
        return record
    require_no_leakage(dataset)
    note = DatasetNote.of(dataset)
    counts = {name: _counts(split, dataset.class_names) for name, split in dataset.splits.items()}
    train = dataset.splits["train"]

    shown = sample_by_class(train.labels, study.grid, _SEED)[: study.grid]
    images = [train.images[int(index)] for index in shown]
    names = [dataset.class_names[train.labels[index]] for index in shown]
    folder.figure("samples", figures.sample_grid(images, names, f"{dataset.name}: {len(shown)} training images"))

    rows = sample_by_class(train.labels, study.scatter, _SEED)
    points, variance = pca(np.stack([_small(train.images[int(index)]) for index in rows]))
    axis_labels = tuple(f"component {k + 1} ({share:.1%} of variance)" for k, share in enumerate(variance))
    scatter = figures.scatter(
        points,
        train.labels[rows],
        dataset.class_names,
        f"{dataset.name}: PCA of {len(rows)} training images",
        (axis_labels[0], axis_labels[1]),
    )
    folder.figure("pca", scatter)
    folder.figure("classes", figures.class_distribution(counts, f"{dataset.name}: images of each class"))
    table = [{"split": split, "class": name, "images": n} for split, of in counts.items() for name, n in of.items()]
    folder.table("classes", table)

    total = sum(note.rows.values())
    lines = [
        f"## {dataset.name}",
        f"{note.origin}. {total:,} images; digest `{note.digest[:16]}`. No test image is a training image (checked by content).",
        *(f"- {split}: " + ", ".join(f"{name} {n:,}" for name, n in of.items()) for split, of in counts.items()),
        *(f"- **{warning}**" for warning in note.warnings),
    ]
    return folder.seal(
        title=f"Exploration of {dataset.name}",
        headline=f"{total:,} images, {len(dataset.class_names)} classes, first two components hold {sum(variance):.1%}",
        notes="\n".join(lines) + "\n",
        dataset=note,
        summary={
            "dataset": {"name": note.name, "rows": note.rows},
            "counts": counts,
            "explained_variance": list(variance),
        },
        parent=RunNote(
            folder.key,
            f"Exploration of {dataset.name}",
            {"images": total, "classes": len(dataset.class_names)},
            {"explained_variance_2d": sum(variance)},
        ),
    )


def _counts(split: Split, class_names: tuple[str, ...]) -> dict[str, int]:
    found = np.bincount(split.labels, minlength=len(class_names))
    return {name: int(count) for name, count in zip(class_names, found, strict=True)}


def _small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """An image as one row; larger ones shrink to 32x32, so that images of any size share one space."""
    from PIL import Image

    picture = Image.fromarray(image)
    if max(picture.size) > _SCATTER_SIDE or picture.size[0] != picture.size[1]:
        picture = picture.resize((_SCATTER_SIDE, _SCATTER_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(picture, dtype=np.float32).ravel() / np.float32(255)
