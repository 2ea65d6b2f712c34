"""A part of an extraction, as a work pool's worker runs it: `python -m flows deploy --pool POOL` makes it a deployment."""

from __future__ import annotations

from prefect import flow

from lib.datasets.sources import Source
from lib.features.config import FeatureSettings
from tasks.ends import while_wanted
from tasks.extract import UNIT_FLOW, extract_missing_shards


@flow(name=UNIT_FLOW)
def extract_unit(images: Source, settings: FeatureSettings, shards: list[int], digest: str) -> dict[str, int]:
    """Extract some shards of a feature set into its folder, which is shared; those that are there are left as they are.

    Args:
        images: The images of the set.
        settings: Weights, layer and precision of the set.
        shards: Indexes of shards of the set.
        digest: The set's digest where it was cut; data, weights or a version that differ here are refused.
    """
    with while_wanted():
        return extract_missing_shards(images, settings, shards, digest)
