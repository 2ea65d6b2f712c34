"""What a sweep would do, without doing it: what is stored, and the programs and chunks of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib.config import Places, SweepName, SweepStudy, Workers
from lib.datasets import Dataset, on_disk
from lib.mlp.engine import backend_of, lanes_on
from lib.mlp.grouping import group_trials
from lib.mlp.trial import Trial
from lib.studies.device import program_memory, training_device
from lib.studies.work import require_separable, sweep_work

_MANY_ROWS = 2**31


@dataclass(frozen=True)
class ProgramPlan:
    """One program: its trials train side by side. Parameters and bytes are None while the data's sizes are unknown.

    `chunk` is the part of the sweep it belongs to, such as "1 of 2"; `share` that part's share of the sweep's cost.
    """

    trials: int
    depth: int
    batch_size: int
    optimiser: str
    parameters: int | None
    bytes: int | None
    chunk: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class SweepPlan:
    """What one sweep would do.

    Attributes
    ----------
    data : str
        The dataset and its sizes, in words.
    trials : int
        Those of the arms with a grid; what a search tries is not known ahead.
    stored : int or None
        Trials whose results are there already; None when that is not known ahead, because the data is not here, or
        because trials are halved.
    device, memory : str, int or None
        Where it would train on this machine, and the bytes a program may take there.
    after : str
        What follows the trials, in words.
    shape : tuple of int, or None
        Training rows, features, classes; None while the data is not on this machine.
    missing : tuple of Trial
        Those of the arms with a grid that are to be trained, each once.
    """

    name: SweepName
    data: str
    sealed: bool
    trials: int
    stored: int | None
    programs: tuple[ProgramPlan, ...]
    device: str
    memory: int | None
    after: str = ""
    shape: tuple[int, int, int] | None = None
    missing: tuple[Trial, ...] = ()


def plan_sweep(name: SweepName, study: SweepStudy, where: Places, workers: Workers) -> SweepPlan:
    """The plan of sweep `name`; nothing is fetched, trained or asked of a server.

    Raises
    ------
    ConfigError
        When chunks are wanted of a study that cannot be cut, or a trial does not fit in memory.
    DataError
        When data on disk is not what it claims to be.
    """
    return plan_sweep_on(on_disk(study.data, where.data), name, study, where, workers)


def plan_sweep_on(
    dataset: Dataset | None, name: SweepName, study: SweepStudy, where: Places, workers: Workers
) -> SweepPlan:
    """`plan_sweep` on a dataset that is acquired already, or None while it is not on this machine."""
    if workers.pool is not None:
        require_separable(name, study)
    every = [trial for arm in study.arms.values() if arm.search is None for trial in arm.trials(study.seeds)]
    device = training_device()
    if dataset is None:
        words = f"{study.data.source}: not on this machine yet, sizes unknown"
        found = tuple(programs(list(dict.fromkeys(every)), device, None, None))
        return SweepPlan(name, words, False, len(every), None, found, device, program_memory(device), _after(study))
    work = sweep_work(name, study, dataset, where.studies)
    if work is None:
        words = f"{dataset.name}: {len(dataset.splits['train']):,} training rows"
        return SweepPlan(name, words, True, len(every), len(every), (), device, program_memory(device))
    rows, features, classes = work.shape
    memory = program_memory(device, work.data.X_train.nbytes + work.data.X_validation.nbytes)
    missing = set(work.missing())
    found = ()
    chunks = work.chunks(workers.chunks or 1)
    total = sum(chunk.cost for chunk in chunks)
    for chunk in chunks:
        trials = list(dict.fromkeys(work.trials[position] for position in chunk.trials if position in missing))
        label = f"{chunk.number} of {chunk.of}" if workers.chunks else None
        share = chunk.cost / total if workers.chunks else None
        found += tuple(programs(trials, device, work.shape, memory, label, share))
    words = f"{dataset.name}: {rows:,} training rows, {features:,} features, {classes} classes"
    stored = None if study.rungs else len(every) - len(missing)
    left = tuple(dict.fromkeys(work.trials[position] for position in sorted(missing)))
    return SweepPlan(name, words, False, len(every), stored, found, device, memory, _after(study), work.shape, left)


def programs(
    trials: Sequence[Trial],
    device: str,
    shape: tuple[int, int, int] | None,
    memory: int | None,
    chunk: str | None = None,
    share: float | None = None,
) -> list[ProgramPlan]:
    """The programs that trials form on `device` over data of so many rows, features and classes (None: not known yet)."""
    if not trials:
        return []
    memory = memory if shape else None
    groups = group_trials(
        trials, *(shape or (_MANY_ROWS, 1, 1)), memory=memory, lanes=lanes_on(device), backend=backend_of(device)
    )
    return [
        ProgramPlan(
            len(group.trials),
            group.depth,
            group.batch_size,
            group.kind,
            group.parameters if shape else None,
            group.bytes if shape else None,
            chunk,
            share,
        )
        for group in groups
    ]


def refitted_values(study: SweepStudy) -> set[Any]:
    """The values along the axis of arms with a grid, the winner of each of which is trained again with `refit`."""
    return {getattr(arm.trial(each, 0), study.axis) for arm in study.arms.values() for each in arm.combinations()}


def _after(study: SweepStudy) -> str:
    """What is not known ahead."""
    words = [
        f"arm {name!r} trains {arm.search.configurations} configurations with {len(study.seeds)} seed(s) each, "
        f"which its {arm.search.sampler} search chooses"
        for name, arm in study.arms.items()
        if arm.search is not None
    ]
    if study.rungs:
        words.append("halving ends trials early, and trains the other seeds of those left only")
    if study.refit:
        count = "" if words else f" ({len(refitted_values(study)) * len(study.seeds)} trials)"
        beside = ", and scikit-learn's network at the same settings" if study.compare_sklearn else ""
        words.append(f"trains the winner of each {study.axis.replace('_', ' ')} again in the end{count}{beside}")
    return "; ".join(words)
