"""A first look at images of one's own: what they are, what a frozen network's features say of them, and the report."""

from __future__ import annotations

import sys
from typing import Literal

from flows.report import run_and_report
from lib.backbones.weights import weights_digest
from lib.datasets import acquire
from lib.datasets.sources import parse_source
from lib.errors import WeightsError, command
from lib.places import Places, Workers
from lib.profile.starter import source_of, starter_profile


def try_images(
    images: str,
    weights: Literal["imagenet", "random"],
    weights_file: str | None,
    layer: str,
    quick: bool,
    where: Places,
    workers: Workers,
) -> int:
    """Explore images, extract features, train linear and small networks against baselines, and report.

    Raises
    ------
    WeightsError
        When the weights cannot be had, before anything is computed.
    DataError
        When the images are no dataset.
    ConfigError
        For settings that contradict each other.
    """
    (features,) = starter_profile(images, 0, None, weights, weights_file, layer, quick).features.values()
    try:
        if features.weights == "imagenet":
            weights_digest(features.extraction, where.weights, where.mirror)
    except WeightsError as problem:
        raise WeightsError(
            f"{problem}. Here: --weights-file PATH for a file of your own, or --weights random for a control"
        ) from None
    dataset = acquire(parse_source(source_of(images)), where.data, where.mirror)
    count = sum(len(split) for split in dataset.splits.values())
    profile = starter_profile(images, count, dataset.pixel_shape(), weights, weights_file, layer, quick)
    lines = [
        f"{dataset.name}: {count:,} images of {len(dataset.class_names)} classes",
        f"nodes: {', '.join(profile.graph.nodes)}",
        f"{command('new mine.yaml --images FOLDER')} writes such a profile, to be edited",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return run_and_report(profile, None, where, workers)
