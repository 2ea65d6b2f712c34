"""scikit-learn's baselines beside a study's network, each trained once and kept like a trial."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save as safetensors_bytes
from threadpoolctl import threadpool_limits

from lib.evaluation.baselines import BASELINES
from lib.evaluation.measures import estimates
from lib.evaluation.metrics import score
from lib.files import digest_json, write_bytes
from lib.mlp.store import read_tensors, trial_key
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.progress import bar
from lib.storage.copies import fetch
from lib.studies.configuration_runs import ROLE_TAG, ROWS_TAG
from lib.studies.record import RunNote, StudyFolder


@dataclass(frozen=True)
class Baseline:
    """A baseline's probabilities of the test rows, shape (n, classes), and the seconds it took to train and ask."""

    name: str
    probabilities: npt.NDArray[np.floating]
    seconds: float


def train_baselines(
    names: Sequence[str],
    trial: Trial,
    data: TrialData,
    data_key: str,
    folder: StudyFolder,
    label: str = "classifier baselines",
) -> list[Baseline]:
    """The baselines of these names (of `lib.evaluation.baselines`), asked about the rows that `data` watches.

    Those kept under the same trial and rows are not trained again. `label` is what the progress bar says.
    """
    fetch(folder.trials, lambda file: file.startswith("sklearn-"))
    with bar(label, len(names), "model") as advance:
        found = []
        for name in names:
            found.append(_kept_or_trained(name, trial, data, data_key, folder))
            advance(1)
    return found


def _kept_or_trained(name: str, trial: Trial, data: TrialData, data_key: str, folder: StudyFolder) -> Baseline:
    try:
        tensors, metadata = read_tensors(_path(name, trial, data_key, folder))
        return Baseline(name, tensors["probabilities"], float(metadata["seconds"]))
    except (OSError, SafetensorError, KeyError, ValueError):
        pass  # not there, or damaged
    started = time.perf_counter()
    # Batches of some 32 rows are too little work to share: a second BLAS thread mostly waits for the first.
    with threadpool_limits(1, user_api="blas"):
        probabilities = BASELINES[name](trial, data, data.X_validation)
    baseline = Baseline(name, probabilities, time.perf_counter() - started)
    keep_baseline(baseline, trial, data_key, folder)
    return baseline


def keep_baseline(baseline: Baseline, trial: Trial, data_key: str, folder: StudyFolder) -> None:
    """Keep a baseline's answers, so that `train_baselines` does not train it again for this trial and these rows."""
    content = {"probabilities": np.ascontiguousarray(baseline.probabilities)}
    path = _path(baseline.name, trial, data_key, folder)
    write_bytes(path, safetensors_bytes(content, {"seconds": repr(baseline.seconds)}))


def _path(name: str, trial: Trial, data_key: str, folder: StudyFolder) -> Path:
    return folder.trials / f"sklearn-{digest_json([name, trial_key(trial, data_key)])}.safetensors"


def baseline_run(
    parent_key: str,
    baseline: Baseline,
    labels: npt.NDArray[np.int64],
    features: str,
    seed: int,
    split: str = "test",
) -> RunNote:
    """A baseline as a run beside the networks'; `features` are the rows it had, in words, `labels` those of `split`."""
    figures = score(labels, baseline.probabilities).summary() | estimates(labels, baseline.probabilities)
    figures = {name.replace("test_", f"{split}_", 1): value for name, value in figures.items()}
    return RunNote(
        key=digest_json([parent_key, "baseline", baseline.name]),
        name=f"{baseline.name} on {features}",
        params={"model": baseline.name, "input": features, "seed": seed},
        metrics=figures | {"training_seconds": baseline.seconds},
        tags={ROLE_TAG: "baseline", ROWS_TAG: split, "probeflow.engine": "scikit-learn"},
    )
