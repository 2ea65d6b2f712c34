"""What a sweep still has to train, and training a part of it: every result lands in the study's folder.

Machines that share that folder train parts of one sweep; `run_sweep` then finds all trials stored, and seals the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.config import SweepStudy
from lib.datasets import Dataset, require_no_leakage
from lib.errors import ConfigError, DataError
from lib.mlp.fused import Stopping
from lib.mlp.store import load_result, trial_key
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.studies.chunks import Chunk, cost, cut
from lib.studies.record import StudyFolder
from lib.studies.sweep import stopping_of, sweep_data, sweep_identity
from lib.studies.training import fetch_results, stopped_key, train_all


@dataclass(frozen=True)
class SweepWork:
    """A sweep that has no record yet: its folder, its trials, and the rows they train on.

    Attributes
    ----------
    trials : list of Trial
        Those of all arms with a grid in order; positions in this list name trials everywhere. What a search will try is
        not known ahead.
    data_key : str
        Names the rows; part of the key of each stored result.
    stopping : Stopping
        Part of that key too. With rungs it depends on all trials of a call, so nothing is known of single ones.
    """

    name: str
    folder: StudyFolder
    trials: list[Trial]
    data: TrialData
    data_key: str
    stopping: Stopping

    @property
    def shape(self) -> tuple[int, int, int]:
        """Training rows, features, classes."""
        rows, features = self.data.X_train.shape
        return rows, features, self.data.n_classes

    def missing(self, positions: Sequence[int] | None = None) -> list[int]:
        """Those of `positions` (default: all) whose trials have no whole result in the folder."""
        every = range(len(self.trials)) if positions is None else positions
        fetch_results(self.folder, {self._key(self.trials[position]) for position in every})
        stored = {
            trial: load_result(self.folder.trials, self._key(trial)) is not None
            for trial in {self.trials[position] for position in every}
        }
        return [position for position in every if not stored[self.trials[position]]]

    def results(self, positions: Sequence[int]) -> list[Path]:
        """The file of each trial that is there once its result is whole."""
        return [self.folder.trials / f"{self._key(self.trials[each])}.json" for each in positions]

    def _key(self, trial: Trial) -> str:
        return trial_key(trial, stopped_key([trial], self.data_key, self.stopping))

    def chunks(self, count: int) -> list[Chunk]:
        """All trials in at most `count` balanced parts, whether stored or not.

        Stored ones count too, so that a sweep that goes on after a crash has the same parts, and finds their checkpoints.
        """
        places: dict[Trial, int] = {}  # each trial once, though two arms may name it
        for position, trial in enumerate(self.trials):
            places.setdefault(trial, position)
        trials, first = list(places), list(places.values())
        costs = [cost(trial, *self.shape) for trial in trials]
        parts = cut(trials, costs, count)
        return [
            Chunk(number, len(parts), tuple(first[index] for index in part), sum(costs[index] for index in part))
            for number, part in enumerate(parts, 1)
        ]


def sweep_work(name: str, study: SweepStudy, dataset: Dataset, root: Path) -> SweepWork | None:
    """The work of sweep `name`; None when its record is there already.

    Raises
    ------
    LeakageError
        When a test image is a training image.
    """
    folder = StudyFolder.of(root, sweep_identity(name, study, dataset))
    if folder.finished():
        return None
    require_no_leakage(dataset)
    data, data_key = sweep_data(dataset, study)
    trials = [trial for arm in study.arms.values() if arm.search is None for trial in arm.trials(study.seeds)]
    return SweepWork(name, folder, trials, data, data_key, stopping_of(study))


def require_separable(name: str, study: SweepStudy) -> None:
    """Refuse a sweep in which what is trained depends on how other trials went: no part of it is trained by itself.

    Raises
    ------
    ConfigError
        When the study halves its trials at rungs, or an arm searches.
    """
    searching = [arm for arm, settings in study.arms.items() if settings.search is not None]
    if study.rungs:
        why = f"{name}.rungs ends trials by comparing them while they train"
    elif searching:
        why = f"arm {searching[0]!r} searches, round after round"
    else:
        return
    raise ConfigError(f"{name} cannot be cut into chunks for a pool: {why}; run it without --pool (PROBEFLOW_POOL)")


def train_chunk(
    name: str, study: SweepStudy, dataset: Dataset, root: Path, positions: Sequence[int], key: str
) -> dict[str, int]:
    """Train those of `positions` that are not stored; returns how many were stored before, and how many trained.

    Parameters
    ----------
    key : str
        The study's key where the chunk was cut; the same settings and data give the same key here.

    Raises
    ------
    ConfigError
        When the sweep cannot be cut, or has no such position.
    DataError
        When the data or the version of probeflow is another here.
    """
    require_separable(name, study)
    here = StudyFolder.of(root, sweep_identity(name, study, dataset)).key
    if here != key:
        raise DataError(
            f"{name} has key {here[:16]} on this worker and {key[:16]} where the sweep was started: "
            "their data or their versions of probeflow differ; give both the same"
        )
    work = sweep_work(name, study, dataset, root)
    if work is None:
        return {"stored": len(positions), "trained": 0}
    if wrong := [position for position in positions if not 0 <= position < len(work.trials)]:
        raise ConfigError(f"{name} has trials 0 to {len(work.trials) - 1}; there is no trial {wrong[0]}")
    missing = work.missing(positions)
    trials = [work.trials[each] for each in positions]
    train_all(trials, work.data, work.data_key, work.folder, f"{name} chunk", work.stopping)
    return {"stored": len(positions) - len(missing), "trained": len(missing)}
