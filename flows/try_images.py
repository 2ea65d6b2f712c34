"""A first look at images of one's own, up to a report; or the profile alone by which that is done, to be edited."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from flows.report import run_and_report
from lib.backbones.weights import own_weights, weights_digest
from lib.datasets import Dataset, splits_ahead
from lib.errors import ProbeflowError, WeightsError
from lib.files import write_bytes
from lib.graph.data import acquire_data, data_on_disk
from lib.machine import from_home
from lib.places import Places, Workers
from lib.profile.starter import profile_name, profile_of, starter_text, write_starter
from lib.text import visible


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

    Raises WeightsError when the weights cannot be had, before anything is computed; DataError when the images are no
    dataset; ConfigError for settings that contradict each other.
    """
    name = Path(images.rstrip("/")).name
    file = where.data / "tried" / f"{profile_name(name)}.yaml"
    draft = profile_of(starter_text(file, name, images, 0, None, weights, weights_file, layer, quick))
    (data,), (features,) = draft.data, draft.features.values()
    splits_ahead(draft.data[data], where.data, where.mirror)  # that they are there, before weights are looked for
    try:
        if features.weights == "imagenet":
            weights_digest(features.extraction, where.weights, where.mirror)
    except WeightsError as problem:
        raise WeightsError(
            f"{problem}. Here: --weights-file PATH for a file of your own, or --weights random for a control"
        ) from None
    dataset = acquire_data(draft.graph, data, where)
    count = sum(len(split) for split in dataset.splits.values())
    path = str((dataset.source or {})["path"])
    own = weights_file and str(from_home(weights_file).absolute())
    text = starter_text(file, name, path, count, dataset.pixel_shape(), weights, own, layer, quick)
    profile = profile_of(text)
    write_bytes(file, text.encode())
    lines = [
        f"{dataset.name}: {count:,} images of {len(dataset.class_names)} classes",
        f"nodes: {', '.join(profile.graph.nodes)}",
        f"this run as a profile: {file}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return run_and_report(profile, None, where, workers)


def write_profile(file: Path, images: str | None, weights_file: str | None, where: Places) -> int:
    """Write the profile by which images are tried, with what suits them where they are here already.

    Raises WeightsError when the file of weights is none; ConfigError when the profile's file is there already;
    StorageError when it cannot be written.
    """
    dataset: Dataset | None = None
    told = ""
    own = weights_file and str(own_weights(weights_file).absolute())
    if images is not None:
        try:
            draft = profile_of(starter_text(file, file.stem, images, None, None, weights_file=own))
            (data,) = draft.data
            splits_ahead(draft.data[data], where.data, where.mirror)
            dataset = data_on_disk(draft.graph, data, where)
        except ProbeflowError as problem:
            told = f"; its images cannot be read yet: {problem}"
    count = None if dataset is None else sum(len(split) for split in dataset.splits.values())
    profile = write_starter(file, images, count, None if dataset is None else dataset.pixel_shape(), own)
    sys.stdout.write(
        visible(f"{file}: profile {profile.name!r}; edit it, then run it with --profile-file {file}{told}") + "\n"
    )
    return 0
