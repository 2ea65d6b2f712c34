"""A first look at image data: a grid of samples, a PCA scatter, and how many images each class has.

It needs no labels: images without any are all of one class, which has no name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, PositiveInt

from lib.datasets.thumbnails import THUMBNAIL, thumbnails
from lib.studies.presentation import Presentation, RunNote, Section, escaped
from lib.studies.study import (
    Ahead,
    Drawing,
    Effort,
    Folder,
    Forecast,
    Group,
    Kind,
    Need,
    Record,
    Result,
    Study,
    StudySettings,
    Table,
)
from lib.text import size_words, visible

if TYPE_CHECKING:
    from lib.datasets import Split
    from lib.datasets.shrinking import Shrink
    from lib.places import Places

_SEED = 0
_CLASSES = 30
"""Classes that notes list."""

_UNNAMED = "images"
"""What the class of images without labels is called in figures and tables."""


class ExplorationSettings(StudySettings):
    """A first look at a dataset."""

    kind: Literal["exploration"] = "exploration"
    on: str = Field(description="The data to look at.")
    grid: PositiveInt = Field(16, le=256, description="Images in the grid of samples.")
    scatter: PositiveInt = Field(2000, description="Images in the PCA scatter.")


class ExplorationResult(Result):
    """What a dataset holds."""

    settings: ExplorationSettings
    dataset: str
    labelled: bool
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    """Split -> images of each class; the class "" of images without labels."""
    shapes: tuple[tuple[tuple[int, ...], int], ...]
    """Shape of an image -> how many have it, the most frequent first; at most eight of `distinct_shapes`."""
    distinct_shapes: int
    shown: tuple[int, ...]
    scattered: tuple[int, ...]
    """Training rows in the grid of samples, and in the scatter."""
    points: tuple[tuple[float, float], ...]
    """Of `scattered`: first two principal components of the pixels."""
    explained_variance: tuple[float, float]
    """Share of variance of either."""

    @property
    def images(self) -> int:
        return sum(sum(of.values()) for of in self.counts.values())


class Exploration(Kind[ExplorationSettings, ExplorationResult]):
    """A first look at image data."""

    name = "exploration"
    version = 2
    settings = ExplorationSettings
    result = ExplorationResult
    question = "What do the images look like, and how many of each class are there?"

    def needs(self, settings: ExplorationSettings) -> tuple[Need, ...]:
        return (Need("on", settings.on, (Group.DATA,)),)

    def small_copies(self, settings: ExplorationSettings) -> tuple[Shrink, ...]:
        """The images of the scatter."""
        return (THUMBNAIL,)

    def compute(self, study: Study[ExplorationSettings]) -> ExplorationResult:
        """Count the images, choose samples, and find principal components of the pixels."""
        from lib.evaluation.projections import principal_components, sample_by_class

        dataset, settings = study.dataset, study.settings
        train = dataset.splits["train"]
        shown = sample_by_class(train.labels, settings.grid, _SEED)[: settings.grid]
        scattered = sample_by_class(train.labels, settings.scatter, _SEED)
        points, shares = principal_components(thumbnails(dataset, "train", scattered), 2, _SEED)
        first, second = [*shares.tolist(), 0.0, 0.0][:2]
        return ExplorationResult(
            settings=settings,
            dataset=dataset.name,
            labelled=dataset.labelled,
            classes=dataset.class_names,
            counts={
                name: dict(zip(dataset.class_names, _counts(split, len(dataset.class_names)), strict=True))
                for name, split in dataset.splits.items()
            },
            shapes=tuple(dataset.shapes.items())[:8],
            distinct_shapes=len(dataset.shapes),
            shown=tuple(shown.tolist()),
            scattered=tuple(scattered.tolist()),
            points=tuple((x, y) for x, y in points.tolist()),
            explained_variance=(first, second),
        )

    def draw(self, result: ExplorationResult, study: Study[ExplorationSettings]) -> Iterator[Drawing | Table]:
        from lib.figures.classes import class_distribution
        from lib.figures.images import sample_grid
        from lib.figures.plane import scatter

        train = study.dataset.splits["train"]
        names = _names(result)
        titles = [visible(names[train.labels[row]]) if result.labelled else "" for row in result.shown]
        caption = f"{result.dataset}: {len(titles)} training images"
        images = (train.images[row] for row in result.shown)
        yield Drawing("samples", caption, sample_grid(images, titles, caption))
        points = np.array(result.points)
        axes = [f"component {k} ({share:.1%} of variance)" for k, share in enumerate(result.explained_variance, 1)]
        caption = f"{result.dataset}: PCA of {len(points):,} training images"
        labels = train.labels[np.array(result.scattered)]
        yield Drawing("pca", caption, scatter(points, labels, names, caption, (axes[0], axes[1])))
        counts = {split: dict(zip(names, of.values(), strict=True)) for split, of in result.counts.items()}
        caption = f"{result.dataset}: images of each class"
        yield Drawing("classes", caption, class_distribution(counts, caption))
        rows = [{"split": split, "class": name, "images": n} for split, of in counts.items() for name, n in of.items()]
        yield Table("classes", caption, rows)

    def present(self, record: Record[ExplorationResult]) -> Presentation:
        result, note = record.result, record.dataset
        variance = sum(result.explained_variance)
        classes = _classes_words(result) if result.labelled else "no labels"
        names = _names(result)
        lines = [
            f"{escaped(note.origin)}. {result.images:,} images; digest `{note.digest[:16]}`. "
            "No test image is a training image (checked by content).",
            "",
            *(
                f"- {split}: {_counts_words(dict(zip(names, of.values(), strict=True)))}"
                for split, of in result.counts.items()
            ),
            f"- {_shapes(result)}",
            f"- the first two principal components hold {variance:.1%} of the variance",
        ]
        title = f"Exploration of {result.dataset}"
        return Presentation(
            title=title,
            question=self.question,
            headline=f"{result.images:,} images, {classes}",
            sections=(Section("", "\n".join(lines)),),
            warnings=note.warnings,
            parent=RunNote(
                record.key,
                title,
                {"images": result.images, "classes": len(result.classes) if result.labelled else 0},
                {"explained_variance_2d": variance},
            ),
        )

    def effort(self, result: ExplorationResult) -> Effort | None:
        return Effort(float(result.images))

    def forecast(
        self,
        name: str,
        settings: ExplorationSettings,
        inputs: Mapping[str, Ahead],
        where: Places,
        folder: Folder | None,
    ) -> Forecast:
        dataset = inputs["on"].dataset
        return Forecast(amount=None if dataset is None else float(sum(len(split) for split in dataset.splits.values())))


def _names(result: ExplorationResult) -> tuple[str, ...]:
    return result.classes if result.labelled else (_UNNAMED,)


def _classes_words(result: ExplorationResult) -> str:
    """How many classes there are, and of how many images over all splits."""
    every = [sum(of[name] for of in result.counts.values()) for name in result.classes]
    return f"{len(every):,} classes of {min(every):,}{f' to {max(every):,}' if max(every) > min(every) else ''} images"


def _counts_words(counts: Mapping[str, int]) -> str:
    """Images of each class in Markdown; of many classes their range."""
    if len(counts) <= _CLASSES:
        return ", ".join(f"{escaped(name)} {n:,}" for name, n in counts.items())
    return f"{len(counts):,} classes of {min(counts.values()):,} to {max(counts.values()):,} images (`classes.csv`)"


def _shapes(result: ExplorationResult) -> str:
    (shape, count), *_ = result.shapes
    size = size_words(shape) + (" in colour" if len(shape) == 3 else " in grey")
    if result.distinct_shapes == 1:
        return f"all images are {size}"
    return f"{result.distinct_shapes:,} shapes; the most frequent is {size}, {count:,} images"


def _counts(split: Split, classes: int) -> list[int]:
    counts: list[int] = np.bincount(split.labels, minlength=classes).tolist()
    return counts


KIND = Exploration()
