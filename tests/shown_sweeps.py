"""Sweeps that have something of everything to show, run once in a session and found again by who asks later."""

from __future__ import annotations

from typing import Any

from lib.graph.inputs import ReadyNode, ready_node
from lib.places import Places
from tests.small_profile import small_profile

_BASE = {"hidden": [16], "batch_size": 32, "epochs": 5}

SWEEPS: dict[str, dict[str, Any]] = {
    "tested": {
        "on": "digits",
        "axis": "learning_rate",
        "seeds": [0, 1, 2],
        "test": True,
        "baselines": ["majority", "logistic", "sklearn-mlp"],
        "variants": {
            "mlp": {"base": _BASE, "grid": {"learning_rate": [0.03, 0.3], "l2": [0.0, 0.01]}},
            "linear": {"base": _BASE | {"hidden": []}, "grid": {"learning_rate": [0.03, 0.3]}},
        },
    },
    "searched": {
        "on": "digits",
        "seeds": [0, 1],
        "patience": 2,
        "rungs": [{"epoch": 2, "keep": 0.7}],
        "baselines": ["majority", "logistic"],
        "variants": {
            "random": {
                "base": _BASE,
                "search": {
                    "sampler": "random",
                    "configurations": 12,
                    "space": {
                        "hidden": {"units": {"low": 4, "high": 40}},
                        "learning_rate": {"low": 0.001, "high": 100, "log": True},
                    },
                },
            }
        },
    },
    "heads": {
        "on": "fc8",
        "also_on": ["patches"],
        "seeds": [0, 1],
        "test": True,
        "baselines": ["majority", "logistic"],
        "variants": {"mlp": {"base": _BASE | {"optimizer": "adam"}, "grid": {"learning_rate": [0.001, 0.01]}}},
    },
}
"""Tested with an axis, two variants and all kinds of models; searched, halved and not tested; on random features."""


def shown_sweep(name: str, where: Places, **changes: Any) -> ReadyNode:
    """One of `SWEEPS`, or another of that name with some settings of its own, with its inputs."""
    profile = small_profile(studies={name: {"kind": "sweep"} | SWEEPS.get(name, {}) | changes})
    return ready_node(profile, name, where)
