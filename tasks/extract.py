"""Prefect's side of feature extraction: here, or as chunks on a work pool's workers (see `pool`), sealed here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from prefect import task

from lib.config import places
from lib.datasets.sources import Source
from lib.errors import ChangedError, FeatureSetError, WorkerError
from lib.features.config import FeatureSettings
from lib.gpu import gpu_to_itself
from lib.storage.copies import shown
from tasks.policy import POLICY
from tasks.pool import LATE_FILES_SECONDS, Piece, run_on_worker, workers_online

if TYPE_CHECKING:
    from lib.features import FeatureSet
    from lib.features.work import ExtractionWork

UNIT_FLOW = "extract-unit"
_AGAIN = 3

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


def while_images_change(step: Callable[[], _T]) -> _T:
    """Do `step`, and up to three times again when an image changed since it was verified: each time verifies anew.

    Raises
    ------
    ChangedError
        When images change still.
    """
    for _ in range(_AGAIN):
        try:
            return step()
        except ChangedError as error:
            _logger.warning("%s; verifying the images again", error)
    return step()


@task(name="extract", task_run_name="{settings.layer}, {settings.weights} weights", **POLICY)
def extract_features(images: Source, settings: FeatureSettings) -> dict[str, str]:
    """Extract and seal what is missing; returns the study record's `folder`, and in words what was `done`."""
    from lib.datasets import acquire, require_no_leakage
    from lib.features import FeatureSet, plan_extraction
    from lib.studies.features import describe_features

    where = places()

    def step() -> dict[str, str]:
        dataset = acquire(images, where.data, where.mirror)
        require_no_leakage(dataset)
        work = plan_extraction(dataset, settings, where.features, where.mirror)
        if isinstance(work, FeatureSet):
            feature_set, done = work, "already there and whole"
        else:
            made = work.compute()
            feature_set = work.seal()
            done = f"{len(made):,} of {len(work.shards):,} shard(s) made, {work.images(made):,} images"
        folder = str(describe_features(feature_set, dataset, where.studies).folder)
        return {"folder": folder, "done": f"{done}, in {shown(feature_set.folder)}"}

    return while_images_change(step)


@task(name="plan-units", task_run_name="{settings.layer} on {pool}", **POLICY)
def plan_units(images: Source, settings: FeatureSettings, pool: str, count: int | None, least: int) -> dict[str, Any]:
    """The set's `digest`, and its missing shards in `units`, each as the parameters of `extract_on_worker`.

    Parameters
    ----------
    count : int or None
        Chunks at most; None makes one for each worker that is online.
    least : int
        Images a chunk holds at least, which goes before `count`: starting a flow run takes seconds.

    Raises
    ------
    ConfigError
        When there is no server, pool, deployment or worker, or this flow is itself in the pool.
    """
    from lib.datasets import acquire, require_no_leakage
    from lib.features import FeatureSet
    from lib.features.units import cut_units
    from lib.features.work import plan_extraction

    where = places()
    dataset = acquire(images, where.data, where.mirror)
    require_no_leakage(dataset)
    work = plan_extraction(dataset, settings, where.features, where.mirror)
    if isinstance(work, FeatureSet) or not (missing := work.missing()):
        return {"digest": work.digest, "units": []}
    online = workers_online(pool, UNIT_FLOW)
    units = [
        {
            "number": unit.number,
            "of": unit.of,
            "shards": list(unit.shards),
            "digest": work.digest,
            "results": [str(path) for path in work.paths(unit.shards)],
        }
        for unit in cut_units(work.shards, missing, count or online, least)
    ]
    return {"digest": work.digest, "units": units}


@task(name="extract-on-worker", task_run_name="features chunk {number} of {of}", **POLICY)
def extract_on_worker(
    images: Source,
    settings: FeatureSettings,
    pool: str,
    number: int,
    of: int,
    shards: list[int],
    digest: str,
    results: list[str],
    minutes: int | None = None,
) -> dict[str, Any]:
    """Have one chunk extracted by a worker of `pool` and wait for it; returns the child flow run's name and id.

    `results` are the shards' files, which must be there afterwards; a chunk that runs longer than `minutes` hangs.

    Raises
    ------
    WorkerError
        When the chunk failed or crashed in each attempt, was cancelled or never begun, or its shards are not where they
        should be.
    ChangedError
        When the worker met an image that is not what it was when it was verified.
    """
    parameters = {
        "images": images.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "shards": shards,
        "digest": digest,
    }
    title = f"features chunk {number} of {of}"
    identity = f"{digest[:16]}:{shards[0]}-{shards[-1]}:{number}/{of}"
    return run_on_worker(Piece(UNIT_FLOW, title, parameters, identity, results), pool, minutes)


@task(name="extract-shards", **{**POLICY, "retries": 0})  # the parent submits it again
def extract_missing_shards(images: Source, settings: FeatureSettings, shards: list[int], digest: str) -> dict[str, int]:
    """Extract those of `shards` that are missing; returns how many were stored and how many were extracted.

    On a GPU it waits until no other chunk computes there.
    """
    from lib.datasets import acquire
    from lib.features.work import extract_shards

    where = places()
    dataset = acquire(images, where.data, where.mirror)
    with gpu_to_itself(settings.device):
        return extract_shards(dataset, settings, where.features, where.mirror, shards, digest)


@task(name="seal", task_run_name="{settings.layer}, {settings.weights} weights", **POLICY)
def seal_features(images: Source, settings: FeatureSettings, digest: str, chunks: int) -> dict[str, str]:
    """Seal the set that workers have extracted in some `chunks`; computes nothing.

    Returns the study record's `folder`, and in words what was `done`.

    Raises
    ------
    ChangedError
        When the images give a set of another digest by now.
    WorkerError
        When a shard is not there whole, even after the time that shared storage may take to show it.
    """
    from lib.datasets import acquire
    from lib.features import FeatureSet
    from lib.features.work import plan_extraction
    from lib.studies.features import describe_features

    where = places()
    dataset = acquire(images, where.data, where.mirror)
    work = plan_extraction(dataset, settings, where.features, where.mirror)
    if digest != work.digest:
        raise ChangedError(f"the images of {dataset.name} changed while their features were extracted; run it again")
    feature_set = work if isinstance(work, FeatureSet) else _sealed(work)
    folder = str(describe_features(feature_set, dataset, where.studies).folder)
    done = f"extracted in {chunks:,} chunk(s)" if chunks else "already there and whole"
    return {"folder": folder, "done": f"{done}, in {shown(feature_set.folder)}"}


def _sealed(work: ExtractionWork) -> FeatureSet:
    end = time.monotonic() + LATE_FILES_SECONDS
    while True:
        try:
            return work.seal()
        except FeatureSetError:
            missing = work.missing()
            if not missing:
                return work.seal()
            if time.monotonic() > end:
                raise WorkerError(
                    f"{len(missing)} shard(s) are not there whole though their chunks are done, the first is "
                    f"{shown(work.paths(missing)[0])}: let PROBEFLOW_DATA of the workers name the same shared folder or "
                    "URL as here"
                ) from None
        time.sleep(1)
