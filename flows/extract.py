"""AlexNet features of an image dataset, in sealed Parquet shards (reference study, part E)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from lib.config import Workers, workers_here
from lib.datasets.sources import Source
from lib.features.config import FeatureSettings
from tasks.extract import extract_features, extract_on_worker, plan_units, seal_features, while_images_change
from tasks.pool import hand_out
from tasks.tracking import show_study


@flow(name="extract", flow_run_name="features {settings.layer} of {images.source}")
def extract(images: Source, settings: FeatureSettings, workers: Workers | None = None) -> dict[str, Any]:
    """Extract the features of `images` that are missing, and record the set.

    Parameters
    ----------
    workers : Workers
        Who extracts; what PROBEFLOW_POOL, PROBEFLOW_CHUNKS and PROBEFLOW_CHUNK_IMAGES say when not given.
    """
    workers = workers or workers_here()
    pool, count, least = workers.pool, workers.chunks, workers.chunk_images
    if pool is None:
        return _shown(extract_features(images, settings))

    def on_workers() -> dict[str, str]:
        plan = plan_units(images, settings, pool, count, least)
        given = {"images": images, "settings": settings, "pool": pool}
        hand_out(extract_on_worker, [given | unit for unit in plan["units"]], f"features on {pool}")
        return seal_features(images, settings, plan["digest"], len(plan["units"]))

    return _shown(while_images_change(on_workers))


def _shown(outcome: dict[str, str]) -> dict[str, Any]:
    return show_study(outcome["folder"]) | {"done": outcome["done"]}
