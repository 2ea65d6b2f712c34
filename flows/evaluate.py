"""Exploration, the image classifier, and t-SNE (reference study, parts D, F and the end of A)."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.settings import chosen, exploration_of_images
from lib.config import ClassifierStudy, ExplorationStudy, ProfileName, TsneStudy
from lib.datasets.sources import Source
from tasks.ends import ENDS, refuse_endless_restarts
from tasks.evaluate import classify_images, embed_hidden_layer, explore_images
from tasks.tracking import show_study


@flow(name="exploration", flow_run_name=exploration_of_images, **ENDS)
def exploration(images: Source | ProfileName = "embedded", study: ExplorationStudy | None = None) -> dict[str, Any]:
    """Sample grid, PCA scatter and class distribution of images.

    Args:
        images: The images, or the built-in profile whose images they are.
        study: What is drawn of them; as in that profile when empty.
    """
    refuse_endless_restarts()
    if isinstance(images, str):
        profile = chosen(images)
        images, study = profile.images, study or profile.exploration
    return show_study(explore_images(images, study or ExplorationStudy()))


@flow(name="classifier", flow_run_name="classify {images.source}", **ENDS)
def classifier(images: Source, features: str, study: ClassifierStudy) -> dict[str, Any]:
    """Train and test the image classifier on extracted features.

    Args:
        images: The images that the features are of.
        features: Folder of the feature study's record.
        study: The candidates, the seeds, and what they are compared with.
    """
    return show_study(classify_images(images, features, study))


@flow(name="tsne", flow_run_name="t-SNE on {data.source}", **ENDS)
def tsne(data: Source, activations: str, study: TsneStudy) -> dict[str, Any]:
    """t-SNE of the last hidden layer of the best network of an activation study.

    Args:
        data: The dataset of the activation study.
        activations: Folder of the activation study's record.
        study: Rows, perplexity and iterations.
    """
    return show_study(embed_hidden_layer(data, activations, study))
