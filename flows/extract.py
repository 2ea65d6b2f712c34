"""AlexNet features of an image dataset, in sealed Parquet shards (reference study, part E)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.settings import chosen, features_of_images
from lib.config import ProfileName, Workers, workers_here
from lib.datasets.sources import Source
from lib.features.config import FeatureSettings
from tasks.ends import ENDS, refuse_endless_restarts
from tasks.extract import (
    UNIT_FLOW,
    extract_features,
    extract_on_worker,
    plan_units,
    seal_features,
    while_images_change,
)
from tasks.pool import await_predecessors, hand_out
from tasks.tracking import show_study


@flow(name="extract", flow_run_name=features_of_images, **ENDS)
def extract(
    images: Source | ProfileName = "embedded", settings: FeatureSettings | None = None, workers: Workers | None = None
) -> dict[str, Any]:
    """Extract the AlexNet features of images that are missing, and record the set.

    Args:
        images: The images, or the built-in profile whose images they are.
        settings: Weights, layer and precision; as in that profile when empty.
        workers: Who extracts; what PROBEFLOW_POOL and PROBEFLOW_CHUNKS say where this runs when empty.
    """
    refuse_endless_restarts()
    if isinstance(images, str):
        profile = chosen(images)
        images, settings = profile.images, settings or profile.features
    return _extract(images, settings or FeatureSettings(), workers or workers_here())


def _extract(images: Source, settings: FeatureSettings, workers: Workers) -> dict[str, Any]:
    pool, count, least = workers.pool, workers.chunks, workers.chunk_images
    if pool is None:
        return _shown(extract_features(images, settings))

    def on_workers() -> dict[str, str]:
        await_predecessors(UNIT_FLOW, pool)
        plan = plan_units(images, settings, pool, count, least)
        given = {"images": images, "settings": settings, "pool": pool, "minutes": workers.chunk_minutes}
        hand_out(extract_on_worker, [given | unit for unit in plan["units"]], f"features on {pool}")
        return seal_features(images, settings, plan["digest"], len(plan["units"]))

    return _shown(while_images_change(on_workers))


def _shown(outcome: dict[str, str]) -> dict[str, Any]:
    return show_study(outcome["folder"]) | {"done": outcome["done"]}
