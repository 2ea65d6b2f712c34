"""Frozen AlexNet features: from images to sealed Parquet shards, and back to arrays."""

from lib.features.config import FeatureSettings
from lib.features.extractor import extract, feature_set_digest
from lib.features.shards import Features, FeatureSet, open_feature_set

__all__ = ["FeatureSet", "FeatureSettings", "Features", "extract", "feature_set_digest", "open_feature_set"]
