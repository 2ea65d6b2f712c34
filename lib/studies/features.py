"""A feature set as a study: what is missing of it is extracted, then it is described, with a picture of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lib.datasets.sources import EncodedSource
from lib.errors import ConfigError
from lib.features.config import FeatureSettings
from lib.features.manifest import Shard
from lib.features.speed import Speed, read_speeds, speed_words
from lib.storage.copies import shown
from lib.studies.presentation import Presentation, RunNote, Section, code
from lib.studies.study import (
    Ahead,
    Drawing,
    Effort,
    Folder,
    Forecast,
    Group,
    Identified,
    Kind,
    Need,
    Piece,
    Record,
    Result,
    Study,
    StudySettings,
    Table,
)
from lib.text import number

if TYPE_CHECKING:
    from lib.datasets import Dataset
    from lib.datasets.shrinking import Shrink
    from lib.features import ExtractionWork, FeatureSet
    from lib.features.plan import SetPlan
    from lib.features.statistics import FeatureStatistics
    from lib.places import Places

_SAMPLE = 2000
_COMPONENTS = 30
_SEED = 0

_STATISTICS = "statistics.safetensors"
"""In the record's folder: each feature's statistics, shape (width,) each."""

_ROW_BESIDE_FEATURES = 16
"""Bytes of a row of a shard beside its features: id, label, split, and the pages' heads."""


class FeatureNode(StudySettings, FeatureSettings):
    """A dataset seen by a layer of a frozen network."""

    kind: Literal["features"] = "features"
    of: str = Field(description="The data whose images become features.")

    @property
    def extraction(self) -> FeatureSettings:
        """How images become features, whichever these are."""
        return FeatureSettings.model_validate(self.model_dump(exclude={"kind", "of"}))


class FeaturesResult(Result):
    """A sealed feature set and what its values are like."""

    settings: FeatureSettings
    """Those that decide the features; device, batch size and the path of weights are left at their defaults."""
    dataset: str
    digest: str
    description: str
    """Backbone, layer and weights, for reading."""
    weights_sha256: str
    width: int
    splits: dict[str, int]
    """Rows of each split."""
    quarantined: int
    shards: tuple[Shard, ...]
    folder: str
    """Where the set lies, as shown: a URL where the data is shared."""
    speeds: tuple[Speed, ...]
    constant: int
    """Features that have one value in all rows."""
    zeros: float
    """Share of values that are 0."""
    minimum: float
    maximum: float
    sampled: int
    """Training rows in the picture."""
    explained_variance: tuple[float, ...]
    """Share of variance of each of their first principal components."""

    @property
    def weights(self) -> Literal["imagenet", "random"]:
        return self.settings.weights

    @property
    def rows(self) -> int:
        return sum(self.splits.values())

    @property
    def bytes(self) -> int:
        return sum(shard.bytes for shard in self.shards)


class SetWork:
    """The shards of a set as units of work."""

    def __init__(self, work: ExtractionWork) -> None:
        self._work = work
        self.key = work.digest

    def missing(self, positions: Sequence[int] | None = None) -> list[int]:
        return self._work.missing(positions)

    def pieces(self, count: int, least_images: int) -> list[Piece]:
        from lib.features.units import cut_units

        units = cut_units([len(rows) for rows in self._work.shards], count, least_images)
        return [
            Piece(number, len(units), tuple(unit), self._work.images(unit))
            for number, unit in enumerate(units, start=1)
        ]

    def results(self, positions: Sequence[int]) -> list[Path]:
        return self._work.paths(positions)

    def do(self, positions: Sequence[int]) -> int:
        return len(self._work.compute(positions))


class Features(Kind[FeatureNode, FeaturesResult]):
    """Features of a dataset."""

    name = "features"
    settings = FeatureNode
    result = FeaturesResult
    question = "What does the frozen network make of the images?"

    def needs(self, settings: FeatureNode) -> tuple[Need, ...]:
        return (Need("of", settings.of, (Group.DATA,)),)

    def small_copies(self, settings: FeatureNode) -> tuple[Shrink, ...]:
        """The network's input."""
        return (settings.shrink,)

    def check(self, name: str, settings: FeatureNode, inputs: Mapping[str, Ahead]) -> None:
        """Refuse JPEGs that are decoded to less than twice what the network takes, and a weights file that is none."""
        if settings.weights_file:
            from lib.backbones.weights import own_weights

            own_weights(settings.weights_file)
        data, least = inputs["of"], 2 * settings.shrink.side
        side = data.source.scaled_side if isinstance(data.source, EncodedSource) else None
        if side is not None and side < least:
            raise ConfigError(
                f"features.{name}: an input of {settings.input_size} pixels needs JPEGs decoded to {least} pixels or more, "
                f"and data.{data.name}.decode_side is {side}; set it to {least}, or data.{data.name}.decode to full"
            )

    def require_means(
        self, name: str, settings: FeatureNode, inputs: Mapping[str, Ahead], where: Places, here: bool
    ) -> None:
        if here and settings.device.startswith("cuda"):
            from lib.features.device import choose_device

            choose_device(settings.device)
        if settings.weights_file:
            from lib.backbones.network import require_weights

            require_weights(settings.extraction, where.weights, where.mirror)

    def decisive(self, settings: FeatureNode) -> Any:
        """Nothing beside the digest of the set, which covers all settings that decide its values and its shards."""
        return {}

    def digests(self, settings: FeatureNode, inputs: Mapping[str, Identified], where: Places) -> dict[str, str]:
        return {"features": _plan(inputs["of"].dataset, settings, where).digest}

    def intact(self, settings: FeatureNode, inputs: Mapping[str, Identified], where: Places) -> bool:
        """Whether the set is sealed and whole: every byte is read."""
        from lib.features import ExtractionWork
        from lib.features.plan import set_folder

        dataset = inputs["of"].dataset
        plan = _plan(dataset, settings, where)
        folder = set_folder(where.features, plan)
        return (
            ExtractionWork(folder, plan, dataset, settings.extraction, where.weights, where.mirror).sealed() is not None
        )

    def compute(self, study: Study[FeatureNode]) -> FeaturesResult:
        """Extract what is missing, seal the set, and describe it in one pass over all rows and one over a sample."""
        from lib.features import FeatureSet

        work = _work(study)
        if isinstance(work, FeatureSet):
            feature_set = work
        else:
            work.compute()
            feature_set = work.seal()
        return _describe(feature_set, study.folder.path)

    def draw(self, result: FeaturesResult, study: Study[FeatureNode]) -> Iterator[Drawing | Table]:
        from lib.features import open_feature_set
        from lib.figures.features import feature_portrait
        from lib.figures.plane import scatter

        feature_set = open_feature_set(set_folder_of(result, study.where.features), verify=False)
        X, labels, points, shares = sample_of_set(feature_set)
        names = feature_set.manifest.class_names
        every = result.sampled == result.splits["train"]
        sampled = f"{'all ' if every else ''}{result.sampled:,} training images of {result.dataset}"
        first, second = [*result.explained_variance, 0.0, 0.0][:2]
        axes = (f"component 1 ({first:.1%} of variance)", f"component 2 ({second:.1%})")
        caption = f"{result.description}: PCA of {sampled}"
        yield Drawing("pca", caption, scatter(points, labels, names, caption.replace(": ", "\n", 1), axes))
        statistics = _read_statistics(study.folder.path, result.rows)
        settings = result.settings
        caption = f"{result.description}, {settings.precision} arithmetic, stored as {settings.storage}"
        portrait = feature_portrait(statistics, X, labels, names, points, shares, caption, sampled)
        yield Drawing("features", caption, portrait)
        yield Table("features", "each feature over all rows", statistics.table())
        yield Table("shards", "shards of the set", [shard.model_dump() for shard in result.shards])

    def present(self, record: Record[FeaturesResult]) -> Presentation:
        result = record.result
        settings = result.settings
        speed = speed_words(result.speeds)
        lines = [
            f"**{result.description}**, {result.width} values an image, input {settings.input_size} px "
            f"({settings.interpolation}), computed in {settings.precision}, stored as {settings.storage}.",
            f"{result.rows:,} rows in {len(result.shards)} sealed shard(s), {result.bytes / 1e6:.1f} MB, "
            f"in {code(result.folder)}.{f' {speed[0].upper()}{speed[1:]}.' if speed else ''}",
            f"{result.constant:,} of {result.width:,} features are constant; {result.zeros:.1%} of all values are 0; "
            f"values from {number(result.minimum)} to {number(result.maximum)} (`features.csv` has each feature).",
            f"Digest `{result.digest}`; weights sha256 `{result.weights_sha256}`.",
        ]
        metrics = {
            "images": float(result.rows),
            "bytes": float(result.bytes),
            "constant_features": float(result.constant),
            "share_of_zeros": result.zeros,
        }
        fastest = ""
        if result.speeds:
            metrics["images_per_second"] = max(each.images_per_second for each in result.speeds)
            fastest = f", made at {metrics['images_per_second']:,.0f} images/s"
        params: dict[str, str | int | float] = settings.model_dump(
            exclude={"weights_file", "batch_size", "device"} | ({"seed"} if settings.weights == "imagenet" else set())
        )
        return Presentation(
            title=f"Features of {result.dataset}",
            question=self.question,
            headline=f"{result.rows:,} images as {result.width:,} values each: {result.description}{fastest}",
            sections=(Section("", "\n".join(lines)),),
            warnings=record.dataset.warnings,
            parent=RunNote(
                record.key,
                f"{result.description} of {result.dataset}",
                params | {"width": result.width, "features": result.description},
                metrics,
                tags={"probeflow.features": result.description},
            ),
            input=result.description,
            random_weights=result.weights == "random",
        )

    def work(self, study: Study[FeatureNode]) -> SetWork | None:
        from lib.features import FeatureSet

        work = _work(study)
        return None if isinstance(work, FeatureSet) else SetWork(work)

    def forecast(
        self, name: str, settings: FeatureNode, inputs: Mapping[str, Ahead], where: Places, folder: Folder | None
    ) -> Forecast:
        """Which shards are missing; those in a store are counted by their names, not read."""
        dataset = inputs["of"].dataset
        if dataset is None:
            return Forecast(shards=None, missing=None, bytes=None, after="the images are not on this machine yet")
        shards, missing, sealed = _ahead(dataset, settings, where)
        images = sum(len(shards[index]) for index in missing)
        item = 2 if settings.storage == "float16" else 4
        return Forecast(
            shards=len(shards),
            missing=len(missing),
            bytes=images * (settings.width * item + _ROW_BESIDE_FEATURES),
            amount=float(images * settings.input_size**2),
            alike=_alike(settings.extraction, _device(settings.device)),
            after="" if sealed or missing else "all shards are there, but the set is not sealed",
        )

    def effort(self, result: FeaturesResult) -> Effort | None:
        if not result.speeds:
            return None
        main = max(result.speeds, key=lambda each: each.images)
        same = [each for each in result.speeds if each.device == main.device]
        return Effort(
            float(sum(each.images for each in same) * result.settings.input_size**2),
            sum(each.seconds for each in same),
            _alike(result.settings, "cuda" if main.device.startswith("cuda") else "cpu"),
        )


KIND = Features()


def set_folder_of(result: FeaturesResult, root: Path) -> Path:
    """The folder of the set that a result describes, under the root of all sets on this machine."""
    from lib.features.plan import folder_name

    return root / folder_name(result.dataset) / result.digest[:16]


def open_set(dataset: Dataset, settings: FeatureNode, where: Places) -> FeatureSet:
    """The sealed set of a node; its run has read every byte.

    Raises FeatureSetError when it is not extracted, or a shard is gone.
    """
    from lib.features import open_feature_set
    from lib.features.plan import set_folder

    return open_feature_set(set_folder(where.features, _plan(dataset, settings, where)), verify=False)


def _plan(dataset: Dataset, settings: FeatureNode, where: Places) -> SetPlan:
    from lib.backbones.weights import weights_digest
    from lib.features.plan import plan_set

    extraction = settings.extraction
    return plan_set(dataset, extraction, weights_digest(extraction, where.weights, where.mirror))


def _work(study: Study[FeatureNode]) -> ExtractionWork | FeatureSet:
    from lib.features import plan_extraction

    return plan_extraction(study.dataset, study.settings.extraction, study.where.features, study.where.mirror)


def _describe(feature_set: FeatureSet, folder: Path) -> FeaturesResult:
    """Read a set once for its statistics and once more for a bounded sample. Memory stays flat."""
    from lib.features.statistics import feature_statistics
    from lib.progress import bar

    manifest = feature_set.manifest
    with bar(f"describe features of {manifest.dataset}", manifest.rows, "image") as advance:
        statistics = feature_statistics(feature_set, advance)
    _write_statistics(folder, statistics)
    X, _, _, shares = sample_of_set(feature_set)
    return FeaturesResult(
        settings=manifest.settings,
        dataset=manifest.dataset,
        digest=manifest.digest,
        description=manifest.description,
        weights_sha256=manifest.weights_sha256,
        width=manifest.width,
        splits=manifest.splits,
        quarantined=manifest.quarantined,
        shards=manifest.shards,
        folder=shown(feature_set.folder),
        speeds=tuple(read_speeds(feature_set.folder)),
        constant=int(statistics.constant.sum()),
        zeros=float(statistics.zeros.mean()),
        minimum=float(statistics.minimum.min()),
        maximum=float(statistics.maximum.max()),
        sampled=len(X),
        explained_variance=tuple(shares.tolist()),
    )


def sample_of_set(
    feature_set: FeatureSet,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """At most 2,000 training rows, the classes in proportion: values, labels, principal components, shares of variance.

    Shapes (n, width), (n,), (n, 2), (components,).
    """
    from lib.evaluation.projections import principal_components, sample_by_class

    chosen = sample_by_class(feature_set.labels("train"), _SAMPLE, _SEED)
    drawn = feature_set.sample(chosen + feature_set.rows("train").start)
    X = drawn.X.astype(np.float32)
    return X, drawn.y, *principal_components(X, _COMPONENTS, _SEED)


def _write_statistics(folder: Path, statistics: FeatureStatistics) -> None:
    from lib.mlp.tensor_files import write_tensors

    names = ("mean", "deviation", "minimum", "maximum", "zeros")
    write_tensors(folder / _STATISTICS, {name: getattr(statistics, name) for name in names})


def _read_statistics(folder: Path, rows: int) -> FeatureStatistics:
    from lib.features.statistics import FeatureStatistics
    from lib.mlp.tensor_files import read_tensors

    return FeatureStatistics(rows, **read_tensors(folder / _STATISTICS)[0])


def _ahead(dataset: Dataset, settings: FeatureNode, where: Places) -> tuple[Sequence[range], list[int], bool]:
    """Rows of each shard, those that are not there whole, and whether the set is sealed; nothing is fetched."""
    from lib.datasets.copies import offline
    from lib.errors import WeightsError
    from lib.features import ExtractionWork, FeatureSet, manifest
    from lib.features.plan import cut, folder_name, set_folder
    from lib.features.shards import shard_name
    from lib.storage.copies import sizes

    shards = cut(sum(len(split) for split in dataset.splits.values()), settings.shard_rows)
    every = list(range(len(shards)))
    if where.store is None and not (where.features / folder_name(dataset.name)).is_dir():
        return shards, every, False
    try:
        plan = _plan(dataset, settings, where.model_copy(update={"mirror": offline(where.mirror)}))
    except WeightsError:  # not here yet, and not fetched for a plan
        return shards, every, False
    folder = set_folder(where.features, plan)
    if where.store is not None:  # to check them, all shards would have to be brought here
        held = sizes(folder)
        missing = [index for index in every if shard_name(index) not in held]
        return shards, missing, manifest.NAME in held and not missing
    work = ExtractionWork(folder, plan, dataset, settings.extraction, where.weights, offline(where.mirror))
    found = work.sealed()
    return (shards, [], True) if isinstance(found, FeatureSet) else (shards, work.missing(), False)


def _device(wanted: str) -> str:
    """The kind of device that extraction will take: "cpu" or "cuda"."""
    from lib.features.device import choose_device

    return choose_device(wanted).type if wanted == "auto" else wanted.partition(":")[0]


def _alike(settings: FeatureSettings, device: str) -> str:
    """Extractions of one speed a pixel."""
    return f"{settings.backbone}, {settings.layer}, {settings.precision}, {device}"
