"""AlexNet features of an image dataset, in sealed Parquet shards (reference study, part E)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from lib.datasets.sources import Source
from lib.features.config import FeatureSettings
from tasks.extract import extract_features
from tasks.tracking import show_study


@flow(name="extract", flow_run_name="features {settings.layer} of {images.source}")
def extract(images: Source, settings: FeatureSettings) -> dict[str, Any]:
    """Extract the features of `images` that are missing, and record the set."""
    return show_study(extract_features(images, settings))
