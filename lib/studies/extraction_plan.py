"""What an extraction would do, without doing it: what is there, and the units of the rest."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lib.backbones.weights import weights_digest
from lib.config import Places, Workers
from lib.datasets import Dataset, on_disk
from lib.datasets.download import NOWHERE
from lib.datasets.sources import Source
from lib.errors import WeightsError
from lib.features import FeatureSet, FeatureSettings, manifest
from lib.features.plan import cut, plan_set, set_folder
from lib.features.shards import shard_name
from lib.features.units import Unit, cut_units
from lib.features.work import ExtractionWork
from lib.storage.copies import sizes


@dataclass(frozen=True)
class ExtractionPlan:
    """What one extraction would do.

    Attributes
    ----------
    data : str
        The dataset in words.
    images, shards, missing : int or None
        All images and shards, and the shards that are not there whole; None while the data is not on this machine.
        Those in a store are counted, not read.
    units : tuple of Unit
        The missing shards, in as many parts as were asked for, or fewer.
    missing_images : int
        Images in the missing shards.
    digest : str or None
        The set's digest; None while the data or the weights are not here, or nothing was ever made with these weights.
    folder : Path or None
        Where the set lies.
    """

    data: str
    sealed: bool
    images: int | None
    shards: int | None
    missing: int | None
    units: tuple[Unit, ...] = ()
    missing_images: int = 0
    digest: str | None = None
    folder: Path | None = None


def plan_features(source: Source, settings: FeatureSettings, where: Places, workers: Workers) -> ExtractionPlan:
    """The plan of the extraction of `source`; nothing is fetched, extracted or asked of a server.

    Raises
    ------
    DataError
        When data on disk is not what it claims to be.
    """
    return plan_features_of(on_disk(source, where.data), source, settings, where, workers)


def plan_features_of(
    dataset: Dataset | None, source: Source, settings: FeatureSettings, where: Places, workers: Workers
) -> ExtractionPlan:
    """`plan_features` of a dataset that is acquired already, or None while it is not on this machine."""
    if dataset is None:
        return ExtractionPlan(f"{source.source}: not on this machine yet, sizes unknown", False, None, None, None)
    images = sum(len(split) for split in dataset.splits.values())
    if where.store is not None:
        return _listed(dataset, settings, where, workers)
    work = _begun(dataset, settings, where)
    if isinstance(work, FeatureSet):
        return ExtractionPlan(
            dataset.name, True, images, len(work.manifest.shards), 0, digest=work.digest, folder=work.folder
        )
    digest = folder = None
    if work is None:
        shards = cut(images, settings.shard_rows)
        missing = list(range(len(shards)))
    else:
        shards, missing = work.shards, work.missing()
        digest, folder = work.digest, work.folder
    units = tuple(cut_units(shards, missing, workers.chunks or 1, workers.chunk_images))
    left = sum(len(shards[index]) for index in missing)
    return ExtractionPlan(dataset.name, False, images, len(shards), len(missing), units, left, digest, folder)


def _listed(dataset: Dataset, settings: FeatureSettings, where: Places, workers: Workers) -> ExtractionPlan:
    """The plan by the names that a store lists: to check them, all shards would have to be brought here."""
    shards = cut(sum(len(split) for split in dataset.splits.values()), settings.shard_rows)
    digest = folder = None
    held: dict[str, int] = {}
    with suppress(WeightsError):  # not here yet, and not fetched for a plan
        weights = weights_digest(settings, where.features / ".weights", NOWHERE)
        plan = plan_set(dataset, settings, weights)
        digest, folder = plan.digest, set_folder(where.features, plan)
        held = sizes(folder)
    missing = [index for index in range(len(shards)) if shard_name(index) not in held]
    sealed = manifest.NAME in held and not missing
    units = tuple(cut_units(shards, missing, workers.chunks or 1, workers.chunk_images))
    left = sum(len(shards[index]) for index in missing)
    return ExtractionPlan(dataset.name, sealed, shards[-1].stop, len(shards), len(missing), units, left, digest, folder)


def _begun(dataset: Dataset, settings: FeatureSettings, where: Places) -> ExtractionWork | FeatureSet | None:
    """The work or the sealed set, if features of this dataset have been extracted at all; else None: nothing is there."""
    if not (where.features / dataset.name).is_dir():
        return None
    try:
        plan = plan_set(dataset, settings, weights_digest(settings, where.features / ".weights", NOWHERE))
    except WeightsError:  # not here yet, and not fetched for a plan
        return None
    folder = set_folder(where.features, plan)
    work = ExtractionWork(folder, plan, dataset, settings, where.features / ".weights", NOWHERE)
    return work.sealed() or work
