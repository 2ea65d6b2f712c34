"""What a sweep would do, and what a finished one has cost: told from settings and sizes, without reading a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib.errors import ConfigError
from lib.machine import cores
from lib.mlp.device import free_memory, program_memory, training_device
from lib.mlp.engine import backend_of, lanes_on
from lib.mlp.grouping import group_trials, n_parameters
from lib.mlp.store import trial_key
from lib.mlp.trial import Trial
from lib.search.variant import Variant
from lib.storage.copies import absent
from lib.studies.study import Ahead, Effort, Folder, Forecast
from lib.studies.sweep.compute import stopping_of
from lib.studies.sweep.result import SweepResult
from lib.studies.sweep.rows import candidates_key, held_out_by
from lib.studies.sweep.settings import SweepSettings
from lib.studies.sweep.training import stopped_key
from lib.studies.sweep.work import grid_trials

_MANY_ROWS = 2**31
"""Stands for rows that are not counted yet: no mini-batch is larger."""

_PER_PARAMETER = 6
"""Operations on one row and parameter: a product forward, one for the gradient, one for the deltas."""

_PER_STEP = 800_000
"""Operations that could be done in the time of a step's calls."""

_EPOCH_BYTES = 200
"""Of an epoch's record, in a trial's file."""


@dataclass(frozen=True)
class ProgramPlan:
    """One program: its trials train side by side. Parameters and bytes are None while the data's sizes are unknown."""

    trials: int
    depth: int
    batch_size: int
    optimiser: str
    parameters: int | None
    bytes: int | None


@dataclass(frozen=True)
class Sizes:
    """Rows that candidates train on and are watched on, values of a row, classes."""

    rows: int
    watched: int
    features: int
    classes: int

    @classmethod
    def of(cls, each: Ahead, settings: SweepSettings) -> Sizes | None:
        """Those of an input; None while its data is not on this machine."""
        dataset = each.dataset
        if dataset is None:
            return None
        features = each.features.width if each.features is not None else math.prod(dataset.require_pixel_shape())
        train = len(dataset.splits["train"])
        held_out = held_out_by(settings, "validation" in dataset.splits)[settings.seeds[0]]
        if held_out is None:
            watched = len(dataset.splits["validation"])
        else:
            watched = len(held_out.rows(dataset)[1])
            train -= watched
        return cls(train, watched, features, len(dataset.class_names))

    def operations(self, trial: Trial, epochs: float | None = None, rows: int | None = None) -> float:
        """Floating-point operations of a training, with what the calls of the steps cost."""
        rows = rows or self.rows
        batch = min(trial.batch_size, rows)
        step = _PER_PARAMETER * batch * n_parameters(trial, self.features, self.classes) + _PER_STEP
        return (epochs or trial.epochs) * math.ceil(rows / batch) * step


def forecast(settings: SweepSettings, inputs: Mapping[str, Ahead], folder: Folder | None) -> Forecast:
    main, device = inputs["on"], training_device()
    every, sizes = grid_trials(settings), Sizes.of(main, settings)
    if sizes is None:
        return Forecast(
            trials=len(every),
            stored=None,
            searched=_searched(settings),
            bytes=None,
            programs=programs(every, device, None),
            after=_after(settings),
        )
    missing, stored = every, None
    if not settings.rungs and folder is not None and main.digest is not None:
        missing = _missing(settings, main, every, folder)
        stored = len(every) - len(missing)
    tested = [Sizes.of(inputs[role], settings) for role in settings.roles] if settings.test else []
    return Forecast(
        trials=len(every),
        stored=stored,
        searched=_searched(settings),
        bytes=sum(_bytes(trial, sizes) for trial in missing),
        programs=programs(missing, device, sizes),
        amount=_amount(settings, missing, sizes, [each for each in tested if each is not None]),
        after=_after(settings),
    )


def require_memory(name: str, settings: SweepSettings, inputs: Mapping[str, Ahead]) -> None:
    """Refuse inputs whose rows, which lie in one array, are larger than the memory that is free.

    Raises ConfigError, naming the study, the input and the fix.
    """
    free = free_memory()
    for role in settings.roles:
        setting = f"studies.{name}.{role.partition('.')[0]}"
        each = inputs[role]
        if free is None or each.dataset is None:
            continue
        rows = sum(len(split) for of, split in each.dataset.splits.items() if settings.test or of != "test")
        width = each.features.width if each.features is not None else math.prod(each.dataset.require_pixel_shape())
        if (needed := 4 * rows * width) > free:
            raise ConfigError(
                f"{setting} names {each.name!r}, whose {rows:,} rows of {width:,} values take {needed / 1e9:,.1f} GB "
                f"of memory, and {free / 1e9:,.1f} GB are free: name a narrower layer, take fewer images, or use a larger "
                "machine"
            )


def programs(trials: Sequence[Trial], device: str, sizes: Sizes | None) -> list[ProgramPlan]:
    """The programs that trials form on `device`, over data of such sizes (None: not known yet)."""
    if not trials:
        return []
    if sizes is None:
        lanes = lanes_on(device, backend_of(device, 1), trials, _MANY_ROWS, 1, 1)
        groups = group_trials(trials, _MANY_ROWS, 1, 1, lanes=lanes)
    else:
        backend = backend_of(device, sizes.features)
        memory = program_memory(device, 4 * (sizes.rows + sizes.watched) * sizes.features)
        groups = group_trials(
            trials,
            sizes.rows,
            sizes.features,
            sizes.classes,
            memory=memory,
            lanes=lanes_on(device, backend, trials, sizes.rows, sizes.features, sizes.classes),
            watched=sizes.watched,
            backend=backend,
            device=device,
        )
    return [
        ProgramPlan(
            len(group.trials),
            group.depth,
            group.batch_size,
            group.kind,
            group.parameters if sizes else None,
            group.bytes if sizes else None,
        )
        for group in groups
    ]


def _missing(settings: SweepSettings, main: Ahead, every: Sequence[Trial], folder: Folder) -> list[Trial]:
    """Trials whose files are not there; they are looked for by name, and not read."""
    assert main.dataset is not None
    assert main.digest is not None
    standardise = settings.standardises(main.features is not None)
    keys = {
        seed: candidates_key(main.digest, standardise, held_out)
        for seed, held_out in held_out_by(settings, "validation" in main.dataset.splits).items()
    }
    stopping = stopping_of(settings)
    files = {
        folder.trials / f"{trial_key(trial, stopped_key([trial], keys[trial.seed], stopping))}.json": trial
        for trial in every
    }
    return [files[path] for path in absent(files)]


def _bytes(trial: Trial, sizes: Sizes) -> int:
    return 4 * n_parameters(trial, sizes.features, sizes.classes) + _EPOCH_BYTES * trial.epochs


def _amount(settings: SweepSettings, missing: Sequence[Trial], sizes: Sizes, tested: Sequence[Sizes]) -> float:
    """Operations of the missing trials, of what searches will about try, and of the trainings in the end."""
    seeds, first, others = len(settings.seeds), *_shares(settings)
    done = (first + others * (seeds - 1)) / seeds
    amount = done * sum(map(sizes.operations, missing))
    typical = []
    for variant in settings.variants.values():
        about = _typical(variant)
        one = float(np.mean([sizes.operations(trial) for trial in about]))
        typical.append((one, about))
        if variant.search is not None:
            amount += done * one * variant.search.configurations * seeds
    for place, each in enumerate(tested):
        rows = each.rows + each.watched
        about = [trial for _, trials in typical for trial in trials]
        one = float(np.mean([each.operations(trial, rows=rows) for trial in about]))
        amount += one * seeds * (winners_ahead(settings) if place == 0 else 1)
    return amount


def _searched(settings: SweepSettings) -> int:
    searches = [each.search for each in settings.variants.values() if each.search is not None]
    return sum(search.configurations for search in searches) * len(settings.seeds)


def _typical(variant: Variant) -> list[Trial]:
    """Trials that stand for a variant's: of a grid all, of a search those at the ends of its space."""
    points = variant.combinations() if variant.search is None else variant.search.space.corners()
    return [variant.trial(point, 0) for point in points]


def _shares(settings: SweepSettings) -> tuple[float, float]:
    """What part of its epochs a configuration trains in the mean, with its first seed and with the others."""
    epochs = max(variant.base.epochs for variant in settings.variants.values())
    left, begun, trained = 1.0, 0, 0.0
    for rung in settings.rungs:
        trained += left * (rung.epoch - begun)
        left, begun = left * rung.keep, rung.epoch
    return (trained + left * max(0, epochs - begun)) / epochs, left


def winners_ahead(settings: SweepSettings) -> int:
    """How many configurations will be trained again, as far as it is known: a ranged search has one winner."""
    axis = settings.axis
    if axis is None:
        return 1
    values = {
        getattr(variant.trial(point, 0), axis)
        for variant in settings.variants.values()
        if variant.search is None
        for point in variant.combinations()
    }
    return len(values) + sum(variant.search is not None for variant in settings.variants.values())


def _after(settings: SweepSettings) -> str:
    """What is not known ahead."""
    seeds, words = len(settings.seeds), []
    if settings.rungs:
        words.append("halving ends trials early, and trains the other seeds of those left only")
    if settings.test:
        count = "" if words or _searched(settings) else f" ({winners_ahead(settings) * seeds} trials)"
        what = "the winner" if settings.axis is None else f"the winner of each {settings.axis.replace('_', ' ')}"
        words.append(f"trains {what} again in the end{count}")
    if settings.also_on:
        words.append(f"trains the best one's settings on {', '.join(settings.also_on)}, too ({seeds} trials each)")
    if settings.baselines:
        words.append(f"trains baselines: {', '.join(settings.baselines)}")
    return "; ".join(words)


def effort(result: SweepResult) -> Effort:
    """What a finished sweep's trainings and baselines have cost."""
    main = result.representations[0].width
    sizes = Sizes(result.train_rows, result.validation_rows, main, len(result.classes))
    trials = [trial for each in result.configurations for trial in each.trials]
    amount = sum(sizes.operations(each.trial, epochs=len(each.history)) for each in trials)
    development = result.train_rows + result.validation_rows
    tested = [model for model in result.models if model.trials] if result.settings.test else []
    for model in tested:
        width = result.representations[model.representation].width
        of_model = Sizes(development, result.judged_rows, width, len(result.classes))
        amount += sum(of_model.operations(each.trial, epochs=len(each.history)) for each in model.trials)
    baselines = sum(
        model.tuning.seconds + sum(score.seconds for score in model.scores)
        for model in result.models
        if model.baseline is not None
    )
    lanes = min(cores(), len(trials) + sum(len(model.trials) for model in tested))
    return Effort(amount, result.training_seconds / lanes + baselines)
