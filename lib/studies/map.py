"""A map of training rows: t-SNE of features, of pixels, or of the last hidden layer of the network that a sweep chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, PositiveInt

from lib.datasets.thumbnails import THUMBNAIL
from lib.errors import ConfigError
from lib.evaluation.projections import EXAGGERATION
from lib.studies.presentation import Presentation, RunNote, Section
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

if TYPE_CHECKING:
    from lib.datasets.shrinking import Shrink
    from lib.places import Places
    from lib.search.variant import Variant
    from lib.studies.sweep.result import SweepResult


class MapSettings(StudySettings):
    """t-SNE of features, of pixels, or of the last hidden layer of a sweep's chosen network."""

    kind: Literal["map"] = "map"
    of: str = Field(description="The feature set or data that is looked at, or the sweep whose chosen network is.")
    sample: PositiveInt | None = Field(
        2000, description="Training rows to map, drawn by class; empty means all (slow)."
    )
    perplexity: float = Field(30, gt=0, description="Van der Maaten and Hinton's perplexity.")
    iterations: int = Field(1000, gt=EXAGGERATION, description="Steps of optimisation, 250 of early exaggeration.")
    seed: NonNegativeInt = Field(0, description="Seed of the row sample and of t-SNE.")


class Shown(StrEnum):
    """Whether there is a map."""

    MAP = "map"
    NO_HIDDEN_LAYER = "no hidden layer"
    """The sweep chose a linear probe."""

    DIVERGED = "diverged"
    """All of the sweep's networks diverged, and the layer gives no finite numbers."""


class MapResult(Result):
    """The map."""

    settings: MapSettings
    dataset: str
    shown: Shown
    network: str
    """The settings of the chosen network by which it differs from the others, for reading; empty where there is none."""
    input: str
    units: int
    """Of its last hidden layer, 0 where it has none; of features or pixels, how many there are."""
    classes: tuple[str, ...]
    train_rows: int
    rows: tuple[int, ...] = ()
    """Training rows on the map; `labels` and `points` are theirs."""
    labels: tuple[int, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    divergence: float | None = None
    """Kullback-Leibler divergence at the end; None where there is no map."""


class Map(Kind[MapSettings, MapResult]):
    """A map of what a network sees, trained or frozen."""

    name = "map"
    version = 2
    settings = MapSettings
    result = MapResult
    question = "How do features, or the chosen network's last hidden layer, separate the classes?"

    def needs(self, settings: MapSettings) -> tuple[Need, ...]:
        return (Need("of", settings.of, (Group.STUDIES, Group.FEATURES, Group.DATA), ("sweep",)),)

    def small_copies(self, settings: MapSettings) -> tuple[Shrink, ...]:
        return (THUMBNAIL,)

    def check(self, name: str, settings: MapSettings, inputs: Mapping[str, Ahead]) -> None:
        """Refuse a sweep that can only choose linear probes, and a perplexity that the rows cannot have."""
        sweep = inputs["of"]
        variants: Mapping[str, Variant] = getattr(sweep.settings, "variants", {})
        if variants and not any(map(_may_be_deep, variants.values())):
            raise ConfigError(
                f"studies.{name}.of: every variant of {settings.of!r} is a linear probe (hidden: []), which has no hidden "
                "layer to map; give one of them hidden layers, or leave the map out"
            )
        rows = None if sweep.dataset is None else len(sweep.dataset.splits["train"])
        drawn = min((each for each in (settings.sample, rows) if each is not None), default=None)
        if drawn is not None and settings.perplexity > drawn - 1:
            raise ConfigError(
                f"studies.{name}.perplexity: {settings.perplexity:g} must be below the {drawn:,} rows that are mapped; "
                f"lower it{' or raise sample' if drawn == settings.sample else ''}"
            )

    def compute(self, study: Study[MapSettings]) -> MapResult:
        from lib.mlp.labels import label
        from lib.mlp.store import load_network

        settings, given = study.settings, study.inputs["of"]
        if given.record is None:
            return _of_rows(settings, given)
        sweep: SweepResult = given.record.result
        best = sweep.configurations[sweep.best]
        model = given.record.model
        assert model is not None  # a sweep keeps the network it chose
        units = best.trial.hidden[-1] if best.trial.hidden else 0
        network = label(best.trial, best.varied) or label(best.trial, ["hidden"])
        found = _about(settings, given, network, sweep.representations[0].description, units)
        if not units:
            return MapResult(shown=Shown.NO_HIDDEN_LAYER, **found)
        rows = _sampled(settings, given)
        layer = load_network(given.record.folder / model.network).hidden_activations(_inputs(given, rows))
        if not np.isfinite(layer).all():
            return MapResult(shown=Shown.DIVERGED, **found)
        return _mapped(given, layer, rows, found)

    def draw(self, result: MapResult, study: Study[MapSettings]) -> Iterator[Drawing | Table]:
        from lib.figures.plane import scatter

        if result.shown is not Shown.MAP:
            return
        labels, points = np.array(result.labels), np.array(result.points)
        units = f"{result.units:,} {'units' if result.network else 'values'}"
        caption = f"{_title(result)}\n{len(points):,} of {result.train_rows:,} training rows, {units}"
        yield Drawing("map", _title(result), scatter(points, labels, result.classes, caption, ("t-SNE 1", "t-SNE 2")))
        rows = [
            {"row": row, "class": result.classes[label], "x": x, "y": y}
            for row, label, (x, y) in zip(result.rows, result.labels, result.points, strict=True)
        ]
        yield Table("points", "points of the map", rows)

    def present(self, record: Record[MapResult]) -> Presentation:
        result = record.result
        settings = result.settings
        title = _title(result)
        if result.shown is Shown.NO_HIDDEN_LAYER:
            headline = "no map: the chosen network is a linear probe and has no hidden layer"
            body = (
                f"The sweep {settings.of} chose {result.network}, a linear probe on {result.input}. For a map of a hidden "
                "layer leave linear probes out of that sweep, or map another one."
            )
        elif result.shown is Shown.DIVERGED:
            headline = "no map: the chosen network diverged"
            body = (
                f"The sweep {settings.of} chose {result.network}, which diverged: its last hidden layer gives no finite "
                "numbers. Lower learning rates, then run it again."
            )
        else:
            headline = f"{_separated(result):.1%} of {len(result.rows):,} training images lie nearest to one of their own class"
            body = (
                f"{len(result.rows):,} of {result.train_rows:,} training rows, stratified by class (seed {settings.seed}); "
                f"perplexity {settings.perplexity:g}, {settings.iterations} iterations, Kullback-Leibler divergence "
                f"{result.divergence:.3f}. A share of neighbours of one class is of the map alone: distances on it are "
                "distorted."
            )
        return Presentation(
            title=title,
            question=self.question,
            headline=headline,
            sections=(Section("", body),),
            parent=RunNote(
                record.key,
                title,
                {
                    "rows": len(result.rows),
                    "units": result.units,
                    "perplexity": settings.perplexity,
                    "iterations": settings.iterations,
                    "seed": settings.seed,
                },
                {} if result.divergence is None else {"kl_divergence": result.divergence},
            ),
            input=result.input,
        )

    def forecast(
        self, name: str, settings: MapSettings, inputs: Mapping[str, Ahead], where: Places, folder: Folder | None
    ) -> Forecast:
        dataset = inputs["of"].dataset
        if dataset is None:
            return Forecast()
        rows = len(dataset.splits["train"])
        return Forecast(amount=float(min(settings.sample or rows, rows) * settings.iterations))

    def effort(self, result: MapResult) -> Effort | None:
        return Effort(float(len(result.rows) * result.settings.iterations)) if result.rows else None


KIND = Map()


def _of_rows(settings: MapSettings, given: Input) -> MapResult:
    """The map of the rows by which images are compared."""
    from lib.studies.likeness import rows_to_compare
    from lib.studies.sweep.rows import Source

    rows, features = _sampled(settings, given), given.feature_set
    X = rows_to_compare(given, [("train", rows)])
    units = X.shape[1] if features is None else features.manifest.width
    return _mapped(given, X, rows, _about(settings, given, "", Source(given, False).description, units))


def _sampled(settings: MapSettings, given: Input) -> npt.NDArray[np.int64]:
    from lib.evaluation.projections import sample_by_class

    return sample_by_class(given.dataset.splits["train"].labels, settings.sample, settings.seed)


def _about(settings: MapSettings, given: Input, network: str, described: str, units: int) -> dict[str, Any]:
    """The fields of a result that is there with a map and without."""
    return {
        "settings": settings,
        "dataset": given.dataset.name,
        "network": network,
        "input": described,
        "units": units,
        "classes": given.dataset.class_names,
        "train_rows": len(given.dataset.splits["train"]),
    }


def _mapped(given: Input, X: npt.NDArray[np.floating], rows: npt.NDArray[np.int64], about: dict[str, Any]) -> MapResult:
    from lib.evaluation.projections import tsne
    from lib.progress import bar

    settings: MapSettings = about["settings"]
    with bar("t-SNE", settings.iterations, "iteration") as advance:
        points, divergence = tsne(X, settings.perplexity, settings.iterations, settings.seed, advance)
    return MapResult(
        shown=Shown.MAP,
        **about,
        rows=tuple(rows.tolist()),
        labels=tuple(given.dataset.splits["train"].labels[rows].tolist()),
        points=tuple((x, y) for x, y in points.tolist()),
        divergence=divergence,
    )


def _separated(result: MapResult) -> float:
    """The share of points whose nearest other point on the map has their class."""
    from scipy.spatial import KDTree

    points, labels = np.array(result.points), np.array(result.labels)
    nearest = KDTree(points).query(points, 2)[1]
    # Of points in one place the first of the two need not be the point itself.
    other = np.where(nearest[:, 0] == np.arange(len(points)), nearest[:, 1], nearest[:, 0])
    return float((labels[other] == labels).mean())


def _title(result: MapResult) -> str:
    if not result.network:
        return f"t-SNE of {result.settings.of} ({result.input}) on {result.dataset}"
    return f"t-SNE of the last hidden layer of {result.settings.of} ({result.network}) on {result.dataset}"


def _may_be_deep(variant: Variant) -> bool:
    """Whether a variant may try a network with a hidden layer."""
    if "hidden" not in variant.varied:
        return bool(variant.base.hidden)
    if variant.search is None:
        return any(setting["hidden"] for setting in variant.combinations())
    return any(variant.trial(setting, 0).hidden for setting in variant.search.space.corners())


def _inputs(given: Input, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Training rows as the sweep's networks took them: features, or pixels."""
    if given.feature_set is not None:
        start: Any = given.feature_set.rows("train").start
        return given.feature_set.sample(rows + start).X.astype(np.float32, copy=False)
    X = np.empty((len(rows), int(np.prod(given.dataset.require_pixel_shape()))), np.float32)
    given.dataset.fill(X, "train", rows)
    return X
