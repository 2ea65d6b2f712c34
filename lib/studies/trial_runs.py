"""The trials of a sweep as runs to be shown, each under a key of its own and below its configuration's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.config import SweepStudy
from lib.evaluation.metrics import Scores
from lib.files import digest_json
from lib.mlp.labels import params
from lib.mlp.training import TrialResult
from lib.studies.configuration import Configuration, ranked
from lib.studies.configuration_runs import ROLE_TAG, ROWS_TAG, with_configuration
from lib.studies.record import RunNote

_WATCHED = ("validation_accuracy", "validation_loss")
_TRAINED = ("train_loss", "train_accuracy")


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
    """Every configuration of a finished sweep with its trials, of finals and scikit-learn peers too, under `parent_key`."""
    runs = []
    many_arms = len(study.arms) > 1
    ranks = {id(each): place for place, each in enumerate(ranked(configurations), start=1)}
    for each in configurations:
        name = f"{each.arm}: {each.label}" if many_arms else each.label
        arm: dict[str, str | int | float] = {"arm": each.arm} if many_arms else {}
        trials = [
            trial_run(parent_key, "candidate", name, result, arm | params(result.trial), flag)
            for result, flag in zip(each.results, each.flags, strict=True)
        ]
        runs += with_configuration(name, trials, ranks[id(each)])
    for value, label in dict.fromkeys((final.value, final.label) for final in finals):
        winner = [final for final in finals if (final.value, final.label) == (value, label)]
        runs += with_configuration(f"final · {label}", [_final_run(parent_key, final) for final in winner])
        if peers := [run for final in winner if (run := _peer_run(parent_key, final)) is not None]:
            runs += with_configuration(f"scikit-learn · {label}", peers)
    return runs


def _final_run(parent_key: str, final: Final) -> RunNote:
    run = trial_run(parent_key, "final", f"final · {final.label}", final.result, params(final.result.trial), None)
    return replace(run, metrics=final.scores.summary() | run.metrics)


def _peer_run(parent_key: str, final: Final) -> RunNote | None:
    if final.peer is None:
        return None
    shown = params(final.result.trial)
    return RunNote(
        key=digest_json([parent_key, "sklearn", shown]),
        name=f"scikit-learn · {final.peer['activation']} · seed {final.result.trial.seed}",
        params=shown | {"init": "sklearn"},
        metrics={key: final.peer[key] for key in final.scores.summary()} | {"training_seconds": final.peer["seconds"]},
        tags={ROLE_TAG: "peer", ROWS_TAG: "test", "probeflow.engine": "scikit-learn"},
    )


def trial_run(
    parent_key: str, role: str, name: str, result: TrialResult, shown: dict[str, str | int | float], flag: str | None
) -> RunNote:
    """A trial as a run to be shown. `role` is "candidate", or "final" when the rows it watched are the test rows.

    Its figures are those at the epoch with the best validation loss (best_epoch_*), after the last epoch (last_epoch_*)
    and averaged over the epochs (mean_*). A final's per-epoch figures are named test_*, nothing of it carries a validation
    figure's name, and it has no best epoch, for none is chosen by test rows.
    """
    final = role == "final"
    last = result.history[-1]
    metrics: dict[str, float] = {}
    if not final:
        best = result.history[result.best_epoch - 1]
        # First what a sweep's best is chosen by, for MLflow's comparison opens with a run's first metric.
        metrics |= {f"last_epoch_{figure}": last[figure] for figure in _WATCHED}
        metrics |= {f"best_epoch_{figure}": best[figure] for figure in _WATCHED + _TRAINED}
        metrics |= {"best_epoch": float(result.best_epoch), "mean_validation_loss": result.mean_validation_loss}
    metrics |= {f"last_epoch_{figure}": last[figure] for figure in _TRAINED}
    metrics |= {
        "last_epoch": float(len(result.history)),
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
        params=shown | {"ended": result.ended_words},
        metrics=metrics,
        history=history,
        tags={
            ROLE_TAG: role,
            ROWS_TAG: watched.removesuffix("_"),
            "probeflow.engine": "probeflow",
            "probeflow.ended": result.ended_words,
        }
        | ({"probeflow.flag": flag} if flag else {}),
    )
