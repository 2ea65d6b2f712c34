"""A small profile that runs in seconds, on real data."""

from __future__ import annotations

from lib.config import Profile, load_profile

SMALL = [
    "activations.seeds=[0, 1]",
    "activations.arms.sgd.base.epochs=4",
    "activations.arms.sgd.base.hidden=[16, 8]",
    "hidden_units.seeds=[0]",
    "hidden_units.compare_sklearn=false",
    "hidden_units.arms.study.base.epochs=3",
    "hidden_units.arms.sgd.base.epochs=3",
    "hidden_units.arms.study.grid.hidden=[[5], [20]]",
    "hidden_units.arms.sgd.grid.hidden=[[5], [20]]",
    "learning_rates.seeds=[0]",
    "learning_rates.compare_sklearn=false",
    "learning_rates.arms.study.base.epochs=3",
    "learning_rates.arms.sgd.base.epochs=3",
    "images.stride=32",
    "features.input_size=64",
    "features.shard_rows=100",
    "classifier.base.hidden=[16]",
    "classifier.base.epochs=4",
    "classifier.seeds=[0]",
    "classifier.grid={learning_rate: [0.001, 0.01]}",
    "tsne.sample=100",
    "tsne.perplexity=10",
    "tsne.iterations=300",
]


def small_profile() -> Profile:
    """The embedded profile, cut down."""
    return load_profile(assignments=[*SMALL, "name=small"], environment={})
