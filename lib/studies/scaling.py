"""Scaling curves: test accuracy against the number of training images a class, for heads and inputs side by side.

Each draw takes images of each class in an order of its own; a size's rows are the first of that order, so a larger one
holds the smaller. Heads train for about as many steps at each size, and come as they are; baselines choose their settings
on a part of each size's own rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, PositiveInt, model_validator

from lib.evaluation.intervals import Interval
from lib.mlp.trial import Seeds, Trial
from lib.studies.entry import Entry, ModelKind, Standing
from lib.studies.presentation import Presentation, Role, Rows, RunNote, Section
from lib.studies.study import Ahead, Drawing, Effort, Folder, Forecast, Kind, Need, Record, Result, Study, Table
from lib.studies.sweep import require_comparable, require_test
from lib.studies.sweep.result import Representation, Weights
from lib.studies.sweep.settings import ComparingSettings, VariantName, distinct
from lib.validation import Stored

if TYPE_CHECKING:
    from lib.places import Places
    from lib.studies.sweep.rows import Division, Source

_WATCHED = 32
"""Training rows whose loss is watched epoch by epoch: test rows are asked once, in the end."""

_HELD_OUT = 0.2
"""Share of a size's rows of each class by which baselines choose their settings."""

Baseline = Literal["majority", "logistic", "knn"]
Positions = npt.NDArray[np.int64]


def _rising(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if list(sizes) != sorted(set(sizes)):
        raise ValueError(f"sizes {list(sizes)} do not rise; put them in order, each once")
    return sizes


class ScalingSettings(ComparingSettings):
    """Test accuracy against the number of training images a class."""

    kind: Literal["scaling"] = "scaling"
    heads: dict[VariantName, Trial] = Field(
        {"linear": Trial(hidden=(), optimizer="adam", learning_rate=0.001, batch_size=64, epochs=30)},
        description="Named networks, each by its settings; epochs are of all images, and fewer images have more.",
    )
    baselines: Annotated[tuple[Baseline, ...], AfterValidator(distinct)] = Field(
        ("knn",), description="Other models on the same rows: majority, logistic, knn."
    )
    per_class: Annotated[tuple[PositiveInt, ...], Field(min_length=1), AfterValidator(_rising)] = Field(
        (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        description="Training images of each class; all images always come last.",
    )
    draws: Seeds = Field((0, 1, 2, 3, 4), description="Seeds; each draws the images and trains each head once.")
    most_epochs: PositiveInt = Field(1000, description="Epochs of a head at most, however few the images are.")

    @model_validator(mode="after")
    def _consistent(self) -> ScalingSettings:
        if self.on in self.also_on:
            raise ValueError(f"also_on names {self.on!r}, which the study is on already; leave it out there")
        if not self.heads and not self.baselines:
            raise ValueError("there is nothing to train: name heads or baselines")
        return self


class Size(Stored):
    """A size of the training set, and what came of it."""

    per_class: int | None
    """Images of each class; None for all."""
    rows: int
    """Images in all; classes that have fewer give all they have."""
    accuracies: tuple[float, ...]
    """Test accuracy of each draw, in the order of the settings."""
    accuracy: Interval
    """Their mean, with a 95 % interval for other draws and other test rows together."""


class Curve(Stored):
    """One head or baseline on one input. `input` is a position among the study's representations."""

    input: int
    head: str
    baseline: bool
    sizes: tuple[Size, ...]
    seconds: float


class Worth(Stored):
    """How many images a class another input needs for the accuracy that the first has with fewer."""

    head: str
    input: int
    images: float
    """Images a class of the first input, on average where classes differ."""
    accuracy: float
    needed: float | None
    """Of the other, between its sizes on a logarithmic scale; None where all its images do not reach it."""


class ScalingResult(Result):
    """The curves of all heads on all inputs, and what the first input's images are worth in images of the others."""

    settings: ScalingSettings
    representations: tuple[Representation, ...]
    classes: tuple[str, ...]
    test_rows: int
    groups: int | None
    curves: tuple[Curve, ...]
    worth: tuple[Worth, ...]


class Scaling(Kind[ScalingSettings, ScalingResult]):
    """The kind of study "scaling"."""

    name = "scaling"
    version = 2
    settings = ScalingSettings
    result = ScalingResult
    question = "How does test accuracy grow with the number of training images?"

    def needs(self, settings: ScalingSettings) -> tuple[Need, ...]:
        return settings.needs

    def check(self, name: str, settings: ScalingSettings, inputs: Mapping[str, Ahead]) -> None:
        require_comparable(f"studies.{name}", settings.roles, inputs)
        require_test(inputs["on"], f"studies.{name} is a scaling curve, which is of test accuracies")

    def compute(self, study: Study[ScalingSettings]) -> ScalingResult:
        return _compute(study)

    def draw(self, result: ScalingResult, study: Study[ScalingSettings]) -> Iterator[Drawing | Table]:
        from lib.figures.scaling import Line, scaling_curves

        lines = [
            Line(
                _name(result, curve),
                curve.input,
                [size.rows / len(result.classes) for size in curve.sizes],
                [size.accuracy for size in curve.sizes],
                [size.accuracies for size in curve.sizes],
            )
            for curve in result.curves
        ]
        inputs = [each.description for each in result.representations]
        words = f"{_title(result, study.dataset.name)}\nbands: 95 % interval over draws and test rows together"
        yield Drawing("scaling", "Test accuracy against training images a class", scaling_curves(lines, inputs, words))
        yield Table("scaling", "test accuracy by training images a class", list(_rows(result)))
        if result.worth:
            rows = [
                {
                    "head": each.head,
                    "images_a_class": each.images,
                    "of": result.representations[0].description,
                    "accuracy": each.accuracy,
                    "need_images_a_class": "" if each.needed is None else each.needed,
                    "of_other": result.representations[each.input].description,
                }
                for each in result.worth
            ]
            yield Table("worth", "images a class that another input needs for the same accuracy", rows)

    def present(self, record: Record[ScalingResult]) -> Presentation:
        return _present(record)

    def entries(self, record: Record[ScalingResult]) -> tuple[Entry, ...]:
        return tuple(_entry(record, curve) for curve in record.result.curves)

    def forecast(
        self, name: str, settings: ScalingSettings, inputs: Mapping[str, Ahead], where: Places, folder: Folder | None
    ) -> Forecast:
        main = inputs["on"].dataset
        trials = len(settings.heads) * len(settings.roles) * len(settings.draws)
        if main is None:
            return Forecast(trials=None)
        labels = _labels(main)
        trials *= len(sizes_of(settings, labels))
        return Forecast(trials=trials, stored=None, amount=float(trials * len(labels)))

    def effort(self, result: ScalingResult) -> Effort:
        heads = [curve for curve in result.curves if not curve.baseline]
        draws, rows = len(result.settings.draws), result.curves[0].sizes[-1].rows
        return Effort(float(sum(len(curve.sizes) for curve in heads) * draws * rows))


KIND = Scaling()


def sizes_of(settings: ScalingSettings, labels: npt.NDArray[np.int64]) -> list[int | None]:
    """The sizes that there are images for, then None for all; `labels` are those of the rows to draw from, shape (n,)."""
    most = int(np.bincount(labels).max())
    return [*(each for each in settings.per_class if each < most), None]


def drawn(labels: npt.NDArray[np.int64], per_class: int | None, draw: int) -> Positions:
    """Rows of a size, sorted: of each class the first in the draw's own order, shape (n,)."""
    if per_class is None:
        return np.arange(len(labels))
    order = np.random.default_rng(draw).permutation(len(labels))
    chosen = [order[labels[order] == label][:per_class] for label in np.unique(labels)]
    return np.sort(np.concatenate(chosen))


def _labels(dataset: Any) -> npt.NDArray[np.int64]:
    """Labels of all rows that are not tested, shape (n,), training rows first."""
    return np.concatenate([dataset.splits[name].labels for name in _development(dataset)])


def _development(dataset: Any) -> list[str]:
    return [name for name in ("train", "validation") if name in dataset.splits]


def _compute(study: Study[ScalingSettings]) -> ScalingResult:
    from lib.progress import bar
    from lib.studies.sweep.rows import sources_of

    settings, dataset, sources = study.settings, study.dataset, sources_of(study)
    test, sizes = dataset.splits["test"], sizes_of(settings, _labels(dataset))
    curves: list[Curve] = []
    with bar(study.name, len(sources) * len(sizes) * len(settings.draws), "training set") as advance:
        for place, source in enumerate(sources):
            curves += list(_curves_of(study, source, place, sizes, advance))
    return ScalingResult(
        settings=settings,
        representations=tuple(source.representation for source in sources),
        classes=dataset.class_names,
        test_rows=len(test),
        groups=None if test.groups is None else len(np.unique(test.groups)),
        curves=tuple(curves),
        worth=tuple(_worth(curves, len(dataset.class_names))),
    )


def _curves_of(
    study: Study[ScalingSettings],
    source: Source,
    place: int,
    sizes: Sequence[int | None],
    advance: Callable[[int], None],
) -> Iterator[Curve]:
    """The curves of all heads and baselines on one input, which stands at this place among the inputs."""
    from lib.evaluation.resampling import over_seeds_and_rows

    settings, labels, test = study.settings, _labels(study.dataset), study.dataset.splits["test"]
    found: dict[str, list[Size]] = {name: [] for name in (*settings.heads, *settings.baselines)}
    seconds = dict.fromkeys(found, 0.0)
    for size in sizes:
        right: dict[str, list[npt.NDArray[np.bool_]]] = {name: [] for name in found}
        for draw in settings.draws:
            rows = drawn(labels, size, draw)
            for name, (probabilities, took) in _answers(study, source, rows, size, draw).items():
                right[name].append(probabilities.argmax(axis=1) == test.labels)
                seconds[name] += took
            advance(1)
        for name, each in right.items():
            accuracies = tuple(float(of.mean()) for of in each)
            interval = over_seeds_and_rows(np.stack(each), test.labels, test.groups)
            found[name].append(Size(per_class=size, rows=len(rows), accuracies=accuracies, accuracy=interval))
    for name, of in found.items():
        baseline = name not in settings.heads
        yield Curve(input=place, head=name, baseline=baseline, sizes=tuple(of), seconds=seconds[name])


def _answers(
    study: Study[ScalingSettings], source: Source, rows: Positions, size: int | None, draw: int
) -> dict[str, tuple[npt.NDArray[np.floating], float]]:
    """Probabilities of the test rows by each head and baseline, trained on these rows, and seconds it took."""
    from lib.studies.sweep.answers import ask
    from lib.studies.sweep.baselines import baseline_models, held_out_of
    from lib.studies.sweep.training import train_all

    settings, total = study.settings, len(_labels(study.dataset))
    tested = _division(source, rows, "test")
    label = f"{study.name}: {'all images' if size is None else f'{size:,} a class'}, {source.input.name}, draw {draw}"
    found: dict[str, tuple[npt.NDArray[np.floating], float]] = {}
    if settings.heads:
        trials = [_trial(head, len(rows), total, draw, settings.most_epochs) for head in settings.heads.values()]
        trained = train_all(trials, _division(source, rows, "train"), study.folder, label)
        X = tested.rows.data.X_validation
        for name, each in zip(settings.heads, trained, strict=True):
            found[name] = ask(each.network(), X), each.seconds
    if settings.baselines:
        held_out = held_out_of(tested, _HELD_OUT)
        models = baseline_models(settings.baselines, [], tested, held_out, study.where.baselines, f"{label}, baselines")
        for name, model in zip(settings.baselines, models, strict=True):
            found[name] = model.answers[0].probabilities, model.tuning.seconds + model.answers[0].seconds
    tested.release()
    return found


def _trial(head: Trial, rows: int, total: int, draw: int, most: int) -> Trial:
    """The head with the draw's seed, and epochs for about as many steps as it has on all rows."""
    batches = math.ceil(total / min(head.batch_size, total))
    own = math.ceil(rows / min(head.batch_size, rows))
    epochs = min(max(most, head.epochs), math.ceil(head.epochs * batches / own))
    return head.model_copy(update={"seed": draw, "epochs": epochs})


def _division(source: Source, rows: Positions, watched: str) -> Division:
    """Some of the rows that are not tested, and all test rows or a few of themselves."""
    from lib.files import digest_json
    from lib.studies.sweep.rows import Division, parts_of

    parts = parts_of(source.dataset, _development(source.dataset), rows)
    first = (parts[0][0], parts[0][1][:_WATCHED])
    seen = (("test", np.arange(len(source.dataset.splits["test"]))),) if watched == "test" else (first,)
    key = digest_json([source.input.digest, source.standardise, "scaling", watched, rows.tolist()])
    return Division(source, key, parts, seen)


def _worth(curves: Sequence[Curve], classes: int) -> Iterator[Worth]:
    """For each size of the first input, what each other input needs."""
    first = {curve.head: curve for curve in curves if curve.input == 0}
    for curve in curves:
        if curve.input == 0:
            continue
        points = [(size.rows / classes, size.accuracy.estimate) for size in curve.sizes]
        for size in first[curve.head].sizes:
            yield Worth(
                head=curve.head,
                input=curve.input,
                images=size.rows / classes,
                accuracy=size.accuracy.estimate,
                needed=_where(points, size.accuracy.estimate),
            )


def _where(points: Sequence[tuple[float, float]], accuracy: float) -> float | None:
    """Where a curve first reaches an accuracy, between its points on a logarithmic axis; None where it does not.

    >>> _where([(1, 0.5), (100, 0.9)], 0.7), _where([(1, 0.5), (100, 0.9)], 0.95), _where([(2, 0.5)], 0.4)
    (10.0, None, 2)
    """
    if points[0][1] >= accuracy:
        return points[0][0]
    for (before, low), (after, high) in pairwise(points):
        if high >= accuracy:
            share = (accuracy - low) / (high - low)
            return round(math.exp(math.log(before) + share * math.log(after / before)), 9)
    return None


def _name(result: ScalingResult, curve: Curve) -> str:
    from lib.evaluation.baselines import BASELINES

    head = BASELINES[curve.head].title if curve.baseline else curve.head
    return head if len(result.representations) == 1 else f"{head} on {result.representations[curve.input].node}"


def _entry(record: Record[ScalingResult], curve: Curve) -> Entry:
    """A head or baseline as all images trained it."""
    from lib.evaluation.baselines import BASELINES
    from lib.mlp.grouping import n_parameters
    from lib.mlp.labels import architecture

    result, every = record.result, curve.sizes[-1]
    source, classes = result.representations[curve.input], len(result.classes)
    head = None if curve.baseline else result.settings.heads[curve.head]
    if head is None:
        model, settings = BASELINES[curve.head].title, ""
        parameters = BASELINES[curve.head].parameters(source.width, classes, None)
    else:
        model, settings = architecture(head.hidden), curve.head
        parameters = n_parameters(head, source.width, classes)
    return Entry(
        study=record.name,
        model=model,
        settings=settings,
        kind=ModelKind.BASELINE if curve.baseline else ModelKind.NETWORK,
        input=source.node,
        random_weights=source.weights is Weights.RANDOM,
        data=record.dataset.name,
        digest=record.dataset.digest,
        rows=Rows.TEST,
        count=result.test_rows,
        score=every.accuracy,
        seeds=every.accuracies,
        standing=Standing.NOT_COMPARED,
        parameters=parameters,
    )


def _title(result: ScalingResult, dataset: str) -> str:
    return f"{result.settings.on}: test accuracy by training images a class of {dataset}"


def _images(size: Size) -> str:
    return f"all ({size.rows:,})" if size.per_class is None else f"{size.per_class:,}"


def _rows(result: ScalingResult) -> Iterator[dict[str, Any]]:
    for curve in result.curves:
        for size in curve.sizes:
            yield {
                "head": curve.head,
                "input": result.representations[curve.input].description,
                "images_a_class": "all" if size.per_class is None else size.per_class,
                "rows": size.rows,
                "accuracy": size.accuracy.estimate,
                "accuracy_low": size.accuracy.low,
                "accuracy_high": size.accuracy.high,
                "draws": len(size.accuracies),
            }


def _present(record: Record[ScalingResult]) -> Presentation:
    from lib.mlp.labels import params

    result = record.result
    settings = result.settings
    title = _title(result, record.dataset.name)
    best = max(result.curves, key=lambda curve: curve.sizes[-1].accuracy.estimate)
    few, every = best.sizes[0], best.sizes[-1]
    headline = (
        f"{_name(result, best)}: test accuracy {few.accuracy.estimate:.3f} with {_images(few)} training images a class, "
        f"{every.accuracy.rounded} with all {every.rows:,}"
    )
    how = (
        f"{len(settings.draws)} draws of images of each class, a larger one holding the smaller; {result.test_rows:,} test "
        "rows. Means over draws, with 95 % confidence intervals for other draws and other test rows together. Heads have the "
        "settings that the profile gives them: none is tuned here."
    )
    random = [each.node for each in result.representations if each.weights is Weights.RANDOM]
    return Presentation(
        title=title,
        question=Scaling.question,
        headline=headline,
        sections=(Section("", how),),
        warnings=tuple(f"the weights of {name} are RANDOM" for name in random),
        parent=RunNote(
            record.key,
            title,
            {
                "input": result.representations[0].description,
                "draws": len(settings.draws),
                "sizes": len(result.curves[0].sizes),
            },
            {"test_accuracy": every.accuracy.estimate},
        ),
        runs=tuple(
            RunNote(
                key=f"{record.key}-{place}",
                name=_name(result, curve),
                params={
                    "head": curve.head,
                    "input": result.representations[curve.input].description,
                    **({} if curve.baseline else params(settings.heads[curve.head])),
                },
                metrics={
                    "test_accuracy": curve.sizes[-1].accuracy.estimate,
                    "test_accuracy_low": curve.sizes[-1].accuracy.low,
                    "test_accuracy_high": curve.sizes[-1].accuracy.high,
                    "training_seconds": curve.seconds,
                },
                history=tuple(
                    {
                        "epoch": float(size.rows),
                        "seconds": 0.0,
                        "accuracy_by_training_images": size.accuracy.estimate,
                    }
                    for size in curve.sizes
                ),
                role=Role.BASELINE if curve.baseline else Role.FINAL,
                rows=Rows.TEST,
            )
            for place, curve in enumerate(result.curves)
        ),
        input=result.representations[0].description,
        random_weights=bool(random),
    )
