"""What a sweep still has to train, and training a part of it: each result lies by itself where all machines find it.

Machines that share the folder of studies train parts of one sweep; `compute` then finds all trials stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.errors import ConfigError
from lib.mlp.fused import Stopping
from lib.mlp.store import trial_key
from lib.mlp.trial import Trial
from lib.storage.copies import fetch_files
from lib.studies.record import is_finished
from lib.studies.study import Folder, Piece, Study
from lib.studies.sweep.chunks import cost, cut
from lib.studies.sweep.compute import stopping_of
from lib.studies.sweep.rows import Candidates, sources_of
from lib.studies.sweep.settings import SweepSettings
from lib.studies.sweep.training import result_files, stopped_key, stored_result, train_each


def separable(settings: SweepSettings) -> bool:
    """Whether trials are known ahead and none depends on how others go: no halving, no search."""
    return not settings.rungs and all(variant.search is None for variant in settings.variants.values())


def grid_trials(settings: SweepSettings) -> list[Trial]:
    """The trials of variants with a grid in order, each once, though two variants may have it."""
    every = (
        trial
        for variant in settings.variants.values()
        if variant.search is None
        for trial in variant.trials(settings.seeds)
    )
    return list(dict.fromkeys(every))


@dataclass(frozen=True)
class SweepWork:
    """A sweep that has no record yet and can be cut; see `Work`."""

    name: str
    folder: Folder
    trials: list[Trial]
    """Positions in this list name trials everywhere."""
    candidates: Candidates
    """The rows they train on; read only by who trains."""
    stopping: Stopping

    @property
    def key(self) -> str:
        return self.folder.key

    def missing(self, positions: Sequence[int] | None = None) -> list[int]:
        every = range(len(self.trials)) if positions is None else positions
        fetch_files(result_files(self.folder, [self._key(position) for position in every]))
        return [position for position in every if stored_result(self.folder, self._key(position)) is None]

    def pieces(self, count: int, least_images: int = 1) -> list[Piece]:
        """All trials in at most `count` parts of balanced cost, whether stored or not.

        Stored ones count too, so that a sweep that goes on after a crash has the same parts, and finds their checkpoints.
        """
        costs = [cost(trial, *self.candidates.first.shape) for trial in self.trials]
        parts = cut(self.trials, costs, count)
        return [
            Piece(number, len(parts), tuple(part), sum(costs[position] for position in part))
            for number, part in enumerate(parts, start=1)
        ]

    def results(self, positions: Sequence[int]) -> list[Path]:
        return [self.folder.trials / f"{self._key(position)}.json" for position in positions]

    def do(self, positions: Sequence[int]) -> int:
        """Train those of `positions` that are missing; returns how many these were.

        Raises ConfigError when there is no such position.
        """
        if wrong := [each for each in positions if not 0 <= each < len(self.trials)]:
            raise ConfigError(f"{self.name} has trials 0 to {len(self.trials) - 1}; there is no trial {wrong[0]}")
        missing = self.missing(positions)
        wanted = [self.trials[each] for each in positions]
        train_each(wanted, self.candidates, self.folder, f"{self.name} piece", self.stopping)
        return len(missing)

    def _key(self, position: int) -> str:
        trial = self.trials[position]
        return trial_key(trial, stopped_key([trial], self.candidates.of_seed[trial.seed].key, self.stopping))


def sweep_work(study: Study[SweepSettings]) -> SweepWork | None:
    """The work of a sweep; None when it cannot be cut, or its record is there."""
    if not separable(study.settings) or is_finished(study.folder.path):
        return None
    candidates = sources_of(study)[0].candidates(study.settings)
    return SweepWork(study.name, study.folder, grid_trials(study.settings), candidates, stopping_of(study.settings))
