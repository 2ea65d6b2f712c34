"""Prefect's side of feature extraction."""

from __future__ import annotations

from prefect import task

from lib.config import places
from lib.datasets.sources import Source
from lib.features.config import FeatureSettings
from tasks.policy import POLICY


@task(name="extract", task_run_name="{settings.layer}, {settings.weights} weights", **POLICY)
def extract_features(images: Source, settings: FeatureSettings) -> str:
    """Extract and seal what is missing; returns the study record's folder."""
    from lib.datasets import acquire, require_no_leakage
    from lib.features import extract
    from lib.studies.features import describe_features

    where = places()
    dataset = acquire(images, where.data, where.mirror)
    require_no_leakage(dataset)
    feature_set = extract(dataset, settings, where.features, where.mirror)
    return str(describe_features(feature_set, dataset, where.studies).folder)
