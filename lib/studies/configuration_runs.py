"""A configuration as a run of its own: what its trials' runs show, as means over the seeds with their intervals.

Under the means' names stand what a trial has, so that configurations and trials share the columns of one table; a
mean's interval and spread are named `_low`, `_high` and `_standard_deviation`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lib.evaluation.intervals import LOSS, SHARE, half_width, over_seeds
from lib.evaluation.measures import MEASURES
from lib.files import digest_json
from lib.studies.record import RunNote

CONFIGURATION = "configuration"
"""The role of such a run; what its trials are stands in `TRIALS_TAG`."""

ROLE_TAG = "probeflow.role"
TRIALS_TAG = "probeflow.trials"
ROWS_TAG = "probeflow.rows"
"""Which rows a run's figures are of, beside training rows: "validation" or "test"."""

RANK = "rank"
"""Metric: a configuration's place in its study, 1 for the one announced as best."""

BOUNDS = ("_low", "_high")
"""Ends of the names of an interval's bounds, beside the figure's own name."""


def with_configuration(name: str, trials: Sequence[RunNote], rank: int | None = None) -> list[RunNote]:
    """The run of a configuration, then its trials' runs, one a seed, now below it.

    Parameters
    ----------
    trials : sequence of RunNote
        Of one role; params in which they differ are not the configuration's.
    """
    first = trials[0]
    params = {
        setting: value
        for setting, value in first.params.items()
        if setting not in ("seed", "ended") and all(trial.params[setting] == value for trial in trials)
    }
    endings = dict.fromkeys(str(trial.params["ended"]) for trial in trials if "ended" in trial.params)
    flags = dict.fromkeys(trial.tags["probeflow.flag"] for trial in trials if "probeflow.flag" in trial.tags)
    tags = first.tags | {
        ROLE_TAG: CONFIGURATION,
        TRIALS_TAG: first.tags[ROLE_TAG],
        "mlflow.note.content": _note(trials),
    }
    tags |= {"probeflow.ended": ", ".join(endings)} if endings else {}
    tags |= {"probeflow.flag": "; ".join(flags)} if flags else {}
    run = RunNote(
        key=digest_json([CONFIGURATION, *(trial.key for trial in trials)]),
        name=name,
        params=params | {"seeds": len(trials)} | ({"ended": ", ".join(endings)} if endings else {}),
        metrics=_means([trial.metrics for trial in trials]) | ({} if rank is None else {RANK: float(rank)}),
        history=_mean_curves([trial.history for trial in trials]),
        tags=tags,
    )
    return [run, *(replace(trial, below=run.key) for trial in trials)]


def _note(trials: Sequence[RunNote]) -> str:
    if len(trials) == 1:
        return "One seed, so no figure has an interval over seeds. The trial itself is the run below."
    return (
        f"Means over {len(trials)} seeds, whose trials are the runs below. `_low` and `_high` are the 95 % interval of the "
        "mean (Student's t), `_standard_deviation` is the spread from seed to seed; curves are means in each epoch, to "
        "the last that all seeds have."
    )


def _within(name: str) -> tuple[float, float] | None:
    """The values that a figure can have; None for what is told by its mean alone, such as seconds."""
    if name in MEASURES:
        return MEASURES[name].within
    if name.endswith("loss"):
        return LOSS
    return SHARE if name.endswith(("accuracy", "_f1")) else None


def _means(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each figure that all seeds have; of one seed what it has, with its own intervals over test images."""
    if len(seeds) == 1:
        return dict(seeds[0])
    means: dict[str, float] = {}
    for name in seeds[0]:
        of_images = name.endswith(BOUNDS) and name.rpartition("_")[0] in seeds[0]
        if of_images or any(name not in seed for seed in seeds):
            continue
        within = _within(name)
        estimate = over_seeds([seed[name] for seed in seeds], within or (-math.inf, math.inf))
        if not math.isfinite(estimate.mean):
            continue
        means[name] = estimate.mean
        if (
            within
            and estimate.standard_deviation is not None
            and estimate.low is not None
            and estimate.high is not None
        ):
            means |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
            means[f"{name}_standard_deviation"] = estimate.standard_deviation
    return means


def _mean_curves(seeds: Sequence[Sequence[Mapping[str, float | None]]]) -> tuple[dict[str, float | None], ...]:
    """Each epoch's means to the last epoch that all seeds have; of losses and accuracies that were watched, intervals too."""
    epochs = min(map(len, seeds))
    if epochs == 0:
        return ()
    columns: dict[str, Any] = {}
    for name in seeds[0][0]:
        values = np.array([[record[name] for record in seed[:epochs]] for seed in seeds], dtype=float)
        mean = values.mean(axis=0)
        columns[name] = mean
        within = _within(name)
        if len(seeds) > 1 and within and not name.startswith("train_"):
            half = half_width(values)
            columns |= {f"{name}_low": np.maximum(mean - half, within[0])}
            columns |= {f"{name}_high": np.minimum(mean + half, within[1])}
    return tuple(
        {name: float(column[epoch]) if math.isfinite(column[epoch]) else None for name, column in columns.items()}
        for epoch in range(epochs)
    )
