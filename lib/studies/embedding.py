"""t-SNE of the last hidden layer of the activation study's best network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lib.config import TsneStudy
from lib.datasets.dataset import Dataset
from lib.errors import DataError
from lib.evaluation import figures
from lib.evaluation.projections import sample_by_class, tsne
from lib.mlp.store import load_network
from lib.progress import bar
from lib.studies.identity import Identity, read_origin
from lib.studies.record import DatasetNote, RunNote, StudyFolder, StudyRecord


def tsne_identity(study: TsneStudy, activations: str, parts: Mapping[str, Any], dataset: Dataset) -> Identity:
    """What decides the map of the network of the activation study with key `activations`, run by `parts` of a profile."""
    settings = study.model_dump(mode="json")
    digests = {"activations": activations, "data": dataset.digest}
    return Identity("tsne", settings, digests, {**parts, "tsne": settings})


def embed(study: TsneStudy, activations: StudyRecord, dataset: Dataset, root: Path) -> StudyRecord:
    """Embed training rows as the best network of `activations` sees them, or return the record when nothing has changed.

    Raises
    ------
    DataError
        When the activation study kept no network, because it ran without `refit`.
    """
    if activations.model is None:
        raise DataError("t-SNE needs the activation study's best network, but it ran with refit: false; set it to true")
    origin = read_origin(activations.folder)
    parts = {} if origin is None else origin.identity.parts
    folder = StudyFolder.of(root, tsne_identity(study, activations.key, parts, dataset))
    if record := folder.finished():
        return record
    network = load_network(activations.folder / activations.model.network)
    train = dataset.splits["train"]
    rows = sample_by_class(train.labels, study.sample, study.seed)
    layer = network.hidden_activations(dataset.pixels("train")[rows])
    with bar("t-SNE", study.iterations, "iteration") as advance:
        points, divergence = tsne(layer, study.perplexity, study.iterations, study.seed, advance)
    title = f"t-SNE of the last hidden layer ({activations.summary['best']['label']}) on {dataset.name}"
    labels = train.labels[rows]
    subtitle = f"{title}\n{len(rows):,} of {len(train):,} training rows, {layer.shape[1]} units"
    picture = figures.scatter(points, labels, dataset.class_names, subtitle, ("t-SNE 1", "t-SNE 2"))
    folder.figure("tsne", picture)
    names = np.array(dataset.class_names)[labels]
    folder.table(
        "points",
        [
            {"row": int(row), "class": str(name), "x": float(x), "y": float(y)}
            for row, name, (x, y) in zip(rows, names, points, strict=True)
        ],
    )
    sample = f"{len(rows):,} of {len(train):,} training rows, stratified by class (seed {study.seed})"
    return folder.seal(
        title=title,
        headline=f"{len(rows):,} rows, Kullback-Leibler divergence {divergence:.3f}",
        notes=f"## {title}\n{sample}; perplexity {study.perplexity:g}, {study.iterations} iterations.\n",
        dataset=DatasetNote.of(dataset),
        summary={"dataset": {"name": dataset.name}, "rows": len(rows), "divergence": divergence},
        parent=RunNote(
            folder.key,
            f"t-SNE on {dataset.name}",
            {"rows": len(rows), "perplexity": study.perplexity, "iterations": study.iterations, "seed": study.seed},
            {"kl_divergence": divergence},
        ),
    )
