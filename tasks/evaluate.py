"""Prefect's side of exploration, the classifier, t-SNE, and the table beside the reference study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prefect import task

from lib.config import ClassifierStudy, ExplorationStudy, Profile, TsneStudy, places
from lib.datasets.sources import Source
from tasks.policy import POLICY


@task(name="explore", task_run_name="explore {images.source}", **POLICY)
def explore_images(images: Source, study: ExplorationStudy) -> str:
    """Draw the image data; returns the study record's folder."""
    from lib.datasets import acquire
    from lib.studies.exploration import explore

    where = places()
    return str(explore(study, acquire(images, where.data, where.mirror), where.studies).folder)


@task(name="classify", **POLICY)
def classify_images(images: Source, features: str, study: ClassifierStudy) -> str:
    """Train and test the image classifier on the feature study in folder `features`; returns its record's folder."""
    from lib.datasets import acquire
    from lib.features import open_feature_set
    from lib.studies.classifier import classify
    from lib.studies.features import described_set
    from lib.studies.record import open_record

    where = places()
    feature_set = open_feature_set(described_set(open_record(Path(features)), where.features))
    return str(classify(study, feature_set, acquire(images, where.data, where.mirror), where.studies).folder)


@task(name="embed", **POLICY)
def embed_hidden_layer(data: Source, activations: str, study: TsneStudy) -> str:
    """t-SNE of the best network of the study in folder `activations`; returns its record's folder."""
    from lib.datasets import acquire
    from lib.studies.embedding import embed
    from lib.studies.record import open_record

    where = places()
    dataset = acquire(data, where.data, where.mirror)
    return str(embed(study, open_record(Path(activations)), dataset, where.studies).folder)


@task(name="compare", **POLICY)
def compare_with_reference(profile: Profile, folders: Mapping[str, str]) -> str:
    """The table "reference study / this run" over finished studies, and the report; returns the pipeline record's folder."""
    from lib.studies.pipeline import summarise
    from lib.studies.record import open_record

    records = {name: open_record(Path(folder)) for name, folder in folders.items()}
    return str(summarise(profile, records, places().studies).folder)
