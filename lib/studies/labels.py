"""How a trial is named and how its settings are shown, the same in figures, tables and MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lib.mlp.trial import Trial

_WORDS = {
    "activation": "{}",
    "init": "{} init",
    "optimizer": "{}",
    "learning_rate": "rate {:g}",
    "momentum": "momentum {:g}",
    "l2": "L2 {:g}",
    "batch_size": "batch {}",
    "epochs": "{} epochs",
}


def width(hidden: Iterable[int]) -> str:
    """Hidden layers as "256-128-64"; "none" for softmax regression."""
    return "-".join(map(str, hidden)) or "none"


def setting(name: str, value: Any) -> str:
    """One setting in words: "rate 0.01", "he init", "50 units"."""
    if name == "hidden":
        layers = tuple(value)
        return f"{layers[0]} units" if len(layers) == 1 else f"layers {width(layers)}"
    return _WORDS[name].format(value)


def label(trial: Trial, varied: Iterable[str]) -> str:
    """A trial named by the settings that vary in its arm."""
    return " · ".join(setting(name, getattr(trial, name)) for name in varied)


def params(trial: Trial, arm: str | None = None) -> dict[str, str | int | float]:
    """A trial's settings for MLflow: numbers stay numbers, one hidden layer is a number too."""
    shown: dict[str, str | int | float] = {
        "activation": trial.activation,
        "hidden": trial.hidden[0] if len(trial.hidden) == 1 else width(trial.hidden),
        "init": trial.init,
        "optimizer": trial.optimizer,
        "learning_rate": trial.learning_rate,
        "momentum": trial.momentum,
        "l2": trial.l2,
        "batch_size": trial.batch_size,
        "epochs": trial.epochs,
        "seed": trial.seed,
    }
    return {"arm": arm, **shown} if arm else shown
