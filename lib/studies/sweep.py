"""A sweep study: every trial of every arm, compared on validation rows; winners trained again and scored on test once.

Each finished trial is kept on disk, so a killed sweep goes on with the trials that are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.config import SweepStudy
from lib.datasets import hold_out, require_no_leakage
from lib.datasets.dataset import Dataset, Split
from lib.evaluation.baselines import PEER
from lib.evaluation.metrics import decided, score
from lib.evaluation.peers import train_sklearn
from lib.files import digest_json, write_json
from lib.mlp.fused import Rung, Stopping
from lib.mlp.store import trial_key
from lib.mlp.training import TrialData, TrialResult
from lib.mlp.trial import Trial
from lib.progress import Advance, bar
from lib.search.opening import open_search
from lib.search.search import Search
from lib.storage.copies import fetch
from lib.studies.baselines import Baseline, keep_baseline
from lib.studies.configuration import Configuration, configurations_of, winner, winners
from lib.studies.identity import Identity
from lib.studies.record import StudyFolder, StudyRecord
from lib.studies.sweep_baselines import Beside, train_beside
from lib.studies.sweep_record import seal_sweep
from lib.studies.training import train_all, train_configurations
from lib.studies.trial_runs import Final

_HOLD_OUT_SEED = 0


def sweep_identity(name: str, study: SweepStudy, dataset: Dataset) -> Identity:
    """What decides the sweep `name` on `dataset`."""
    settings = study.model_dump(mode="json")
    part = settings | {"data": dataset.source or settings["data"]}
    return Identity(name, settings, {"data": dataset.digest}, {name: part})


def run_sweep(name: str, study: SweepStudy, dataset: Dataset, root: Path) -> StudyRecord:
    """Run the sweep `name`, or return its record when nothing has changed.

    Raises
    ------
    LeakageError
        When a test image is a training image.
    DataError
        When the study wants test figures and the dataset has no test split, or a search's journal is damaged.
    """
    folder = StudyFolder.of(root, sweep_identity(name, study, dataset))
    if record := folder.finished():
        return record
    require_no_leakage(dataset)
    data, data_key = sweep_data(dataset, study)
    searches = {arm: open_search(study.arms[arm], folder.path, arm) for arm in study.arms}
    trained = _train(name, study, searches, data, data_key, folder)
    configurations = [each for arm, groups in trained.items() for each in configurations_of(arm, study, groups, data)]
    best = winner(configurations)
    if study.refit and not best.halved:
        finals, beside = _finals(name, study, configurations, best, dataset, folder)
    else:
        finals = []
        beside = _beside_on_validation(name, study, best, data, data_key, dataset, folder)
    return seal_sweep(name, study, dataset, folder, searches, configurations, finals, beside)


def _train(
    name: str,
    study: SweepStudy,
    searches: Mapping[str, Search],
    data: TrialData,
    data_key: str,
    folder: StudyFolder,
) -> dict[str, list[list[TrialResult]]]:
    """Results of every configuration of each arm, one a seed: ask all arms, train what they want together, tell them."""
    trained: dict[str, list[list[TrialResult]]] = {arm: [] for arm in searches}
    stopping = stopping_of(study)
    number = 0
    while asked := {arm: settings for arm, search in searches.items() if (settings := search.ask())}:
        number += 1
        wanted = {
            arm: [[study.arms[arm].trial(setting, seed) for seed in study.seeds] for setting in settings]
            for arm, settings in asked.items()
        }
        said = f"{name} sweep" if number == 1 else f"{name} sweep, round {number}"
        # At a rung only the configurations of one arm compete: arms are reported side by side.
        calls = [[arm] for arm in wanted] if study.rungs else [list(wanted)]
        for arms in calls:
            groups = [group for arm in arms for group in wanted[arm]]
            results = iter(train_configurations(groups, data, data_key, folder, said, stopping))
            for arm in arms:
                of_arm = list(islice(results, len(wanted[arm])))
                searches[arm].tell(of_arm)
                trained[arm] += of_arm
    return trained


def stopping_of(study: SweepStudy) -> Stopping:
    """When the sweep's trials end before their epochs are over."""
    return Stopping(study.patience, tuple(Rung(rung.epoch, rung.keep) for rung in study.rungs))


def sweep_data(dataset: Dataset, study: SweepStudy) -> tuple[TrialData, str]:
    """Training and validation rows of a sweep, and a digest that names them."""
    classes = len(dataset.class_names)
    train_split, validation = _splits(dataset, study)
    key = dataset.digest
    if "validation" not in dataset.splits:
        key = digest_json([dataset.digest, "hold out", study.validation_fraction, _HOLD_OUT_SEED])
    data = TrialData(
        dataset.pixels_of(train_split), train_split.labels, dataset.pixels_of(validation), validation.labels, classes
    )
    return data, key


def _splits(dataset: Dataset, study: SweepStudy) -> tuple[Split, Split]:
    """Training rows and validation rows, held out of the former where the dataset has none."""
    if "validation" in dataset.splits:
        return dataset.splits["train"], dataset.splits["validation"]
    return hold_out(dataset.splits["train"], study.validation_fraction, _HOLD_OUT_SEED)


def _beside_on_validation(
    name: str,
    study: SweepStudy,
    best: Configuration,
    data: TrialData,
    data_key: str,
    dataset: Dataset,
    folder: StudyFolder,
) -> Beside:
    """The best network of a sweep without test figures, beside the baselines, on its validation rows."""
    first = best.results[0]
    trial = _final_trial(first)
    baselines = train_beside(name, study.compare_sklearn, trial, data, data_key, folder)
    probabilities = _probabilities(first, data.X_validation)
    groups = _splits(dataset, study)[1].groups
    label = f"{best.arm}: {best.label}" if len(study.arms) > 1 else best.label
    return Beside.of("validation", label, trial, probabilities, data, groups, baselines)


def _probabilities(result: TrialResult, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    """What a trial's network says of `rows`, shape (n, classes); equal shares where it diverged."""
    with np.errstate(over="ignore", invalid="ignore"):
        return decided(result.network.predict_proba(rows))


def _finals(
    name: str,
    study: SweepStudy,
    configurations: Sequence[Configuration],
    best: Configuration,
    dataset: Dataset,
    folder: StudyFolder,
) -> tuple[list[Final], Beside]:
    """Winners trained again and tested, and the best of them beside the baselines on the test rows."""
    test = dataset.require("test", f"study {name} scores its winners on test rows (refit)")
    development = [split for split in ("train", "validation") if split in dataset.splits]
    rest = TrialData(
        np.concatenate([dataset.pixels(split) for split in development]),
        np.concatenate([dataset.splits[split].labels for split in development]),
        dataset.pixels("test"),
        test.labels,  # watched for the curves; nothing is chosen by it
        len(dataset.class_names),
    )
    data_key = digest_json([dataset.digest, "refit"])
    chosen = [(each, _final_trial(result)) for each in winners(study, configurations) for result in each.results]
    results = train_all([trial for _, trial in chosen], rest, data_key, folder, f"{name} winners")
    peers: list[dict[str, Any] | None] = [None] * len(chosen)
    if study.compare_sklearn:
        fetch(folder.trials, lambda file: file.startswith("sklearn-"))
        with bar(f"{name} scikit-learn", sum(trial.epochs for _, trial in chosen), "epoch") as advance:
            peers = [_peer(trial, rest, data_key, folder, advance) for _, trial in chosen]
    said = [_probabilities(result, rest.X_validation) for result in results]
    finals = [
        Final(each.value, each.label, result, score(test.labels, probabilities), peer, probabilities)
        for (each, _), result, probabilities, peer in zip(chosen, results, said, peers, strict=True)
    ]
    of_best = next(final for final in finals if final.value == best.value)
    trial = of_best.result.trial
    baselines = train_beside(name, study.compare_sklearn, trial, rest, data_key, folder)
    beside = Beside.of("test", of_best.label, trial, of_best.probabilities, rest, test.groups, baselines)
    return finals, beside


def _final_trial(candidate: TrialResult) -> Trial:
    """The candidate's settings; one that ran out of patience is trained as long again, for no rows are left to stop by."""
    if candidate.ended != "patience":
        return candidate.trial
    return candidate.trial.model_copy(update={"epochs": len(candidate.history)})


def _peer(trial: Trial, data: TrialData, data_key: str, folder: StudyFolder, advance: Advance) -> dict[str, Any]:
    """scikit-learn's figures at the trial's settings, stored like a trial's; its answers are kept as a baseline's."""
    import json

    path = folder.trials / f"sklearn-{trial_key(trial, data_key)}.json"
    if path.exists():
        advance(trial.epochs)
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return stored
    peer = train_sklearn(trial, data, data.X_validation, advance)
    scores = score(data.y_validation, peer.probabilities)
    content = scores.summary() | {
        "activation": peer.activation,
        "seconds": peer.seconds,
        "prediction_digest": scores.prediction_digest,
    }
    keep_baseline(Baseline(PEER, peer.probabilities, peer.seconds), trial, data_key, folder)
    write_json(path, content)
    return content
