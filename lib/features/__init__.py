"""Features of frozen networks: from images to sealed Parquet shards, and back to arrays."""

from lib.features.config import FeatureSettings
from lib.features.reading import FeatureSet, open_feature_set
from lib.features.rows import Features
from lib.features.work import ExtractionWork, extract, plan_extraction

__all__ = [
    "ExtractionWork",
    "FeatureSet",
    "FeatureSettings",
    "Features",
    "extract",
    "open_feature_set",
    "plan_extraction",
]
