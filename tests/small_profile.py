"""A small profile that runs in seconds, on real data: every kind of node, on pixels and on features."""

from __future__ import annotations

import copy
from typing import Any

from lib.profile import Profile, parse_profile

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {
        "digits": {"source": "digits"},
        "patches": {"source": "photo-patches", "stride": 32},
    },
    "features": {
        "fc8": {
            "of": "patches",
            "layer": "fc8",
            "weights": "random",
            "input_size": 64,
            "shard_rows": 100,
            "batch_size": 16,
            "device": "cpu",
        },
    },
    "studies": {
        "exploration": {"kind": "exploration", "on": "patches", "scatter": 100},
        "activations": {
            "kind": "sweep",
            "on": "digits",
            "axis": "activation",
            "seeds": [0, 1],
            "test": True,
            "variants": {
                "sgd": {
                    "base": {"hidden": [16, 8], "learning_rate": 0.2, "batch_size": 16, "epochs": 4},
                    "grid": {"activation": ["relu", "tanh"], "init": ["xavier", "he"]},
                },
            },
        },
        "hidden_units": {
            "kind": "sweep",
            "on": "digits",
            "axis": "hidden",
            "seeds": [0],
            "variants": {
                "adam": {
                    "base": {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 128, "epochs": 3},
                    "grid": {"hidden": [[5], [20]]},
                },
                "sgd": {"base": {"batch_size": 32, "epochs": 3}, "grid": {"hidden": [[5], [20]]}},
            },
        },
        "classifier": {
            "kind": "sweep",
            "on": "fc8",
            "also_on": ["patches"],
            "seeds": [0],
            "test": True,
            "baselines": ["majority", "logistic"],
            "variants": {
                "mlp": {
                    "base": {"hidden": [16], "optimizer": "adam", "batch_size": 32, "epochs": 4},
                    "grid": {"learning_rate": [0.001, 0.01]},
                },
            },
        },
        "map": {"kind": "map", "of": "activations", "sample": 100, "perplexity": 10, "iterations": 300},
    },
    "promote": "classifier",
}
"""Its settings as JSON."""


def small_profile(**changes: Any) -> Profile:
    """The small profile; `changes` are laid over it, e.g. `studies={"hidden_units": {"seeds": [0, 1]}}`.

    A node that is None is left out.
    """
    return parse_profile(_changed(SMALL, changes))


def longer_profile(number: int = 0) -> Profile:
    """The small profile with an extraction and a sweep that can be met in the middle; for each number another work."""
    epochs = {"base": {"epochs": 250}}
    return small_profile(
        data={"patches": {"seed": number, "stride": 16}},
        features={"fc8": {"shard_rows": 16, "batch_size": 16}},
        studies={"hidden_units": {"seeds": [1000 + number], "variants": {"adam": epochs, "sgd": epochs}}},
    )


def _changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(base)
    for name, change in changes.items():
        if isinstance(change, dict) and isinstance(made.get(name), dict):
            made[name] = _changed(made[name], change)
        elif change is None and name != "promote":
            made.pop(name, None)
        else:
            made[name] = change
    return made
