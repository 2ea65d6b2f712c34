"""Train a study's missing trials together, and keep each result: a killed study goes on from there.

Results lie where all studies keep their trials, under keys of all that decides them; checkpoints lie in the study's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lib.files import digest_json, remove_file
from lib.mlp.course import Course, Ending
from lib.mlp.device import program_memory, training_device
from lib.mlp.estimator import MLPClassifier, Record
from lib.mlp.fused import Checkpoint, Stopping, train_many
from lib.mlp.grouping import n_parameters
from lib.mlp.store import load_network, load_result, save_result, trial_key
from lib.mlp.training import TrialResult
from lib.mlp.trial import Trial
from lib.progress import bar
from lib.storage.copies import fetch_file, fetch_files
from lib.studies.study import Folder
from lib.studies.sweep.rows import Candidates, Division

CHECKPOINT_SECONDS = 30.0
"""How much training a kill may cost."""

TOGETHER = 1 << 31
"""Bytes of parameters that one call trains at most: of wide inputs, some hundred networks would fill a machine's memory."""


@dataclass(frozen=True)
class Trained(Course):
    """What came of a trial; its network is on disk, in `file`, for many of them are large."""

    trial: Trial
    history: tuple[Record, ...]
    diverged_epoch: int | None
    ended: Ending
    parameters: int
    file: Path

    def network(self) -> MLPClassifier:
        return load_network(self.file)


def train_all(
    trials: Sequence[Trial],
    division: Division,
    folder: Folder,
    label: str,
    stopping: Stopping | None = None,
) -> list[Trained]:
    """Results of `trials` in their order: stored ones, and new ones trained as one call of the fused engine.

    Results are kept under a key that holds those of `division`, whose rows are read only when a trial is missing, and of
    `stopping`. With rungs a trial's course depends on its rivals: the key then names all of them, and results are taken
    from disk only together. Trials train on the first CUDA device if there is one, else on the CPU. Networks too large to
    be in memory together train in several calls, unless they compete at rungs.
    """
    stopping = stopping or Stopping()
    rows_key = stopped_key(trials, division.key, stopping)
    keys = [trial_key(trial, rows_key) for trial in trials]
    fetch_files(result_files(folder, keys))
    known: dict[str, Trained] = {}
    for call in _calls(dict(zip(keys, trials, strict=True)), division, stopping):
        known |= _train(call, division, folder, label, stopping)
    return [known[key] for key in keys]


def _calls(trials: Mapping[str, Trial], division: Division, stopping: Stopping) -> Iterator[dict[str, Trial]]:
    """Trials by key, in runs whose networks can be in memory together; the same trials are always cut the same way."""
    _, features, classes = division.shape
    taken, call = 0, dict[str, Trial]()
    for key, trial in trials.items():
        size = 4 * n_parameters(trial, features, classes)
        if call and taken + size > TOGETHER and not stopping.rungs:
            yield call
            taken, call = 0, {}
        call[key] = trial
        taken += size
    yield call


def _train(
    every: Mapping[str, Trial], division: Division, folder: Folder, label: str, stopping: Stopping
) -> dict[str, Trained]:
    known = {key: stored for key in every if (stored := stored_result(folder, key)) is not None}
    missing = {key: trial for key, trial in every.items() if key not in known}
    whole = _checkpoint(folder, every)
    if missing:
        fetch_file(whole)
    if missing and (whole.exists() or stopping.rungs):
        missing = dict(every)  # the checkpoint holds them all; at a rung they all compete
    checkpoint = _checkpoint(folder, missing)
    if missing:
        fetch_file(checkpoint)
        data, device = division.rows.data, training_device()
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
        for key in missing:
            result = results.pop(0)
            save_result(folder.trials, result, key)
            known[key] = _without_network(result, folder, key)
    for done in (whole, checkpoint):  # only now are all results kept
        remove_file(done)
    return known


def stored_result(folder: Folder, key: str) -> Trained | None:
    """The result kept under `key`, or None when there is none or it is damaged (it is then trained again)."""
    result = load_result(folder.trials, key)
    return None if result is None else _without_network(result, folder, key)


def _without_network(result: TrialResult, folder: Folder, key: str) -> Trained:
    return Trained(
        result.trial,
        result.history,
        result.diverged_epoch,
        result.ended,
        result.n_parameters,
        folder.trials / f"{key}.safetensors",
    )


def result_files(folder: Folder, keys: Iterable[str]) -> list[Path]:
    """The files of results under these keys, each once."""
    return [folder.trials / f"{key}{suffix}" for key in dict.fromkeys(keys) for suffix in (".json", ".safetensors")]


def _checkpoint(folder: Folder, keys: Iterable[str]) -> Path:
    """The checkpoint of a call that trains the trials of these keys."""
    return folder.path / f"checkpoint-{digest_json(list(keys))[:16]}.safetensors"


def stopped_key(trials: Sequence[Trial], data_key: str, stopping: Stopping) -> str:
    """`data_key`, extended by all else that decides how far a trial goes."""
    if stopping == Stopping():
        return data_key
    rivals = list(dict.fromkeys(trials)) if stopping.rungs else []
    return digest_json([data_key, asdict(stopping), [trial.model_dump(mode="json") for trial in rivals]])


def train_each(
    trials: Sequence[Trial], candidates: Candidates, folder: Folder, label: str, stopping: Stopping
) -> list[Trained]:
    """`train_all` of trials of several seeds, each on its seed's rows; rows of one split are in memory at a time."""
    known: dict[Trial, Trained] = {}
    divisions = candidates.by_division()
    for division, seeds in divisions:
        own = [trial for trial in dict.fromkeys(trials) if trial.seed in seeds]
        if own:
            known |= zip(own, train_all(own, division, folder, label, stopping), strict=True)
        if len(divisions) > 1:
            division.release()
    return [known[trial] for trial in trials]


def train_configurations(
    groups: Sequence[Sequence[Trial]], candidates: Candidates, folder: Folder, label: str, stopping: Stopping
) -> list[list[Trained]]:
    """Train each configuration of `groups`, given as its trials, one a seed; results in the same order.

    With rungs the configurations compete by their first seeds. The other seeds of those that were not halved are trained
    after that, so a configuration is halved as a whole (it then has one result) or has all its seeds.
    """
    if not stopping.rungs:
        every = [trial for group in groups for trial in group]
        results = iter(train_each(every, candidates, folder, label, stopping))
        return [[next(results) for _ in group] for group in groups]
    first = train_each([group[0] for group in groups], candidates, folder, label, stopping)
    left = [group[1:] if result.ended != "halved" else [] for group, result in zip(groups, first, strict=True)]
    others = train_configurations(left, candidates, folder, label, replace(stopping, rungs=()))
    return [[result, *rest] for result, rest in zip(first, others, strict=True)]
