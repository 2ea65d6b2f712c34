"""The baselines that a sweep's networks are compared with, each trained once on the rows that they had, and kept like a trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from threadpoolctl import threadpool_limits

from lib.evaluation import baselines
from lib.evaluation.baselines import BASELINES, Question
from lib.files import digest_json
from lib.mlp.store import trial_key
from lib.mlp.tensor_files import read_tensors, write_tensors
from lib.mlp.trial import Trial
from lib.progress import bar
from lib.storage.copies import fetch_files
from lib.studies.study import Folder
from lib.studies.sweep.answers import Answer, Model
from lib.studies.sweep.result import ModelRole
from lib.studies.sweep.rows import Division
from lib.studies.sweep.settings import Baseline

_VERSION = 1
"""Raised when a baseline is computed in another way, so that kept answers are not taken for the new ones."""

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """A network that baselines with its settings are compared with: its configuration's position and name, its trials."""

    configuration: int
    name: str
    trials: Sequence[Trial]


@dataclass(frozen=True)
class _Asked:
    """One baseline with one seed, under the key that its answer is kept by."""

    baseline: Baseline
    key: str
    seed: int
    trial: Trial | None = None
    name: str = ""


def baseline_models(
    names: Sequence[Baseline],
    wanted: Sequence[Wanted],
    division: Division,
    held_out: Positions | None,
    folder: Folder,
    label: str,
) -> list[Model]:
    """The baselines of these names, asked about the rows that `division` watches.

    One that has a trial's settings comes once for each of the `wanted` with all its trials, any other once. Those kept for
    the same rows are not trained again.

    Parameters
    ----------
    held_out : ndarray of int64, shape (n,), or None
        Positions among the rows trained on that baselines choose their settings by; None: as the baselines do it.
    label : str
        What the progress bar says.
    """
    asked: list[tuple[int | None, list[_Asked]]] = []
    for name in names:
        if BASELINES[name].per_trial:
            asked += [
                (each.configuration, [_of_trial(name, each, trial, division) for trial in each.trials])
                for each in wanted
            ]
        else:
            key = digest_json([_VERSION, name, division.key, None if held_out is None else held_out.tolist()])
            asked.append((None, [_Asked(name, key, 0, name=name)]))
    every = [each for _, several in asked for each in several]
    fetch_files([_path(each, folder) for each in every])
    models = []
    with bar(label, len(every), "model") as advance:
        for configuration, several in asked:
            answers, settings = [], {}
            for each in several:
                given = _kept_or_trained(each, division, held_out, folder)
                answers.append(Answer(each.name, each.seed, given.probabilities, given.seconds))
                settings = given.settings
                advance(1)
            models.append(
                Model(
                    ModelRole.BASELINE,
                    0,
                    configuration,
                    tuple(answers),
                    baseline=several[0].baseline,
                    settings=settings,
                )
            )
    return models


def _of_trial(name: Baseline, wanted: Wanted, trial: Trial, division: Division) -> _Asked:
    key = digest_json([_VERSION, name, trial_key(trial, division.key)])
    return _Asked(name, key, trial.seed, trial, f"{name} as {wanted.name}, seed {trial.seed}")


def _kept_or_trained(asked: _Asked, division: Division, held_out: Positions | None, folder: Folder) -> baselines.Answer:
    path = _path(asked, folder)
    try:
        tensors, metadata = read_tensors(path, must=True)
        return baselines.Answer(tensors["probabilities"], json.loads(metadata["settings"]), float(metadata["seconds"]))
    except (OSError, SafetensorError, KeyError, ValueError):
        pass  # not there, or damaged
    data = division.rows.data
    question = Question(data, data.X_validation, asked.trial, asked.seed, held_out)
    # A network's batches are too little work to share: a second BLAS thread mostly waits for the first.
    with threadpool_limits(1 if BASELINES[asked.baseline].per_trial else None, user_api="blas"):
        answer = BASELINES[asked.baseline].answer(question)
    metadata = {"seconds": repr(answer.seconds), "settings": json.dumps(answer.settings)}
    write_tensors(path, {"probabilities": answer.probabilities}, metadata)
    return answer


def _path(asked: _Asked, folder: Folder) -> Path:
    return folder.trials / f"baseline-{asked.key}.safetensors"


def held_out_among(candidates: Division, finals: Division) -> Positions:
    """Where the rows that candidates were watched on lie among those that finals train on."""
    starts, place = {}, 0
    for split, rows in finals.train:
        starts[split], place = place, place + len(rows)
    found: Positions = np.concatenate([starts[split] + rows for split, rows in candidates.watched])
    return found
