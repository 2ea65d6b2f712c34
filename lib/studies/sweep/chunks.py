"""Cut a sweep's trials into parts of about equal cost, each of which one machine trains by itself.

Trials that share a program train faster side by side, so a part keeps like trials together as far as balance allows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from lib.mlp.grouping import operations
from lib.mlp.stacked import kind_of
from lib.mlp.trial import Trial

SLACK = 1.05
"""How much longer than the ideal the longest part may be for the sake of keeping like trials together."""


def cost(trial: Trial, rows: int, features: int, classes: int) -> int:
    return trial.epochs * operations(trial, rows, features, classes)


def cut(trials: Sequence[Trial], costs: Sequence[int], count: int) -> list[list[int]]:
    """Deal the positions of `trials` into at most `count` parts, none of them empty; the same input gives the same parts.

    Whole programs are dealt if that balances within `SLACK` of the ideal (the mean, or the largest trial), else
    configurations with all their seeds, else single trials, each time the longest first to the emptiest part that can
    take it, preferably one that holds its like. When nothing balances so well, likeness is left out of account, and
    the longest part is at most 4/3 of the best possible (Graham 1969).
    """
    if not trials:
        return []
    ideal = max(sum(costs) / count, max(costs))
    units: list[list[list[int]]] = [
        _alike([_program(trial) for trial in trials]),
        _alike([trial.model_copy(update={"seed": 0}) for trial in trials]),
        [[index] for index in range(len(trials))],
    ]
    for grain in units:
        parts = _deal(grain, trials, costs, count, SLACK * ideal)
        if max(sum(costs[index] for index in part) for part in parts) <= SLACK * ideal:
            return parts
    return _deal(units[-1], trials, costs, count, 0)


def _program(trial: Trial) -> Hashable:
    """Trials of one program agree in this."""
    return len(trial.hidden), trial.batch_size, kind_of(trial), trial.dropout > 0


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _deal(
    units: Sequence[list[int]], trials: Sequence[Trial], costs: Sequence[int], count: int, limit: float
) -> list[list[int]]:
    """Units go the longest first to the emptiest part, or to the emptiest that holds their like and stays in `limit`."""
    parts: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    programs: list[set[Hashable]] = [set() for _ in range(count)]
    weights = [sum(costs[index] for index in unit) for unit in units]
    for position in sorted(range(len(units)), key=lambda position: (-weights[position], position)):
        program = _program(trials[units[position][0]])
        like = [part for part in range(count) if program in programs[part] and loads[part] + weights[position] <= limit]
        part = min(like or range(count), key=lambda part: (loads[part], part))
        parts[part] += units[position]
        loads[part] += weights[position]
        programs[part].add(program)
    return [sorted(part) for part in parts if part]
