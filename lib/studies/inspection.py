"""Looking into data: labels that are probably wrong, near duplicates, and outliers, to be looked at and acted on.

All splits are looked into together, for a wrong label or a near duplicate matters in any of them. Nothing that is reported
of models elsewhere is chosen by it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from lib.datasets.images import image_name
from lib.datasets.splits import all_folds, different_images
from lib.datasets.thumbnails import THUMBNAIL
from lib.mlp.trial import Trial, require_distinct
from lib.studies.presentation import Presentation, RunNote, Section, escaped, table
from lib.studies.study import (
    Ahead,
    Drawing,
    Effort,
    Folder,
    Forecast,
    Group,
    Input,
    Kind,
    Need,
    Record,
    Result,
    Study,
    StudySettings,
    Table,
)
from lib.studies.sweep.result import Weights
from lib.text import counted, cut, listed, visible
from lib.validation import Stored

if TYPE_CHECKING:
    from lib.datasets import Dataset
    from lib.datasets.images import Digests, Image
    from lib.datasets.shrinking import Shrink
    from lib.places import Places

Positions = npt.NDArray[np.int64]
Part = Literal["labels", "duplicates", "outliers"]

_LEAST_STEPS = 500
"""Of a probe's training: few images have more epochs."""
_PAIRS = 5
"""Classes and suggested ones that notes name."""
_NEIGHBOURS = 10
"""Of each image; an outlier is judged by its mean distance to them (Kuan and Mueller 2022)."""


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    require_distinct("values", values)
    return values


Rates = Annotated[tuple[PositiveFloat, ...], Field(min_length=1), AfterValidator(_distinct)]
Penalties = Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1), AfterValidator(_distinct)]


class InspectionSettings(StudySettings):
    """Labels that are probably wrong, near duplicates, and outliers."""

    kind: Literal["inspection"] = "inspection"
    on: str = Field(description="The feature set, or data by its pixels, that images are compared by.")
    parts: Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(_distinct)] = Field(
        ("labels", "duplicates", "outliers"), description="What is looked for: labels, duplicates, outliers."
    )
    show: PositiveInt = Field(
        24, le=200, description="Findings of each part in its picture and notes; the table has all."
    )
    folds: int = Field(
        5,
        ge=2,
        description="Labels are judged by networks trained on the other folds; classes with fewer images are not.",
    )
    probe: Trial = Field(
        Trial(hidden=(), optimizer="adam", batch_size=128, epochs=10),
        description="The network that judges labels, but for its step size and L2 penalty: a linear probe.",
    )
    learning_rates: Rates = Field((0.0001, 0.001), description="Step sizes of the probe.")
    l2: Penalties = Field(
        (1.0, 100.0),
        description="L2 penalties of the probe. Of all pairs the one of the lowest log loss, on rows that it was not "
        "trained on, judges.",
    )
    near: float = Field(
        0.65,
        gt=0,
        le=1,
        description="Near duplicates are nearer than this share of the distance to the tenth nearest image, or than a "
        "smaller share where more than one image would be that near by chance.",
    )


class Judging(StrEnum):
    """Whether labels could be judged."""

    DONE = "done"
    NO_LABELS = "no labels"
    SEVERAL_SIZES = "several sizes"
    """Networks on raw pixels need images of one size."""
    TOO_FEW = "too few"
    """Fewer than two classes have an image for each fold."""


class Place(Stored):
    """An image: its split, its row in it, what it is called in its source (else its row), its label."""

    split: str
    row: int
    name: str
    label: int


class LabelError(Place):
    """An image whose label is probably wrong: what it probably is, and the probabilities of its label and of that."""

    suggested: int
    confidence: float
    of_suggested: float


class LabelErrors(Stored):
    """What judging the labels gave.

    Attributes
    ----------
    images : int
        Judged ones.
    left_out : tuple of int
        Classes with too few images.
    probe : Trial or None
        The settings that were chosen.
    accuracy, log_loss : float or None
        What its networks score on rows that they were not trained on.
    """

    judging: Judging
    images: int = 0
    left_out: tuple[int, ...] = ()
    probe: Trial | None = None
    accuracy: float | None = None
    log_loss: float | None = None
    found: tuple[LabelError, ...] = ()


class NearDuplicate(Place):
    """An image that could be left out, and its nearest duplicate, one of another split if there is any."""

    of: Place
    distance: float


class NearDuplicates(Stored):
    """Near duplicates: all but the first of each cluster. `within` is the share of the distance to the tenth nearest image."""

    within: float
    found: tuple[NearDuplicate, ...] = ()

    @property
    def across(self) -> int:
        """Test and validation images with a near duplicate among training images."""
        return sum(each.split != "train" and each.of.split == "train" for each in self.found)


class Outlier(Place):
    """An image far from all others, by its mean distance to the nearest of them."""

    distance: float


class Outliers(Stored):
    """Images whose distance is above Tukey's inner fence; `median` is that of all images."""

    fence: float
    median: float
    found: tuple[Outlier, ...] = ()


class InspectionResult(Result):
    """What was found; None of a part that was not looked for."""

    settings: InspectionSettings
    dataset: str
    input: str
    weights: Weights | None
    classes: tuple[str, ...]
    images: int
    labels: LabelErrors | None = None
    duplicates: NearDuplicates | None = None
    outliers: Outliers | None = None


class Inspection(Kind[InspectionSettings, InspectionResult]):
    """The kind of study "inspection"."""

    name = "inspection"
    settings = InspectionSettings
    result = InspectionResult
    question = "Which labels are probably wrong, which images are near duplicates, and which are unlike all others?"

    def needs(self, settings: InspectionSettings) -> tuple[Need, ...]:
        return (Need("on", settings.on, (Group.DATA, Group.FEATURES)),)

    def small_copies(self, settings: InspectionSettings) -> tuple[Shrink, ...]:
        return (THUMBNAIL,)

    def compute(self, study: Study[InspectionSettings]) -> InspectionResult:
        return _compute(study)

    def draw(self, result: InspectionResult, study: Study[InspectionSettings]) -> Iterator[Drawing | Table]:
        return _draw(result, study.dataset)

    def present(self, record: Record[InspectionResult]) -> Presentation:
        return _present(record)

    def forecast(
        self, name: str, settings: InspectionSettings, inputs: Mapping[str, Ahead], where: Places, folder: Folder | None
    ) -> Forecast:
        dataset = inputs["on"].dataset
        return Forecast(amount=None if dataset is None else float(sum(len(split) for split in dataset.splits.values())))

    def effort(self, result: InspectionResult) -> Effort:
        return Effort(float(result.images))


KIND = Inspection()


class Every:
    """All images of a dataset in one order, training images first: a position counts through its splits."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.splits = [name for name in ("train", "validation", "test") if name in dataset.splits]
        parts = [dataset.splits[name] for name in self.splits]
        self.labels = np.concatenate([part.labels for part in parts])
        self.split_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        self.row_of = np.concatenate([np.arange(len(part)) for part in parts])
        groups = [part.groups for part in parts if part.groups is not None]
        self.groups = np.concatenate(groups) if len(groups) == len(parts) else None

    @cached_property
    def digests(self) -> Digests:
        return np.concatenate([self.dataset.digests(name) for name in self.splits])

    def place(self, position: int) -> dict[str, Any]:
        """The fields of `Place`."""
        split, row = self.splits[self.split_of[position]], int(self.row_of[position])
        name = image_name(self.dataset.splits[split].images, row)
        return {"split": split, "row": row, "name": name, "label": int(self.labels[position])}


def _compute(study: Study[InspectionSettings]) -> InspectionResult:
    from lib.evaluation.neighbours import neighbours, unit_length
    from lib.progress import bar
    from lib.studies.likeness import rows_to_compare
    from lib.studies.sweep.rows import Source, parts_of

    settings, given = study.settings, study.inputs["on"]
    every = Every(given.dataset)
    count = len(every.labels)
    found: dict[str, Any] = {}
    if "labels" in settings.parts:
        found["labels"] = _judge(study, given, every)
    if set(settings.parts) - {"labels"}:
        X = unit_length(rows_to_compare(given, parts_of(given.dataset, every.splits, np.arange(count))))
        with bar(f"{study.name}: nearest images", count, "image") as advance:
            near, away = neighbours(X, _NEIGHBOURS, advance)
        if "duplicates" in settings.parts:
            found["duplicates"] = _duplicates(settings, every, near, away)
        if "outliers" in settings.parts:
            found["outliers"] = _outliers(every, away)
    return InspectionResult(
        settings=settings,
        dataset=given.dataset.name,
        input=Source(given, standardise=False).description,
        weights=None if given.feature_set is None else Weights(given.feature_set.manifest.settings.weights),
        classes=given.dataset.class_names,
        images=count,
        **found,
    )


def _judge(study: Study[InspectionSettings], given: Input, every: Every) -> LabelErrors:
    """Labels judged by networks that were trained on other folds; groups and exact duplicates are in one fold."""
    from lib.evaluation.label_errors import suspected_labels
    from lib.files import digest_json
    from lib.studies.sweep.answers import ask
    from lib.studies.sweep.rows import Division, Source, parts_of
    from lib.studies.sweep.training import train_all

    settings, dataset = study.settings, given.dataset
    if not dataset.labelled:
        return LabelErrors(judging=Judging.NO_LABELS)
    if given.feature_set is None and dataset.pixel_shape() is None:
        return LabelErrors(judging=Judging.SEVERAL_SIZES)
    counts = different_images(every.labels, len(dataset.class_names), every.groups, every.digests)
    enough = counts >= settings.folds
    left_out = tuple(np.flatnonzero(~enough & (counts > 0)).tolist())
    if enough.sum() < 2:
        return LabelErrors(judging=Judging.TOO_FEW, left_out=left_out)
    judged = np.flatnonzero(enough[every.labels])
    labels, groups = every.labels[judged], None if every.groups is None else every.groups[judged]
    source = Source(given, standardise=True)
    batches = len(judged) * (1 - 1 / settings.folds) / settings.probe.batch_size
    epochs = max(settings.probe.epochs, math.ceil(_LEAST_STEPS / max(batches, 1)))
    trials = [
        settings.probe.model_copy(update={"learning_rate": rate, "l2": l2, "epochs": epochs})
        for rate in settings.learning_rates
        for l2 in settings.l2
    ]
    probabilities = np.empty((len(trials), len(judged), len(dataset.class_names)), np.float32)
    folds = all_folds(labels, settings.folds, groups, every.digests[judged], dataset.class_names, repr(dataset.name))
    for fold, (kept, held) in enumerate(folds, 1):
        parts = [parts_of(dataset, every.splits, judged[rows]) for rows in (kept, held)]
        key = digest_json([given.digest, "inspection", judged[kept].tolist(), judged[held].tolist()])
        division = Division(source, key, *parts)
        trained = train_all(trials, division, study.folder, f"{study.name}: fold {fold} of {settings.folds}")
        for of_trial, each in zip(probabilities, trained, strict=True):
            of_trial[held] = ask(each.network(), division.rows.data.X_validation)
        division.release()
    own = probabilities[:, np.arange(len(judged)), labels].astype(np.float64)
    losses = -np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean(axis=1)
    best = int(losses.argmin())
    rows, suggested = suspected_labels(labels, probabilities[best])
    return LabelErrors(
        judging=Judging.DONE,
        images=len(judged),
        left_out=left_out,
        probe=trials[best],
        accuracy=float((probabilities[best].argmax(axis=1) == labels).mean()),
        log_loss=float(losses[best]),
        found=tuple(
            LabelError(
                **every.place(judged[row]),
                suggested=label,
                confidence=float(own[best, row]),
                of_suggested=float(probabilities[best, row, label]),
            )
            for row, label in zip(rows.tolist(), suggested.tolist(), strict=True)
        ),
    )


def _duplicates(
    settings: InspectionSettings, every: Every, near: Positions, away: npt.NDArray[np.float32]
) -> NearDuplicates:
    from lib.evaluation.neighbours import near_duplicates, rare_share

    within = min(settings.near, rare_share(away, 1 / len(away)))
    rows, others, distances = near_duplicates(near, away, within, every.split_of, every.groups)
    order = np.lexsort((rows, distances, every.split_of[rows] == every.split_of[others]))
    return NearDuplicates(
        within=within,
        found=tuple(
            NearDuplicate(**every.place(row), of=Place(**every.place(other)), distance=distance)
            for row, other, distance in zip(
                rows[order].tolist(), others[order].tolist(), distances[order].tolist(), strict=True
            )
        ),
    )


def _outliers(every: Every, away: npt.NDArray[np.float32]) -> Outliers:
    from lib.evaluation.neighbours import inner_fence

    distances = away.mean(axis=1) if away.size else np.zeros(len(away), np.float32)
    fence = inner_fence(distances)
    rows = np.flatnonzero(distances > fence)
    rows = rows[np.argsort(-distances[rows], kind="stable")]
    found = tuple(Outlier(**every.place(row), distance=float(distances[row])) for row in rows.tolist())
    return Outliers(fence=fence, median=float(np.median(distances)), found=found)


def _draw(result: InspectionResult, dataset: Dataset) -> Iterator[Drawing | Table]:
    from lib.figures.images import sample_grid, side_by_side

    def images(places: Iterable[Place]) -> Iterator[Image]:
        return (dataset.splits[each.split].images[each.row] for each in places)

    most, names = result.settings.show, [visible(name) for name in result.classes]
    if suspects := result.labels.found[:most] if result.labels else ():
        words = [
            f"{_short(each)}\n{names[each.label]}: {each.confidence:.1%}\n{names[each.suggested]}: {each.of_suggested:.1%}"
            for each in suspects
        ]
        caption = f"{result.dataset}: labels that are probably wrong"
        title = f"{caption}\neach label and the suggested one with their probabilities"
        yield Drawing("labels", caption, sample_grid(images(suspects), words, title, columns=6, size=(1.45, 1.8)))
    if pairs := result.duplicates.found[:most] if result.duplicates else ():
        words = [
            f"{_short(pair)}\n{_short(pair.of)}\n{', '.join(dict.fromkeys(names[each.label] for each in (pair, pair.of)))}"
            for pair in pairs
        ]
        both = (side_by_side(*images((pair, pair.of))) for pair in pairs)
        caption = f"{result.dataset}: near duplicates, in pairs"
        yield Drawing("duplicates", caption, sample_grid(both, words, caption, columns=4, size=(2.1, 1.7)))
    if far := result.outliers.found[:most] if result.outliers else ():
        words = [f"{_short(each)}\n{names[each.label]}" for each in far]
        caption = f"{result.dataset}: outliers"
        yield Drawing("outliers", caption, sample_grid(images(far), words, caption, columns=6, size=(1.45, 1.6)))
    if rows := list(_rows(result)):
        yield Table("found", "everything that was found, with file names", rows)


def _short(place: Place) -> str:
    """Split and file name of an image, without folders."""
    return f"{place.split} {place.name.rsplit('/', 1)[-1]}"


_OF_SOME_REASONS = ("suggested_class", "self_confidence", "of_split", "of_row", "of_file", "of_class", "distance")
"""Columns of findings that are empty where another reason has them."""


def _rows(result: InspectionResult) -> Iterator[dict[str, Any]]:
    """All findings as one table."""
    for reason, found in (
        ("label error", result.labels),
        ("near duplicate", result.duplicates),
        ("outlier", result.outliers),
    ):
        for each in found.found if found else ():
            row: dict[str, Any] = {
                "reason": reason,
                "split": each.split,
                "row": each.row,
                "file": each.name,
                "class": result.classes[each.label],
                **dict.fromkeys(_OF_SOME_REASONS, ""),
            }
            if isinstance(each, LabelError):
                row |= {"suggested_class": result.classes[each.suggested], "self_confidence": each.confidence}
            else:
                row["distance"] = each.distance
            if isinstance(each, NearDuplicate):
                of = each.of
                row |= {
                    "of_split": of.split,
                    "of_row": of.row,
                    "of_file": of.name,
                    "of_class": result.classes[of.label],
                }
            yield row


def _present(record: Record[InspectionResult]) -> Presentation:
    result = record.result
    title = f"{record.name}: what stands out among the images of {result.dataset}, by {result.input}"
    metrics: dict[str, float] = {}
    told, sections, warnings = [], [], []
    if (labels := result.labels) is not None:
        sections.append(Section("Labels", "\n".join(_label_lines(result, labels))))
        if labels.judging is Judging.DONE:
            assert labels.accuracy is not None
            metrics |= {"label_errors": len(labels.found), "out_of_sample_accuracy": labels.accuracy}
            told.append(f"{counted(len(labels.found), 'label')} of {labels.images:,} probably wrong")
    if (duplicates := result.duplicates) is not None:
        sections.append(Section("Near duplicates", "\n".join(_duplicate_lines(result, duplicates))))
        metrics |= {"near_duplicates": len(duplicates.found), "near_duplicates_across_splits": duplicates.across}
        told.append(counted(len(duplicates.found), "near duplicate"))
        if duplicates.across:
            warnings.append(
                f"near duplicates of training images among test and validation images: {duplicates.across:,}, by which "
                "scores on them are too high"
            )
    if (outliers := result.outliers) is not None:
        sections.append(Section("Outliers", "\n".join(_outlier_lines(result, outliers))))
        metrics["outliers"] = len(outliers.found)
        told.append(counted(len(outliers.found), "outlier"))
    if metrics:
        sections.append(Section("", "All findings with file names are in `found.csv`, to be acted on after a look."))
    if result.weights is Weights.RANDOM:
        warnings.append(f"the weights of {result.settings.on} are RANDOM")
    return Presentation(
        title=title,
        question=Inspection.question,
        headline=f"{result.images:,} images: {', '.join(told) or 'nothing could be judged'}",
        sections=tuple(sections),
        warnings=tuple(warnings),
        parent=RunNote(record.key, title, {"images": result.images, "input": result.input}, metrics),
        input=result.input,
        random_weights=result.weights is Weights.RANDOM,
    )


def _label_lines(result: InspectionResult, labels: LabelErrors) -> Iterator[str]:
    settings = result.settings
    if labels.judging is not Judging.DONE:
        yield {
            Judging.NO_LABELS: "Not judged: the images have no labels.",
            Judging.SEVERAL_SIZES: "Not judged: the images are of several sizes, and networks on raw pixels need one; "
            "name a feature set in `on`.",
            Judging.TOO_FEW: f"Not judged: fewer than two classes have {settings.folds} different images, one for each fold; "
            "lower `folds` or add images.",
        }[labels.judging]
        return
    assert labels.probe is not None
    yield (
        f"{labels.images:,} labels judged by networks trained on the other of {settings.folds} folds (step size "
        f"{labels.probe.learning_rate:g}, L2 {labels.probe.l2:g}; out-of-sample accuracy {labels.accuracy:.1%}), by "
        "confident learning (Northcutt et al. 2021)."
    )
    if labels.left_out:
        names = listed([result.classes[label] for label in labels.left_out])
        yield f"\nLeft out, for they have fewer than {settings.folds} different images: {escaped(names)}."
    if not labels.found:
        yield "\nNo label is probably wrong."
        return
    pairs = Counter((each.label, each.suggested) for each in labels.found).most_common(_PAIRS)
    classes = [escaped(visible(name)) for name in result.classes]
    often = (f"{count:,} of {classes[a]} look like {classes[b]}" for (a, b), count in pairs)
    yield f"\nMost often: {'; '.join(often)}.\n"
    yield table(
        ("image", "label", "probability", "suggested", "probability"),
        (
            (
                _escaped_place(each),
                classes[each.label],
                f"{each.confidence:.1%}",
                classes[each.suggested],
                f"{each.of_suggested:.1%}",
            )
            for each in labels.found[: settings.show]
        ),
    )


def _duplicate_lines(result: InspectionResult, duplicates: NearDuplicates) -> Iterator[str]:
    yield (
        f"Nearer than {duplicates.within:.2f} of the distance to the tenth nearest image; of each cluster all but its first "
        "image."
    )
    if not duplicates.found:
        yield "\nNo near duplicates."
        return
    yield f"\n{duplicates.across:,} of {len(duplicates.found):,} lie in test or validation and their duplicate in train.\n"
    yield table(
        ("image", "class", "duplicate of", "class", "distance"),
        (
            (*_image_cells(result, each), *_image_cells(result, each.of), f"{each.distance:.3g}")
            for each in duplicates.found[: result.settings.show]
        ),
    )


def _outlier_lines(result: InspectionResult, outliers: Outliers) -> Iterator[str]:
    yield (
        f"By the mean distance to the {_NEIGHBOURS} nearest images: median {outliers.median:.3g}, outliers above "
        f"{outliers.fence:.3g} (Tukey's inner fence)."
    )
    if not outliers.found:
        yield "\nNo outliers."
        return
    rows = ((*_image_cells(result, each), f"{each.distance:.3g}") for each in outliers.found[: result.settings.show])
    yield f"\n{table(('image', 'class', 'distance'), rows)}"


def _image_cells(result: InspectionResult, place: Place) -> tuple[str, str]:
    return _escaped_place(place), escaped(result.classes[place.label])


def _escaped_place(place: Place) -> str:
    told = place.name.startswith(f"{place.split}/")  # as in folders of splits
    return escaped(cut(place.name) if told else f"{place.split} {cut(place.name)}")
