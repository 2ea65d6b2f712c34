"""How a trial is named and how its settings are shown, the same in figures, tables and MLflow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lib.mlp.trial import Trial

if TYPE_CHECKING:
    from lib.mlp.training import TrialResult  # not at run time: settings import this file, and need no scikit-learn

_WORDS = {
    "activation": "{}",
    "init": "{} init",
    "optimizer": "{}",
    "learning_rate": "rate {:.3g}",
    "momentum": "momentum {:.3g}",
    "l2": "L2 {:.3g}",
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


def value(of_axis: Any) -> str:
    """The value of an axis without its name: "relu", "0.01", "64-32"."""
    if isinstance(of_axis, str):
        return of_axis
    return f"{of_axis:.3g}" if isinstance(of_axis, float) else width(of_axis)


def ending(result: TrialResult) -> str:
    """How a trial ended: "finished", "halved at epoch 10"."""
    if result.ended == "finished":
        return "finished"
    how = {"diverged": "diverged", "patience": "out of patience", "halved": "halved"}[result.ended]
    return f"{how} at epoch {len(result.history)}"


def label(trial: Trial, varied: Iterable[str]) -> str:
    """A trial named by the settings that vary in its arm."""
    return " · ".join(setting(name, getattr(trial, name)) for name in varied)


def wrapped(text: str, letters: int) -> str:
    """A label in lines of so many letters at most, broken between its settings; a longer one between its layers."""
    lines = [""]
    for part in text.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(longer) <= letters:
            lines[-1] = longer
            continue
        pieces = [""]
        for piece in re.split("(?<=[- ])", part):
            if pieces[-1] and len(pieces[-1] + piece.rstrip()) > letters:
                pieces.append("")
            pieces[-1] += piece
        lines += pieces
    return "\n".join(line.rstrip() for line in lines if line)


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
