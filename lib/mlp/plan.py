"""How the trials of a call are grouped into programs, and what each program takes.

Trials of one depth, batch size and kind of optimiser can share a program. On the CPU programs run side by side, one a
core, so the work is cut into parts that are balanced and, where each part still has enough to do, small enough for a
core's cache. On any device a part must fit the memory there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lib.errors import ConfigError
from lib.mlp.layout import arrange
from lib.mlp.network import EVALUATION_ROWS
from lib.mlp.program import STATE, Kind, kind_of
from lib.mlp.trial import Trial

_CACHE = 1 << 19
"""Bytes of parameters that a core keeps close: half of a usual second-level cache, the rest is for activations."""
WORTHWHILE = 1 << 25
"""Floating-point operations that a step must have for another core to help: below, handing over costs more."""
_CALLS = 800_000
"""What the calls of one more trial cost, in operations that could have been done meanwhile."""


@dataclass(frozen=True)
class Group:
    """Trials that run as one program: their positions in the caller's list, and what they take.

    `bytes` counts parameters, optimiser state, and the buffers of a step and of an evaluation; `operations` are those of
    one step's products.
    """

    trials: tuple[int, ...]
    depth: int
    batch_size: int
    kind: Kind
    parameters: int
    bytes: int
    operations: int


def plan(
    trials: Sequence[Trial],
    rows: int,
    features: int,
    classes: int,
    itemsize: int = 4,
    memory: int | None = None,
    lanes: int = 1,
) -> list[Group]:
    """How `trials` are grouped into programs over `rows` training rows.

    Parameters
    ----------
    itemsize : int
        Bytes of a parameter.
    memory : int, optional
        Bytes that all lanes may take at once.
    lanes : int
        Programs that run side by side, one on each core; 1 on a GPU.

    Raises
    ------
    ConfigError
        When one trial alone does not fit.
    """
    alike: dict[tuple[int, int, Kind], list[int]] = {}
    for index, trial in enumerate(trials):
        alike.setdefault((len(trial.hidden), min(trial.batch_size, rows), kind_of(trial)), []).append(index)

    def cost(index: int) -> int:
        batch = min(trials[index].batch_size, rows)
        return _CALLS + operations(trials[index], batch, features, classes)

    share = None if memory is None else memory // lanes
    whole = sum(map(cost, range(len(trials))))
    work = whole - _CALLS * len(trials)
    groups = []
    for (depth, batch, kind), members in alike.items():

        def group(part: Sequence[int], depth: int = depth, batch: int = batch, kind: Kind = kind) -> Group:
            return Group(
                tuple(part),
                depth,
                batch,
                kind,
                sum(_parameters(trials[index], features, classes) for index in part),
                sum(_bytes(trials[index], batch, features, classes, itemsize) for index in part),
                sum(operations(trials[index], batch, features, classes) for index in part),
            )

        ordered = [members[position] for position in arrange([trials[index] for index in members])]
        parts = 1
        if lanes > 1:
            alone = group(ordered)
            for_cache = min(-(-alone.parameters * itemsize // _CACHE), alone.operations // (2 * WORTHWHILE))
            large = work > lanes * WORTHWHILE and 10 * sum(map(cost, ordered)) > whole / lanes
            parts = max(for_cache, lanes if large else 1)
        for part in _balanced(ordered, cost, parts):
            groups += [group(fitting) for fitting in _fitting(part, lambda index: group([index]).bytes, share, trials)]
    return groups


def operations(trial: Trial, rows: int, features: int, classes: int) -> int:
    """Floating-point operations that training on `rows` rows once needs: the products forward, of the weights' gradients,
    and of the deltas of all layers but the first.
    """
    products = [below * above for below, above in pairwise(_sizes(trial, features, classes))]
    return 2 * rows * (3 * sum(products) - products[0])


def _balanced(ordered: Sequence[int], cost: Callable[[int], int], parts: int) -> list[list[int]]:
    """Cut neighbours into at most `parts` runs of about equal cost."""
    total, taken = sum(map(cost, ordered)), 0
    runs: dict[int, list[int]] = {}
    for index in ordered:
        runs.setdefault(int(parts * (taken + cost(index) / 2) / total), []).append(index)
        taken += cost(index)
    return list(runs.values())


def _fitting(
    part: Sequence[int], need: Callable[[int], int], memory: int | None, trials: Sequence[Trial]
) -> list[list[int]]:
    """Cut neighbours into runs that take at most `memory` bytes each."""
    if memory is None:
        return [list(part)]
    runs: list[list[int]] = [[]]
    taken = 0
    for index in part:
        if need(index) > memory:
            raise ConfigError(
                f"trial {trials[index].hidden} with batch_size {trials[index].batch_size} needs {need(index) / 1e6:,.0f} MB, "
                f"more than the {memory / 1e6:,.0f} MB there are; make it narrower or its mini-batches smaller"
            )
        if taken + need(index) > memory:
            runs.append([])
            taken = 0
        runs[-1].append(index)
        taken += need(index)
    return runs


def _sizes(trial: Trial, features: int, classes: int) -> tuple[int, ...]:
    return (features, *trial.hidden, classes)


def _parameters(trial: Trial, features: int, classes: int) -> int:
    return sum((below + 1) * above for below, above in pairwise(_sizes(trial, features, classes)))


def _bytes(trial: Trial, batch: int, features: int, classes: int, itemsize: int) -> int:
    kind = kind_of(trial)
    # Parameters, gradients, state, and a rate and a penalty or momentum for each.
    vectors = 1 if kind == "sgd" else 4 + len(STATE[kind])
    buffers = (sum(trial.hidden) + classes) * (3 * batch + EVALUATION_ROWS)
    return itemsize * (_parameters(trial, features, classes) * vectors + buffers)
