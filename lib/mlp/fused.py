"""Train any mix of trials over one dataset as few stacked programs, on CPU or GPU.

The caller passes trials and gets results in the same order. Trials that can share a program (`lib.mlp.program`) are
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
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import save as to_bytes

from lib.errors import ConfigError
from lib.files import digest_json, write_bytes
from lib.mlp.estimator import MLPClassifier, Record
from lib.mlp.initialisation import row_orders, streams
from lib.mlp.layout import Layout, arrange
from lib.mlp.network import EVALUATION_ROWS, Network
from lib.mlp.program import Kind, Program, kind_of
from lib.mlp.store import read_tensors
from lib.mlp.training import Ending, TrialData, TrialResult, estimator
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
    """When trials end before their epochs are over.

    Attributes
    ----------
    patience : int, optional
        Epochs without a lower validation loss after which a trial ends.
    rungs : tuple of Rung
        Successive halving by validation loss (Jamieson and Talwalkar 2016), over all trials of the call.
    """

    patience: int | None = None
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often the state of the whole call is kept, and once more when all trials have ended.

    The caller removes the file when it has kept the results.
    """

    path: Path
    every_epochs: int | None = None
    every_seconds: float | None = 60.0


@dataclass(frozen=True)
class Group:
    """Trials that run as one program: their positions in the caller's list, and what they take.

    `bytes` counts parameters, optimiser state, and the buffers of a step and of an evaluation.
    """

    trials: tuple[int, ...]
    depth: int
    batch_size: int
    kind: Kind
    parameters: int
    bytes: int


def plan(
    trials: Sequence[Trial], rows: int, features: int, classes: int, itemsize: int = 4, memory: int | None = None
) -> list[Group]:
    """How `trials` are grouped into programs over `rows` training rows; groups are split to fit `memory` bytes.

    Raises
    ------
    ConfigError
        When one trial alone does not fit.
    """
    alike: dict[tuple[int, int, Kind], list[int]] = {}
    for index, trial in enumerate(trials):
        alike.setdefault((len(trial.hidden), min(trial.batch_size, rows), kind_of(trial)), []).append(index)
    groups = []
    for (depth, batch, kind), members in alike.items():
        ordered = [members[position] for position in arrange([trials[index] for index in members])]
        parts: list[list[int]] = [[]]
        taken = 0
        for index in ordered:
            need = _bytes(trials[index], batch, features, classes, itemsize)
            if memory is not None and need > memory:
                raise ConfigError(
                    f"trial {trials[index].hidden} with batch_size {batch} needs {need / 1e6:,.0f} MB, "
                    f"more than the {memory / 1e6:,.0f} MB there are; make it narrower or its mini-batches smaller"
                )
            if memory is not None and taken + need > memory:
                parts.append([])
                taken = 0
            parts[-1].append(index)
            taken += need
        for part in parts:
            parameters = sum(_parameters(trials[index], features, classes) for index in part)
            size = sum(_bytes(trials[index], batch, features, classes, itemsize) for index in part)
            groups.append(Group(tuple(part), depth, batch, kind, parameters, size))
    return groups


_VECTORS: dict[Kind, int] = {"sgd": 1, "momentum": 6, "adam": 7}
"""Vectors of parameter length that each kind of optimiser keeps: parameters, gradients, state, rates, penalties."""


def _sizes(trial: Trial, features: int, classes: int) -> tuple[int, ...]:
    return (features, *trial.hidden, classes)


def _parameters(trial: Trial, features: int, classes: int) -> int:
    sizes = _sizes(trial, features, classes)
    return sum((below + 1) * above for below, above in pairwise(sizes))


def _bytes(trial: Trial, batch: int, features: int, classes: int, itemsize: int) -> int:
    vectors = _parameters(trial, features, classes) * _VECTORS[kind_of(trial)]
    buffers = (sum(trial.hidden) + classes) * (2 * batch + EVALUATION_ROWS)
    return itemsize * (vectors + buffers)


def train_many(
    trials: Sequence[Trial],
    data: TrialData,
    *,
    dtype: npt.DTypeLike = np.float32,
    device: str = "cpu",
    stopping: Stopping | None = None,
    checkpoint: Checkpoint | None = None,
    memory: int | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[TrialResult]:
    """Train all `trials` on `data`; results come in the order of `trials`.

    Parameters
    ----------
    data : TrialData
        With no validation rows, records hold training figures only.
    dtype : float32 or float64
    device : str
        As torch names it, e.g. "cpu" or "cuda:0".
    memory : int, optional
        Bytes that one program may take.

    Raises
    ------
    ConfigError
        When stopping needs validation rows and there are none, or a trial does not fit in `memory`.
    """
    stopping = stopping or Stopping()
    if stopping.patience is not None and stopping.patience < 1:
        raise ConfigError(f"patience must be at least 1 epoch, got {stopping.patience}")
    if (stopping.patience is not None or stopping.rungs) and not len(data.X_validation):
        raise ConfigError("early stopping and halving compare validation losses, but the data has no validation rows")
    sweep = _Sweep(trials, data, np.dtype(dtype), torch.device(device), stopping, memory)
    if checkpoint is not None:
        sweep.restore(checkpoint.path)
    saved_epoch, saved_at = sweep.epoch, time.monotonic()
    while sweep.running():
        sweep.run_epoch(on_epoch)
        if checkpoint is None:
            continue
        due_epoch = checkpoint.every_epochs is not None and sweep.epoch - saved_epoch >= checkpoint.every_epochs
        due_time = checkpoint.every_seconds is not None and time.monotonic() - saved_at >= checkpoint.every_seconds
        if due_epoch or due_time or not sweep.running():
            sweep.save(checkpoint.path)
            saved_epoch, saved_at = sweep.epoch, time.monotonic()
    return sweep.results()


@dataclass
class _State:
    """One trial's course: its history, and once it has ended, how and with which parameters."""

    history: list[Record] = field(default_factory=list)
    ended: Ending | None = None
    vectors: dict[str, npt.NDArray[np.floating]] = field(default_factory=dict)


class _Sweep:
    """The programs of one call, epoch by epoch in step with each other, so that rungs compare all trials."""

    def __init__(
        self,
        trials: Sequence[Trial],
        data: TrialData,
        dtype: np.dtype[Any],
        device: torch.device,
        stopping: Stopping,
        memory: int | None,
    ) -> None:
        self.trials = list(trials)
        self.dtype, self.device, self.stopping = dtype, device, stopping
        self.features, self.classes = data.X_train.shape[1], data.n_classes
        self.X, self.y = self._tensor(data.X_train), torch.from_numpy(data.y_train).to(device)
        self.X_validation = self._tensor(data.X_validation)
        self.y_validation = torch.from_numpy(data.y_validation).to(device)
        self.epoch = 0
        self.states = [_State() for _ in self.trials]
        groups = plan(self.trials, len(self.X), self.features, self.classes, dtype.itemsize, memory)
        self.groups = [list(group.trials) for group in groups]
        self.programs: list[Program | None] = [None] * len(groups)
        self.orders = {trial.seed: row_orders(len(self.X), streams(trial.seed)[1]) for trial in self.trials}

    def _tensor(self, rows: npt.NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(rows, self.dtype)).to(self.device)

    def running(self) -> bool:
        """Whether any trial has not ended."""
        return any(state.ended is None for state in self.states)

    def run_epoch(self, on_epoch: OnEpoch | None) -> None:
        """One epoch of every trial that has not ended; afterwards, those whose time has come end."""
        self.epoch += 1
        orders = {seed: next(order) for seed, order in self.orders.items()}
        for index, members in enumerate(self.groups):
            if not members:
                continue
            program = self.programs[index]
            if program is None:
                program = self.programs[index] = self._program(members)
            started = time.perf_counter()
            figures = self._train(program, orders)
            share = (time.perf_counter() - started) / len(members)
            for position, trial in enumerate(members):
                self._note(trial, {name: values[position] for name, values in figures.items()}, share)
                if on_epoch is not None:
                    on_epoch(trial, self.states[trial].history[-1])
        self._halve()
        for index, members in enumerate(self.groups):
            self._drop_ended(index, members)

    @torch.inference_mode()
    def _train(self, program: Program, orders: Mapping[int, npt.NDArray[np.int64]]) -> dict[str, list[float]]:
        """Figures of one epoch, a value a trial of the program. The one wait for the device is at the end."""
        layout = program.layout
        order = torch.from_numpy(np.stack([orders[band.key] for band in layout.seeds])).to(self.device)
        labels = self.y[order]
        batch = min(layout.trials[0].batch_size, len(self.X))
        losses, rights = [], []
        for start in range(0, len(self.X), batch):
            rows = order[:, start : start + batch]
            space = program.buffers(rows.shape[1])
            torch.index_select(self.X, 0, rows.reshape(-1), out=space.inputs.view(-1, self.features))
            loss, right = program.step(space, labels[:, start : start + batch])
            losses.append(loss)
            rights.append(right)
        loss_steps, right_steps = torch.stack(losses).cpu().numpy(), torch.stack(rights).cpu().numpy()
        # As the estimator, which stops at the first loss that is not finite: later mini-batches do not count.
        before = np.cumsum(~np.isfinite(loss_steps), axis=0) - ~np.isfinite(loss_steps) == 0
        with np.errstate(invalid="ignore"):
            figures = {
                "train_loss": np.where(before, loss_steps, 0).sum(0) / len(self.X),
                "train_accuracy": np.where(before, right_steps, 0).sum(0) / len(self.X),
            }
        if len(self.X_validation):
            loss, right = program.evaluate(self.X_validation, self.y_validation, EVALUATION_ROWS)
            figures |= {"validation_loss": loss.cpu().numpy(), "validation_accuracy": right.cpu().numpy()}
        figures["finite"] = program.finite().cpu().numpy()
        return {name: values.tolist() for name, values in figures.items()}

    def _note(self, trial: int, figures: dict[str, float], share: float) -> None:
        state = self.states[trial]
        finite = figures.pop("finite") and math.isfinite(figures["train_loss"])
        before = state.history[-1]["seconds"] if state.history else 0.0
        state.history.append({"epoch": self.epoch, **figures, "seconds": before + share})
        if not finite:
            state.ended = "diverged"
        elif self.epoch >= self.trials[trial].epochs:
            state.ended = "finished"
        elif self.stopping.patience is not None:
            losses = [_or_infinite(record["validation_loss"]) for record in state.history]
            if self.epoch - 1 - losses.index(min(losses)) >= self.stopping.patience:
                state.ended = "patience"

    def _halve(self) -> None:
        for rung in self.stopping.rungs:
            if rung.epoch != self.epoch:
                continue
            live = [index for index, state in enumerate(self.states) if state.ended is None]
            live.sort(key=lambda index: (_or_infinite(self.states[index].history[-1]["validation_loss"]), index))
            for index in live[math.ceil(rung.keep * len(live)) :]:
                self.states[index].ended = "halved"

    def _drop_ended(self, index: int, members: list[int]) -> None:
        """Take the parameters of ended trials out of a program, and shrink it to the others."""
        left = [trial for trial in members if self.states[trial].ended is None]
        if len(left) == len(members):
            return
        program = self.programs[index]
        assert program is not None
        for position, trial in enumerate(members):
            self.states[trial].vectors = program.export(position, state=trial in left)
        steps = program.steps
        self.groups[index] = left
        self.programs[index] = self._program(left, steps) if left else None

    def _program(self, members: Sequence[int], steps: int = 0) -> Program:
        layout = Layout([self.trials[index] for index in members], self.features, self.classes)
        program = Program(layout, torch.float64 if self.dtype.itemsize == 8 else torch.float32, self.device)
        program.steps = steps
        for position, trial in enumerate(members):
            state = self.states[trial]
            if not state.vectors:
                state.vectors = {"parameters": self._initial(self.trials[trial])}
            program.load(position, state.vectors)
            state.vectors = {}
        return program

    def _initial(self, trial: Trial) -> npt.NDArray[np.floating]:
        network = Network(_sizes(trial, self.features, self.classes), trial.activation, self.dtype)
        network.initialise(trial.init, streams(trial.seed)[0])
        return network.parameters

    def results(self) -> list[TrialResult]:
        """What came of each trial; all have ended."""
        return [self._result(trial, state) for trial, state in zip(self.trials, self.states, strict=True)]

    def _result(self, trial: Trial, state: _State) -> TrialResult:
        model: MLPClassifier = estimator(trial)
        network = Network(_sizes(trial, self.features, self.classes), trial.activation, self.dtype)
        network.parameters[:] = state.vectors["parameters"]
        model.adopt(network, np.arange(self.classes))
        model.history_ = state.history
        model.diverged_epoch_ = len(state.history) if state.ended == "diverged" else None
        assert state.ended is not None
        return TrialResult(trial, tuple(state.history), model.diverged_epoch_, model, state.ended)

    def _identity(self) -> str:
        """What a checkpoint belongs to: the same trials in the same order, on rows of the same shape."""
        trials = [trial.model_dump(mode="json") for trial in self.trials]
        return digest_json([trials, list(self.X.shape), len(self.X_validation), str(self.dtype), asdict(self.stopping)])

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        tensors: dict[str, npt.NDArray[np.floating]] = {}
        steps = []
        for members, program in zip(self.groups, self.programs, strict=True):
            steps.append(0 if program is None else program.steps)
            for position, trial in enumerate(members):
                assert program is not None
                tensors |= {f"{trial}.{name}": value for name, value in program.export(position, state=True).items()}
        for trial, state in enumerate(self.states):
            tensors |= {f"{trial}.{name}": value for name, value in state.vectors.items()}
        course = {
            "identity": self._identity(),
            "epoch": self.epoch,
            "steps": steps,
            "groups": self.groups,
            "ended": [state.ended for state in self.states],
            "history": [state.history for state in self.states],
        }
        write_bytes(path, to_bytes(tensors, {"course": json.dumps(course)}))

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
        self.epoch = course["epoch"]
        for trial, state in enumerate(self.states):
            state.ended, state.history = course["ended"][trial], course["history"][trial]
            prefix = f"{trial}."
            state.vectors = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
        self.groups = course["groups"]
        self.programs = [
            self._program(members, steps) if members else None
            for members, steps in zip(self.groups, course["steps"], strict=True)
        ]
        for order in self.orders.values():
            _skip(order, self.epoch)


def _or_infinite(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def _skip(order: Iterator[Any], epochs: int) -> None:
    for _ in range(epochs):
        next(order)
