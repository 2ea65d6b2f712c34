"""The stages of a pipeline, and which studies each brings with it: one list for what runs and for what is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from lib.config import SWEEPS, Profile
from lib.errors import ConfigError

Stage = Literal[
    "acquire",
    "extract",
    "sweep",
    "evaluate",
    "promote",
    "activations",
    "hidden_units",
    "learning_rates",
    "exploration",
    "features",
    "classifier",
    "tsne",
]
STAGES: tuple[Stage, ...] = get_args(Stage)

STUDIES = ("exploration", "features", *SWEEPS, "classifier", "tsne")
"""All studies in the order they run."""

_MEANS: dict[str, tuple[str, ...]] = {
    "extract": ("features",),
    "sweep": SWEEPS,
    "evaluate": ("exploration", "classifier", "tsne"),
    "promote": ("classifier", "promote"),
}
"""What a stage stands for, where that is not the one study of its name."""

_NEEDS = {"classifier": "features", "tsne": "activations"}


def what_runs(profile: Profile, stages: Sequence[str] | None) -> tuple[str, ...]:
    """What a run of `stages` (of everything when there are none) does, in its order: studies with those they need,
    "acquire" before them, "promote" and "report" after them.

    Raises
    ------
    ConfigError
        For an unknown stage.
    """
    if unknown := [name for name in stages or () if name not in STAGES]:
        raise ConfigError(f"unknown stage {unknown[0]!r}; known: {', '.join(STAGES)}")
    wanted = {each for stage in stages or () for each in _MEANS.get(stage, (stage,))}
    order = ("acquire", *STUDIES, "promote", "report")
    wanted = wanted or set(order)
    wanted |= {_NEEDS[name] for name in wanted if name in _NEEDS}
    if not profile.activations.refit:  # then there is no network whose hidden layer could be shown
        wanted.discard("tsne")
    return tuple(name for name in order if name in wanted)
