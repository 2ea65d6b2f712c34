"""Train a study's missing trials together, and keep each result: a killed study goes on from there."""

from __future__ import annotations

from collections.abc import Sequence

from lib.files import digest_json
from lib.mlp.fused import Checkpoint, train_many
from lib.mlp.store import load_result, save_result, trial_key
from lib.mlp.training import TrialData, TrialResult
from lib.mlp.trial import Trial
from lib.progress import bar
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
) -> list[TrialResult]:
    """Results of `trials` in their order: stored ones, and new ones trained as one call of the fused engine.

    Parameters
    ----------
    data_key : str
        Names the rows; part of the key under which each result is kept.
    label : str
        What the progress bar says.

    Trials train on the first CUDA device if there is one, else on the CPU.
    """
    device = training_device()
    keys = [trial_key(trial, data_key) for trial in trials]
    known = {key: stored for key in set(keys) if (stored := load_result(folder.trials, key)) is not None}
    every = dict(zip(keys, trials, strict=True))
    missing = {key: trial for key, trial in every.items() if key not in known}
    checkpoint = folder.path / f"checkpoint-{digest_json(list(every))[:16]}.safetensors"
    if missing:
        if checkpoint.exists():
            missing = every  # it holds them all
        with bar(label, sum(trial.epochs for trial in missing.values()), "epoch") as advance:
            results = train_many(
                list(missing.values()),
                data,
                device=device,
                memory=program_memory(device, data.X_train.nbytes + data.X_validation.nbytes),
                checkpoint=Checkpoint(checkpoint, every_seconds=CHECKPOINT_SECONDS),
                on_epoch=lambda _, record: advance(1),
            )
        for key, result in zip(missing, results, strict=True):
            save_result(folder.trials, result, key)
            known[key] = result
    checkpoint.unlink(missing_ok=True)  # only now are all results kept
    return [known[key] for key in keys]
