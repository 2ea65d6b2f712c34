"""A trial's settings as a label, as MLflow parameters and as a key; all made from the fields of `Trial`.

Labels are for reading: what is looked up, compared or stored goes by `settings_key`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from lib.mlp.trial import Trial, hyperparameter

LINEAR_PROBE = "linear probe"
"""A network without a hidden layer: softmax regression on its inputs."""


def width(hidden: Iterable[int]) -> str:
    """Hidden layers as "256-128-64"; "none" for a linear probe."""
    return "-".join(map(str, hidden)) or "none"


def architecture(hidden: Sequence[int]) -> str:
    """What a network with such hidden layers is called.

    >>> architecture((512, 256)), architecture(())
    ('MLP 512-256', 'linear probe')
    """
    return f"MLP {width(hidden)}" if len(hidden) else LINEAR_PROBE


def number(of: float) -> str:
    """The shortest usual form of a number that is read back as the same one.

    >>> number(0.1), number(0.1001), number(1e-05), number(0.123456789)
    ('0.1', '0.1001', '1e-05', '0.123456789')
    """
    short = f"{of:g}"
    return short if float(short) == of else repr(of)


def value(of: Any) -> str:
    """A setting's value without its name: "relu", "0.01", "64-32", "linear probe"."""
    if isinstance(of, str):
        return of
    if isinstance(of, float):
        return number(of)
    return str(of) if isinstance(of, int) else (width(of) if len(of) else LINEAR_PROBE)


def setting(name: str, of: Any, model: type[Trial] = Trial) -> str:
    """One setting in words: "rate 0.01", "he init", "50 units", "linear probe".

    >>> setting("learning_rate", 0.01), setting("hidden", (64, 32)), setting("hidden", ())
    ('rate 0.01', 'layers 64-32', 'linear probe')
    """
    if name == "hidden" and len(of) < 2:
        return f"{of[0]} units" if len(of) else LINEAR_PROBE
    return hyperparameter(name, model.model_fields[name]).label.format(value(of))


def label(trial: Trial, varied: Iterable[str], *, rounded: bool = False) -> str:
    """A trial named by the settings that vary among those it is compared with; `rounded` numbers have three digits.

    >>> label(Trial(hidden=(64,), learning_rate=0.1001), ["hidden", "learning_rate"])
    '64 units · rate 0.1001'
    """
    given = {name: getattr(trial, name) for name in varied}
    if rounded:
        given = {name: float(f"{of:.3g}") if isinstance(of, float) else of for name, of in given.items()}
    return " · ".join(setting(name, of, type(trial)) for name, of in given.items())


def params(trial: Trial) -> dict[str, str | int | float]:
    """A trial's settings for MLflow: numbers stay numbers, one hidden layer is a number too, a linear probe's are "none"."""
    return {name: _param(getattr(trial, name)) for name in type(trial).model_fields}


def _param(of: Any) -> str | int | float:
    if isinstance(of, str | int | float):
        return of
    only: int | None = of[0] if len(of) == 1 else None
    return width(of) if only is None else only


def settings_key(trial: Trial, without: Collection[str] = ("seed",)) -> str:
    """The settings as canonical JSON: equal for two trials if and only if all settings but `without` are equal.

    >>> settings_key(Trial(l2=1)) == settings_key(Trial(l2=1.0, seed=3))
    True
    """
    return json.dumps(trial.model_dump(mode="json", exclude=set(without)), sort_keys=True, separators=(",", ":"))
