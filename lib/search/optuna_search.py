"""Random and adaptive searches as Optuna studies, kept as Optuna journals in a folder.

A killed search goes on: stored rounds are given again as they were, and what is proposed next depends on the settings
and the stored rounds alone. Only a study that searches imports this module, and with it Optuna.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna import distributions
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages.journal import BaseJournalBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from lib.errors import DataError
from lib.files import digest_json, write_bytes
from lib.mlp.course import Course, objective
from lib.search.space import Dimension, Point
from lib.search.variant import SearchSettings

_ROUND = "round"


class OptunaSearch:
    """Configurations drawn or proposed by an Optuna sampler, never one twice.

    A finished configuration is told to Optuna with its objective. A halved one is told as pruned, with the objective at
    the epoch where it was halved, and a diverged one as pruned with none: TPE ranks these last, where a made-up figure
    would mislead it, and a failed trial, which it ignores, would be proposed again and again. Raises DataError when the
    journal cannot be read.

    `path`: the journal; it is read when it exists. Optuna's JournalFileBackend and its dashboard read it too.
    """

    def __init__(self, settings: SearchSettings, path: Path, name: str) -> None:
        # Optuna reports to standard error by a handler of its own; what it has to say below a warning is noise here.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings = settings
        self.dimensions: tuple[Dimension, ...] = settings.space.dimensions()
        self._distributions = {each.name: distribution(each) for each in self.dimensions}
        self._path = path
        self._round = 0
        try:
            self._journal = _Journal.read(path)
            self._storage = JournalStorage(self._journal)
            self._study = optuna.create_study(
                storage=self._storage, study_name=name, direction="minimize", load_if_exists=True
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"search journal {path} is damaged ({error!r}); delete it, and the search begins anew "
                "(trained trials are kept)"
            ) from None

    def ask(self) -> list[dict[str, Any]]:
        """The next round: a stored one as it was, else a new one, which is stored before it is given."""
        self._round += 1
        trials = self._members(self._round)
        asked = sum(_ROUND in trial.user_attrs for trial in self._study.get_trials(deepcopy=False))
        if not trials and asked < self.settings.configurations:
            left = self.settings.configurations - asked
            size = left if self.settings.sampler == "random" else min(left, self.settings.round_size)
            self._propose(size)
            trials = self._members(self._round)
        return [self.settings.space.settings(self._point(trial)) for trial in trials]

    def points(self) -> list[Point]:
        trials = self._study.get_trials(deepcopy=False)
        return [self._point(trial) for trial in trials if _ROUND in trial.user_attrs]

    def _point(self, trial: FrozenTrial | optuna.Trial) -> Point:
        return {each.name: each.short(trial.params[each.name]) for each in self.dimensions}

    def tell(self, results: Sequence[Sequence[Course]]) -> None:
        """Store what came of the round; a stored round keeps what it was told."""
        for trial, of_configuration in zip(self._members(self._round), results, strict=True):
            if trial.state.is_finished():
                continue
            value = objective(of_configuration)
            halved = of_configuration[0].ended == "halved"
            if halved and math.isfinite(value):
                self._storage.set_trial_intermediate_value(trial._trial_id, len(of_configuration[0].history), value)
            if halved or not math.isfinite(value):
                self._study.tell(trial.number, state=TrialState.PRUNED)
            else:
                self._study.tell(trial.number, value)
        self._journal.write(self._path)

    def _members(self, number: int) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.user_attrs.get(_ROUND) == number]

    def _propose(self, count: int) -> None:
        seen = {_identity(point) for point in self.points()}
        # Samplers keep no state on disk; one made anew for each round, by its number, makes a round repeatable.
        sampler, at_random = self._samplers(self._round)
        for _ in range(count):
            self._study.sampler = sampler
            trial = self._study.ask(self._distributions)
            while _identity(self._point(trial)) in seen:
                self._study.tell(trial, state=TrialState.FAIL)  # set aside: it would only repeat what is known
                self._study.sampler = at_random
                trial = self._study.ask(self._distributions)
            trial.set_user_attr(_ROUND, self._round)
            seen.add(_identity(self._point(trial)))
        self._journal.write(self._path)

    def _samplers(self, number: int) -> tuple[BaseSampler, BaseSampler]:
        """The sampler of a round, and the one that stands in where it would repeat itself."""
        seed = int(np.random.SeedSequence([self.settings.seed, number]).generate_state(1)[0])
        at_random = RandomSampler(seed=seed ^ 1)
        if self.settings.sampler == "random":
            return at_random, at_random
        return TPESampler(n_startup_trials=self.settings.startup, seed=seed), at_random


def _identity(point: Point) -> str:
    return digest_json(point)


def distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices:
        return distributions.CategoricalDistribution(dimension.choices)
    if dimension.whole:
        return distributions.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)


class _Journal(BaseJournalBackend):
    """Optuna's log of operations, one JSON object a line; held in memory and written whole, so that none is torn."""

    def __init__(self, logs: list[dict[str, Any]]) -> None:
        self._logs = logs

    @classmethod
    def read(cls, path: Path) -> _Journal:
        """The journal at `path`, or an empty one when there is none."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return cls([json.loads(line) for line in lines])

    def write(self, path: Path) -> None:
        write_bytes(path, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in self._logs).encode())

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += logs
