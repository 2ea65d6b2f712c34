"""Train a study's missing trials together, and keep each result: a killed study goes on from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from lib.files import digest_json, remove_file
from lib.mlp.fused import Checkpoint, Stopping, train_many
from lib.mlp.store import load_result, save_result, trial_key
from lib.mlp.training import TrialData, TrialResult
from lib.mlp.trial import Trial
from lib.progress import bar
from lib.storage.copies import fetch, fetch_file
from lib.studies.device import program_memory, training_device
from lib.studies.record import StudyFolder

CHECKPOINT_SECONDS = 30.0
"""How much training a kill may cost."""


def train_all(
    trials: Sequence[Trial],
    data: TrialData,
    data_key: str,
    folder: StudyFolder,
    label: str,
    stopping: Stopping | None = None,
) -> list[TrialResult]:
    """Results of `trials` in their order: stored ones, and new ones trained as one call of the fused engine.

    Parameters
    ----------
    data_key : str
        Names the rows; part of the key under which each result is kept.
    label : str
        What the progress bar says.
    stopping : Stopping, optional
        Part of the key too. With rungs a trial's course depends on its rivals: results are then kept under a key that
        names all of them, and are taken from disk only together.

    Trials train on the first CUDA device if there is one, else on the CPU.
    """
    stopping = stopping or Stopping()
    device = training_device()
    rows_key = stopped_key(trials, data_key, stopping)
    keys = [trial_key(trial, rows_key) for trial in trials]
    fetch_results(folder, keys)
    known = {key: stored for key in set(keys) if (stored := load_result(folder.trials, key)) is not None}
    every = dict(zip(keys, trials, strict=True))
    missing = {key: trial for key, trial in every.items() if key not in known}
    whole = _checkpoint(folder, every)
    if missing:
        fetch_file(whole)
    if missing and (whole.exists() or stopping.rungs):
        missing = every  # the checkpoint holds them all; at a rung they all compete
    checkpoint = _checkpoint(folder, missing)
    if missing:
        fetch_file(checkpoint)
        with bar(label, sum(trial.epochs for trial in missing.values()), "epoch") as advance:
            results = train_many(
                list(missing.values()),
                data,
                device=device,
                stopping=stopping,
                memory=program_memory(device, data.X_train.nbytes + data.X_validation.nbytes),
                checkpoint=Checkpoint(checkpoint, every_seconds=CHECKPOINT_SECONDS),
                on_epoch=lambda _, record: advance(1),
            )
        for key, result in zip(missing, results, strict=True):
            save_result(folder.trials, result, key)
            known[key] = result
    for done in (whole, checkpoint):  # only now are all results kept
        remove_file(done)
    return [known[key] for key in keys]


def fetch_results(folder: StudyFolder, keys: Iterable[str]) -> None:
    """Bring what other machines have stored under these keys."""
    names = {f"{key}{suffix}" for key in keys for suffix in (".json", ".safetensors")}
    fetch(folder.trials, names.__contains__)


def _checkpoint(folder: StudyFolder, keys: Iterable[str]) -> Path:
    """The checkpoint of a call that trains the trials of these keys."""
    return folder.path / f"checkpoint-{digest_json(list(keys))[:16]}.safetensors"


def stopped_key(trials: Sequence[Trial], data_key: str, stopping: Stopping) -> str:
    """`data_key`, extended by all else that decides how far a trial goes."""
    if stopping == Stopping():
        return data_key
    rivals = list(dict.fromkeys(trials)) if stopping.rungs else []
    return digest_json([data_key, asdict(stopping), [trial.model_dump(mode="json") for trial in rivals]])


def train_configurations(
    groups: Sequence[Sequence[Trial]],
    data: TrialData,
    data_key: str,
    folder: StudyFolder,
    label: str,
    stopping: Stopping,
) -> list[list[TrialResult]]:
    """Train each configuration of `groups`, given as its trials, one a seed; results in the same order.

    With rungs the configurations compete by their first seeds. The other seeds of those that were not halved are trained
    after that, so a configuration is halved as a whole (it then has one result) or has all its seeds.
    """
    if not stopping.rungs:
        results = iter(
            train_all([trial for group in groups for trial in group], data, data_key, folder, label, stopping)
        )
        return [[next(results) for _ in group] for group in groups]
    first = train_all([group[0] for group in groups], data, data_key, folder, label, stopping)
    left = [group[1:] if result.ended != "halved" else [] for group, result in zip(groups, first, strict=True)]
    others = train_configurations(left, data, data_key, folder, label, replace(stopping, rungs=()))
    return [[result, *rest] for result, rest in zip(first, others, strict=True)]
