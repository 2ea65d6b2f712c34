"""Train any mix of trials over one dataset as few stacked programs, on CPU or GPU.

The caller passes trials and gets results in the same order. Trials that can share a program (`lib.mlp.stacked`) are
grouped; every trial keeps the initial weights and the row order that the NumPy estimator draws for its seed, so its
result is the same, to rounding, as when it is trained alone by `lib.mlp.training.train`, whichever trials run beside it.
A diverged trial agrees in its epoch and in all before; what its broken weights predict after that is not defined.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from lib.errors import ConfigError
from lib.files import digest_arrays, digest_json
from lib.mlp.course import Ending
from lib.mlp.engine import Engine, backend_of, lanes_on, make_engine
from lib.mlp.estimator import MLPClassifier, Record
from lib.mlp.grouping import Group, cost, group_trials, n_parameters
from lib.mlp.initialisation import row_orders, streams
from lib.mlp.layout import Layout
from lib.mlp.network import Network
from lib.mlp.stacked import STATE, Backend, StackedProgram, kind_of
from lib.mlp.store import ENGINE, write_vectors
from lib.mlp.tensor_files import read_tensors
from lib.mlp.training import TrialData, TrialResult, estimator
from lib.mlp.trial import Trial

OnEpoch = Callable[[int, Record], None]
"""Called with a trial's position and its record after each of its epochs."""


@dataclass(frozen=True)
class Rung:
    """Successive halving: after `epoch`, only the best `keep` of the trials still running go on."""

    epoch: int
    keep: float


@dataclass(frozen=True)
class Stopping:
    """When trials end before their epochs are over."""

    patience: int | None = None
    """Epochs without a lower validation loss after which a trial ends."""
    rungs: tuple[Rung, ...] = ()
    """Successive halving by validation loss (Jamieson and Talwalkar 2016), over all trials of the call."""


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often the state of the whole call is kept, and once more when all trials have ended.

    The caller removes the file when it has kept the results.
    """

    path: Path
    every_epochs: int | None = None
    every_seconds: float | None = 60.0


def train_many(
    trials: Sequence[Trial],
    data: TrialData,
    *,
    dtype: npt.DTypeLike = np.float32,
    device: str = "cpu",
    backend: Backend | None = None,
    stopping: Stopping | None = None,
    checkpoint: Checkpoint | None = None,
    memory: int | None = None,
    lanes: int | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[TrialResult]:
    """Train all `trials` on `data`; results come in the order of `trials`.

    Raises ConfigError when stopping needs validation rows and there are none, or a trial does not fit in `memory`.

    Parameters
    ----------
    data : TrialData
        With no validation rows, records hold training figures only.
    dtype : float32 or float64
    device : str
        As torch names it, e.g. "cpu" or "cuda:0".
    backend : {"numpy", "torch"}, optional
        What computes; unless said otherwise NumPy on the CPU, but torch on wide rows and on a GPU.
    memory : int, optional
        Bytes that the programs may take together; those that do not fit take turns, and wait in the machine's memory
        as parameters and optimiser state alone. A call that goes on from a checkpoint keeps the programs of that.
    lanes : int, optional
        Cores that programs run on side by side, one on each; on the CPU all cores, unless said otherwise.
    """
    stopping = stopping or Stopping()
    if stopping.patience is not None and stopping.patience < 1:
        raise ConfigError(f"patience must be at least 1 epoch, got {stopping.patience}")
    if (stopping.patience is not None or stopping.rungs) and not len(data.X_validation):
        raise ConfigError("early stopping and halving compare validation losses, but the data has no validation rows")
    if not trials:
        return []
    (rows, features), itemsize = data.X_train.shape, np.dtype(dtype).itemsize
    computed_by = backend_of(device, features, backend)
    lanes = lanes or lanes_on(device, computed_by, trials, rows, features, data.n_classes)
    groups = group_trials(
        trials, rows, features, data.n_classes, itemsize, memory, lanes, len(data.X_validation), computed_by, device
    )
    with make_engine(device, computed_by, memory, lanes, groups, data, np.dtype(dtype)) as engine:
        training = _FusedTraining(trials, data, np.dtype(dtype), engine, stopping, groups)
        if checkpoint is not None:
            training.restore(checkpoint.path)
        saved_epoch, saved_at = training.epoch, time.monotonic()
        while training.running():
            training.run_epoch(on_epoch)
            if checkpoint is None:
                continue
            due_epoch = checkpoint.every_epochs is not None and training.epoch - saved_epoch >= checkpoint.every_epochs
            due_time = checkpoint.every_seconds is not None and time.monotonic() - saved_at >= checkpoint.every_seconds
            if due_epoch or due_time or not training.running():
                training.save(checkpoint.path)
                saved_epoch, saved_at = training.epoch, time.monotonic()
        return training.results()


@dataclass
class _State:
    """One trial's course: its history, and once it has ended, how and with which parameters."""

    history: list[Record] = field(default_factory=list)
    ended: Ending | None = None
    vectors: dict[str, npt.NDArray[np.floating]] = field(default_factory=dict)
    best_loss: float = math.inf
    best_epoch: int = 1

    def add(self, record: Record) -> None:
        self.history.append(record)
        loss = _or_infinite(record.get("validation_loss", math.inf))
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, len(self.history)


class _FusedTraining:
    """The programs of one call, epoch by epoch in step with each other, so that rungs compare all trials."""

    def __init__(
        self,
        trials: Sequence[Trial],
        data: TrialData,
        dtype: np.dtype[Any],
        engine: Engine,
        stopping: Stopping,
        groups: Sequence[Group],
    ) -> None:
        self.trials = list(trials)
        self.dtype, self.engine, self.stopping = dtype, engine, stopping
        self.features, self.classes = data.X_train.shape[1], data.n_classes
        self.epoch = 0
        self.states = [_State() for _ in self.trials]
        self.groups = [list(group.trials) for group in groups]
        self.programs: list[StackedProgram | None] = [None] * len(groups)
        self.steps = [0] * len(groups)
        seeds = dict.fromkeys(trial.seed for trial in self.trials)
        self.orders = {seed: row_orders(len(data.X_train), streams(seed)[1]) for seed in seeds}
        # Programs that do not fit into memory together take turns; their parameters then wait in `states`.
        self.take_turns = engine.memory is not None and sum(group.bytes for group in groups) > engine.memory
        self.data = data
        self.lanes = self._spread()

    def _spread(self) -> list[int]:
        """The lane of each program."""
        batches = [min(trial.batch_size, len(self.data.X_train)) for trial in self.trials]
        return self.engine.spread(
            [
                sum(cost(self.trials[each], batches[each], self.features, self.classes) for each in members)
                for members in self.groups
            ]
        )

    def running(self) -> bool:
        return any(state.ended is None for state in self.states)

    def run_epoch(self, on_epoch: OnEpoch | None) -> None:
        """One epoch of every trial that has not ended; afterwards, those whose time has come end."""
        self.epoch += 1
        orders = {seed: next(order) for seed, order in self.orders.items()}
        live = [index for index, members in enumerate(self.groups) if members]
        for index, (figures, seconds) in zip(
            live, self.engine.side_by_side(lambda index: self._train(index, orders), live, self.lanes), strict=True
        ):
            for position, trial in enumerate(self.groups[index]):
                of_trial = {name: values[position] for name, values in figures.items()}
                self._note(trial, of_trial, seconds / len(self.groups[index]))
                if on_epoch is not None:
                    on_epoch(trial, self.states[trial].history[-1])
        self._halve()
        ending = [index for index in live if any(self.states[trial].ended for trial in self.groups[index])]
        list(self.engine.side_by_side(self._drop_ended, ending, self.lanes))

    def _train(self, index: int, orders: Mapping[int, npt.NDArray[np.int64]]) -> tuple[dict[str, list[float]], float]:
        """One epoch of a program: its figures and the seconds it took."""
        program = self.programs[index]
        if program is None:
            program = self.programs[index] = self._program(index)
        started = time.perf_counter()
        figures = program.run_epoch(orders)
        seconds = time.perf_counter() - started
        if self.take_turns:
            self._put_away(index)
        return figures, seconds

    def _put_away(self, index: int) -> None:
        """Keep a program's parameters and state in `states`, and free what it takes."""
        program = self.programs[index]
        if program is None:
            return
        members = list(enumerate(self.groups[index]))
        for running in (True, False):
            which = [each for each in members if (self.states[each[1]].ended is None) is running]
            exported = program.export([position for position, _ in which], state=running)
            for (_, trial), vectors in zip(which, exported, strict=True):
                self.states[trial].vectors = vectors
        self.steps[index] = program.steps
        self.programs[index] = None
        program.close()

    def _note(self, trial: int, figures: dict[str, float], share: float) -> None:
        state = self.states[trial]
        finite = figures.pop("finite") and math.isfinite(figures["train_loss"])
        before = state.history[-1]["seconds"] if state.history else 0.0
        state.add({"epoch": self.epoch, **figures, "seconds": before + share})
        if not finite:
            state.ended = "diverged"
        elif self.epoch >= self.trials[trial].epochs:
            state.ended = "finished"
        elif self.stopping.patience is not None and self.epoch - state.best_epoch >= self.stopping.patience:
            state.ended = "patience"

    def _halve(self) -> None:
        for rung in self.stopping.rungs:
            if rung.epoch != self.epoch:
                continue
            live = [index for index, state in enumerate(self.states) if state.ended is None]
            live.sort(key=lambda index: (_or_infinite(self.states[index].history[-1]["validation_loss"]), index))
            kept = math.ceil(rung.keep * len(live) - 1e-9)  # 0.07 of 100 is 7, whatever floats make of it
            for index in live[kept:]:
                self.states[index].ended = "halved"

    def _drop_ended(self, index: int) -> None:
        """Shrink a program to the trials that have not ended."""
        left = [trial for trial in self.groups[index] if self.states[trial].ended is None]
        if len(left) == len(self.groups[index]):
            return
        self._put_away(index)
        for trial in self.groups[index]:
            if trial not in left:  # it was put away before it had ended, when programs take turns
                self.states[trial].vectors = {"parameters": self.states[trial].vectors["parameters"]}
        self.groups[index] = left

    def _program(self, index: int) -> StackedProgram:
        members = self.groups[index]
        layout = Layout([self.trials[each] for each in members], self.features, self.classes)
        program = self.engine.program(layout, self.lanes[index])
        program.steps = self.steps[index]
        program.draw([position for position, trial in enumerate(members) if not self.states[trial].vectors])
        for position, trial in enumerate(members):
            state = self.states[trial]
            if state.vectors:
                program.load(position, state.vectors)
                state.vectors = {}
        return program

    def results(self) -> list[TrialResult]:
        """What came of each trial; all have ended. Their parameters move to the results."""
        return [self._result(trial, state) for trial, state in zip(self.trials, self.states, strict=True)]

    def _result(self, trial: Trial, state: _State) -> TrialResult:
        model: MLPClassifier = estimator(trial)
        network = Network((self.features, *trial.hidden, self.classes), trial.activation, self.dtype)
        network.parameters[:] = state.vectors.pop("parameters")
        model.adopt(network, np.arange(self.classes))
        model.history_ = state.history
        model.diverged_epoch_ = len(state.history) if state.ended == "diverged" else None
        assert state.ended is not None
        return TrialResult(trial, tuple(state.history), model.diverged_epoch_, model, state.ended)

    def _identity(self) -> str:
        """What a checkpoint belongs to: the same trials in the same order, on the same rows, by the same arithmetic."""
        trials = [trial.model_dump(mode="json") for trial in self.trials]
        return digest_json([ENGINE, trials, self._rows_digest, self.classes, str(self.dtype), asdict(self.stopping)])

    @cached_property
    def _rows_digest(self) -> str:
        data = self.data
        return digest_arrays(data.X_train, data.y_train, data.X_validation, data.y_validation)

    def save(self, path: Path) -> None:
        for index, program in enumerate(self.programs):
            if program is not None:
                self.steps[index] = program.steps
        course = {
            "identity": self._identity(),
            "epoch": self.epoch,
            "steps": self.steps,
            "groups": self.groups,
            "ended": [state.ended for state in self.states],
            "history": [state.history for state in self.states],
        }
        write_vectors(path, self._sizes(), self._vectors(), self.dtype, {"course": json.dumps(course)})

    def _sizes(self) -> dict[str, int]:
        """Length of each vector of a checkpoint by name, in the order of `_vectors`."""
        names = {trial: tuple(state.vectors) for trial, state in enumerate(self.states)}
        for members, program in zip(self.groups, self.programs, strict=True):
            for trial in members if program is not None else ():
                names[trial] = ("parameters", *STATE[kind_of(self.trials[trial])])
        sizes = [n_parameters(trial, self.features, self.classes) for trial in self.trials]
        return {f"{trial}.{name}": sizes[trial] for trial in names for name in names[trial]}

    def _vectors(self) -> Iterator[npt.NDArray[np.floating]]:
        """Parameters and optimiser state of all trials, one trial at a time in memory."""
        running = {
            trial: (program, position)
            for members, program in zip(self.groups, self.programs, strict=True)
            for position, trial in enumerate(members)
            if program is not None
        }
        for trial, state in enumerate(self.states):
            program, position = running.get(trial, (None, 0))
            yield from (program.export([position], state=True)[0] if program is not None else state.vectors).values()

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint of the same call, if there is one; one of another call, or a damaged one, is ignored."""
        if not path.exists():
            return
        try:
            tensors, metadata = read_tensors(path)
            course = json.loads(metadata["course"])
        except (OSError, SafetensorError, KeyError, ValueError):
            return
        if course["identity"] != self._identity():
            return
        self.epoch, self.steps, self.groups = course["epoch"], course["steps"], course["groups"]
        self.programs = [None] * len(self.groups)
        self.lanes = self._spread()
        for trial, state in enumerate(self.states):
            state.ended = course["ended"][trial]
            for record in course["history"][trial]:
                state.add(record)
            prefix = f"{trial}."
            state.vectors = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
        for order in self.orders.values():
            for _ in range(self.epoch):
                next(order)


def _or_infinite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf
