"""Learning-rate schedules by name: what the step size is multiplied with, step by step.

A new one is a function of the share of the steps done, and one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lib.mlp.trial import Trial

Array = npt.NDArray[np.float64]

MILESTONES, DROP = (0.6, 0.85), 0.1
"""Shares of the steps at which the schedule "step" multiplies the step size, and by what."""

SCHEDULES: dict[str, Callable[[Array], Array]] = {
    "constant": np.ones_like,
    "cosine": lambda done: 0.5 * (1 + np.cos(np.pi * done)),  # Loshchilov and Hutter 2017, equation 5, to 0
    "step": lambda done: DROP ** np.sum([done >= milestone for milestone in MILESTONES], axis=0),
}


def step_factors(schedule: str, warmup: float, steps: int, start: int, count: int) -> Array:
    """Factors of the learning rate for `count` steps from step `start` (the first is 0) of `steps`, shape (count,).

    In the first round(warmup * steps) steps it grows linearly to 1; the schedule is of the steps after these, and stays
    at its end when there are more than `steps`.
    """
    warm = round(warmup * steps)
    at = np.arange(start, start + count)
    done = np.clip((at - warm) / max(1, steps - warm), 0.0, 1.0)
    return np.where(at < warm, (at + 1) / max(1, warm), SCHEDULES[schedule](done))


def is_scheduled(trial: Trial) -> bool:
    """Whether the trial's step size changes."""
    return trial.schedule != "constant" or trial.warmup > 0


def epoch_factors(trials: Sequence[Trial], start: int, count: int) -> Array:
    """Factors of each trial's learning rate in an epoch of `count` steps that begins at step `start`: (count, trials)."""
    alike = {key: step_factors(*key[:2], key[2] * count, start, count) for key in set(map(_key, trials))}
    return np.stack([alike[_key(trial)] for trial in trials], axis=1)


def _key(trial: Trial) -> tuple[str, float, int]:
    return trial.schedule, trial.warmup, trial.epochs
