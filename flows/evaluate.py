"""Exploration, the image classifier, and t-SNE (reference study, parts D, F and the end of A)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from lib.config import ClassifierStudy, ExplorationStudy, TsneStudy
from lib.datasets.sources import Source
from tasks.evaluate import classify_images, embed_hidden_layer, explore_images
from tasks.tracking import show_study


@flow(name="exploration", flow_run_name="explore {images.source}")
def exploration(images: Source, study: ExplorationStudy) -> dict[str, Any]:
    """Sample grid, PCA scatter and class distribution of `images`."""
    return show_study(explore_images(images, study))


@flow(name="classifier", flow_run_name="classify {images.source}")
def classifier(images: Source, features: str, study: ClassifierStudy) -> dict[str, Any]:
    """Train and test the image classifier on the features whose study lies in folder `features`."""
    return show_study(classify_images(images, features, study))


@flow(name="tsne", flow_run_name="t-SNE on {data.source}")
def tsne(data: Source, activations: str, study: TsneStudy) -> dict[str, Any]:
    """t-SNE of the best network of the activation study in folder `activations`."""
    return show_study(embed_hidden_layer(data, activations, study))
