"""The trials of a sweep as runs to be shown, each under a key of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.config import SweepStudy
from lib.evaluation.metrics import Scores
from lib.files import digest_json
from lib.mlp.training import TrialResult
from lib.studies.configuration import Configuration
from lib.studies.labels import ending, params
from lib.studies.record import RunNote


@dataclass(frozen=True)
class Final:
    """A winner trained again on train + validation and scored on test by its probabilities, shape (n, classes), and its
    scikit-learn peer."""

    value: Any
    label: str
    result: TrialResult
    scores: Scores
    peer: Mapping[str, Any] | None
    probabilities: npt.NDArray[np.floating]


def sweep_runs(
    parent_key: str, study: SweepStudy, configurations: Sequence[Configuration], finals: Sequence[Final]
) -> list[RunNote]:
    """Every trial of a finished sweep, and every scikit-learn peer, as a run to be shown under `parent_key`."""
    runs = []
    many_arms = len(study.arms) > 1
    for each in configurations:
        for result, flag in zip(each.results, each.flags, strict=True):
            name = f"{each.arm}: {each.label}" if many_arms else each.label
            arm = each.arm if many_arms else None
            runs.append(trial_run(parent_key, "candidate", name, result, params(result.trial, arm), flag))
    for final in finals:
        shown = params(final.result.trial)
        run = trial_run(parent_key, "final", f"final · {final.label}", final.result, shown, None)
        runs.append(replace(run, metrics=final.scores.summary() | run.metrics))
        if final.peer is not None:
            name = f"scikit-learn · {final.peer['activation']} · seed {final.result.trial.seed}"
            figures_only = {key: final.peer[key] for key in final.scores.summary()}
            key = digest_json([parent_key, "sklearn", shown])
            tags = {"probeflow.role": "peer", "probeflow.engine": "scikit-learn"}
            metrics = figures_only | {"training_seconds": final.peer["seconds"]}
            runs.append(RunNote(key, name, shown | {"init": "sklearn"}, metrics, (), tags))
    return runs


def trial_run(
    parent_key: str, role: str, name: str, result: TrialResult, shown: dict[str, str | int | float], flag: str | None
) -> RunNote:
    """A trial as a run to be shown. `role` is "candidate", or "final" when the rows it watched are the test rows.

    A final's per-epoch figures are named test_*, and nothing of it carries a validation figure's name.
    """
    final = role == "final"
    metrics: dict[str, float] = {}
    if not final:  # first, for MLflow's comparison opens with a run's first metric
        metrics |= {
            "best_validation_loss": result.best_validation_loss,
            "best_validation_accuracy": result.best_validation_accuracy,
            "best_epoch": float(result.best_epoch),
            "mean_validation_loss": result.mean_validation_loss,
        }
    metrics |= {
        "mean_train_loss": result.mean_train_loss,
        "training_seconds": result.seconds,
        "parameters": float(result.n_parameters),
    }
    watched = "test_" if final else "validation_"
    history = tuple(
        {column.replace("validation_", watched): value for column, value in record.items()} for record in result.history
    )
    return RunNote(
        key=digest_json([parent_key, role, shown]),
        name=f"{name} · seed {result.trial.seed}",
        params=shown | {"ended": ending(result)},
        metrics=metrics,
        history=history,
        tags={"probeflow.role": role, "probeflow.engine": "probeflow", "probeflow.ended": ending(result)}
        | ({"probeflow.flag": flag} if flag else {}),
    )
