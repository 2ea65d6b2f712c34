"""The baselines that a sweep's networks are compared with, each trained once on the rows that they had, side by side.

Their answers are kept for all studies that ask for the same of the same rows: each is trained on one core, so that neither
what is trained beside it nor how many cores there are changes a bit of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, parallel_config
from safetensors import SafetensorError

from lib.datasets.splits import hold_out_where_possible
from lib.evaluation import baselines
from lib.evaluation.baselines import BASELINES, Choice, Question, answer_on_one_core
from lib.files import digest_json
from lib.machine import cores
from lib.mlp.store import trial_key
from lib.mlp.tensor_files import read_tensors, write_tensors
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.progress import bar
from lib.storage.copies import fetch_files
from lib.studies.sweep.answers import Answer, Model
from lib.studies.sweep.chunks import cost
from lib.studies.sweep.result import ModelRole, TunedOn, Tuning
from lib.studies.sweep.rows import HOLD_OUT_SEED, Division
from lib.studies.sweep.settings import Baseline

_VERSION = 3
"""Raised when a baseline is computed in another way, so that kept answers are not taken for the new ones."""

_STEP_SECONDS, _RATE, _PASSES = 3e-4, 1e10, 4000
"""About what scikit-learn takes: for a step of a network beside its arithmetic, operations a second, and passes over the
rows of what is no network and chooses its settings."""

_WORTHWHILE = 4.0
"""Seconds of work from which on processes, which take a second or two to start, share it."""

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Wanted:
    """A network that baselines with its settings are compared with: its configuration's position and name, its trials."""

    configuration: int
    name: str
    trials: Sequence[Trial]


@dataclass(frozen=True)
class TuningRows:
    """Positions among the rows trained on, shape (n,), by which baselines choose their settings, and what these rows are."""

    rows: Positions
    on: TunedOn


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
    held_out: TuningRows,
    kept: Path,
    label: str,
) -> list[Model]:
    """The baselines of these names, asked about the rows that `division` watches.

    One that has a trial's settings comes once for each of the `wanted` with all its trials, any other once. Those in the
    folder `kept` for the same rows are not trained again.
    """
    asked: list[tuple[int | None, list[_Asked]]] = []
    for name in names:
        if BASELINES[name].per_trial:
            asked += [
                (each.configuration, [_of_trial(name, each, trial, division) for trial in each.trials])
                for each in wanted
            ]
        else:
            key = _key(name, division.key, held_out.rows.tolist())
            asked.append((None, [_Asked(name, key, 0, name=name)]))
    every = {each.key: each for _, several in asked for each in several}
    with bar(label, len(every), "model") as advance:
        answers = _kept(every.values(), kept)
        advance(len(answers))
        missing = [each for key, each in every.items() if key not in answers]
        for each, answer in _trained(missing, division, held_out.rows) if missing else ():
            about = asdict(answer)
            tensors = {"probabilities": about.pop("probabilities")}
            write_tensors(_path(each, kept), tensors, {"answer": json.dumps(about)})
            answers[each.key] = answer
            advance(1)
    return [_model(configuration, several, answers, held_out.on) for configuration, several in asked]


def _model(
    configuration: int | None, several: Sequence[_Asked], given: Mapping[str, baselines.Answer], on: TunedOn
) -> Model:
    answers = tuple(
        Answer(each.name, each.seed, given[each.key].probabilities, given[each.key].seconds) for each in several
    )
    first, last = several[0], given[several[-1].key]
    choice = last.choice
    tuning = Tuning(
        tried=choice.tried,
        on=on if choice.tried > 1 else TunedOn.NOTHING,
        seconds=last.choosing_seconds,
        at_end=choice.at_end,
    )
    return Model(
        ModelRole.BASELINE, 0, configuration, answers, tuning, baseline=first.baseline, settings=choice.settings
    )


def _of_trial(name: Baseline, wanted: Wanted, trial: Trial, division: Division) -> _Asked:
    key = _key(name, trial_key(trial, division.key))
    return _Asked(name, key, trial.seed, trial, f"{name} as {wanted.name}, seed {trial.seed}")


def _key(*decisive: object) -> str:
    return digest_json([_VERSION, version("scikit-learn"), *decisive])


def _kept(asked: Collection[_Asked], folder: Path) -> dict[str, baselines.Answer]:
    """Those answers that are kept whole, by their keys."""
    fetch_files([_path(each, folder) for each in asked])
    found = {}
    for each in asked:
        try:
            tensors, metadata = read_tensors(_path(each, folder), must=True)
            about = json.loads(metadata["answer"])
            choice = about.pop("choice")
            choice = Choice(choice["settings"], choice["tried"], tuple(choice["at_end"]))
            found[each.key] = baselines.Answer(tensors["probabilities"], choice, **about)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            pass  # not there, or damaged
    return found


def _trained(
    asked: Sequence[_Asked], division: Division, held_out: Positions
) -> Iterator[tuple[_Asked, baselines.Answer]]:
    """Train them, each on one core: in this process where that is little work, else in one process a core."""
    data = division.rows.data
    seconds = [_seconds(each, data) for each in asked]
    longest_first = sorted(range(len(asked)), key=lambda position: -seconds[position])
    ordered = [asked[position] for position in longest_first]
    workers = min(cores(), len(asked)) if sum(seconds) - max(seconds) > _WORTHWHILE else 1
    calls = (
        delayed(answer_on_one_core)(
            BASELINES[each.baseline], Question(data, data.X_validation, each.trial, each.seed, held_out)
        )
        for each in ordered
    )
    with parallel_config("loky" if workers > 1 else "sequential"):
        yield from zip(ordered, Parallel(n_jobs=workers, return_as="generator")(calls), strict=True)


def _seconds(asked: _Asked, data: TrialData) -> float:
    """About how long it takes."""
    rows, features = map(int, data.X_train.shape)
    if asked.trial is None:
        if BASELINES[asked.baseline].choose is None:
            return 0.0
        return _PASSES * rows * features * data.n_classes / _RATE
    steps = asked.trial.epochs * -(-rows // asked.trial.batch_size)
    return steps * _STEP_SECONDS + cost(asked.trial, rows, features, data.n_classes) / _RATE


def _path(asked: _Asked, folder: Path) -> Path:
    return folder / f"{asked.key}.safetensors"


def held_out_among(candidates: Division, finals: Division) -> TuningRows:
    """The rows that candidates were watched on, among those that finals train on."""
    starts, place = {}, 0
    for split, rows in finals.train:
        starts[split], place = place, place + len(rows)
    return TuningRows(np.concatenate([starts[split] + rows for split, rows in candidates.watched]), TunedOn.VALIDATION)


def held_out_of(division: Division, fraction: float) -> TuningRows:
    """About `fraction` of each class of the rows trained on, where the rows watched are those judged by."""
    dataset, groups, start = division.source.dataset, [], 0
    for split, rows in division.train:
        whole = dataset.splits[split].groups
        own = rows if whole is None else np.unique(whole, return_inverse=True)[1][rows]
        groups.append(start + own)
        start += len(dataset.splits[split])
    digests = np.concatenate([dataset.digests(split)[rows] for split, rows in division.train])
    held = hold_out_where_possible(division.y_train, fraction, HOLD_OUT_SEED, np.concatenate(groups), digests)
    return TuningRows(held, TunedOn.HELD_OUT)
