"""Which trials of a call share a program, and what each program takes.

Trials of one depth, batch size and kind of optimiser can share a program, those with dropout one of their own, so that
others have no masks to multiply with. On the CPU programs run side by side, one a
core, so the work is cut into parts that are balanced and, where each part still has enough to do, small enough for a
core's cache. On any device a part must fit the memory there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lib.errors import ConfigError
from lib.mlp.layout import FEW, arrange, padded
from lib.mlp.network import EVALUATION_ROWS
from lib.mlp.schedules import is_scheduled
from lib.mlp.stacked import STATE, Backend, Kind, kind_of
from lib.mlp.trial import Trial

_CACHE = 1 << 19
"""Bytes of parameters that a core keeps close: half of a usual second-level cache, the rest is for activations."""
WORTHWHILE = 1 << 25
"""Floating-point operations that a step must have for another core to help: below, handing over costs more."""
_APART: dict[Backend, int] = {"numpy": 1 << 22, "torch": WORTHWHILE}
"""Those of a lane's step from which trials are better cut in two: the calls of NumPy's own step are then less than half of it
(its lanes are processes, which hand over an epoch), and a thread of torch's is not held up more than it computes."""
WIDE = 4096
"""Features from which torch computes on the CPU, too. Products are then long enough that a call's cost does not count,
and what does is how often weights go through memory: torch adds a gradient to weights within its product, and has Adam's
step in one pass, where NumPy makes two and twelve.
"""
_CALLS = 300_000
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


def group_trials(
    trials: Sequence[Trial],
    rows: int,
    features: int,
    classes: int,
    itemsize: int = 4,
    memory: int | None = None,
    lanes: int = 1,
    watched: int = EVALUATION_ROWS,
    backend: Backend = "numpy",
    device: str = "cpu",
) -> list[Group]:
    """How `trials` are grouped into programs over `rows` training rows.

    Raises ConfigError when one trial alone does not fit.

    Parameters
    ----------
    itemsize : int
        Bytes of a parameter.
    memory : int, optional
        Bytes that all lanes may take at once.
    lanes : int
        Programs that run side by side, one on each core; 1 on a GPU.
    watched : int
        Validation rows.
    backend : {"numpy", "torch"}
        What computes, on `device`.
    """
    alike: dict[tuple[int, int, Kind, bool], list[int]] = {}
    for index, trial in enumerate(trials):
        key = (len(trial.hidden), min(trial.batch_size, rows), kind_of(trial), trial.dropout > 0)
        alike.setdefault(key, []).append(index)

    def of_trial(index: int) -> int:
        return cost(trials[index], min(trials[index].batch_size, rows), features, classes)

    whole = sum(map(of_trial, range(len(trials))))
    work = whole - _CALLS * len(trials)
    groups = []
    for (depth, batch, kind, _), members in alike.items():
        gathers = len({trials[index].hidden for index in members}) > FEW
        need = _Need(rows, features, classes, itemsize, watched, batch, gathers, backend, device)

        def group(part: Sequence[int], depth: int = depth, kind: Kind = kind, need: _Need = need) -> Group:
            of_part = [trials[index] for index in part]
            return Group(
                tuple(part),
                depth,
                need.batch,
                kind,
                sum(need.parameters(trial) for trial in of_part),
                need.bytes(of_part),
                sum(operations(trial, need.batch, features, classes) for trial in of_part),
            )

        ordered = [members[position] for position in arrange([trials[index] for index in members])]
        parts = 1
        if lanes > 1:
            alone = group(ordered)
            for_cache = min(-(-alone.parameters * itemsize // _CACHE), alone.operations // (2 * WORTHWHILE))
            if backend == "torch":  # whose trials are too wide for any cache
                for_cache = 1
            large = work > lanes * _APART[backend] and 10 * sum(map(of_trial, ordered)) > whole / lanes
            parts = max(for_cache, lanes if large else 1)
        for part in _balanced(ordered, of_trial, parts):
            groups += [group(fitting) for fitting in _fitting(part, need, trials, memory and memory // lanes)]
    return groups


@dataclass(frozen=True)
class _Need:
    """What programs over one dataset with mini-batches of `batch` rows take.

    `gathers` says that later layers are gathered and padded, as they are when there are many shapes.
    """

    rows: int
    features: int
    classes: int
    itemsize: int
    watched: int
    batch: int
    gathers: bool
    backend: Backend
    device: str

    def parameters(self, trial: Trial) -> int:
        return n_parameters(trial, self.features, self.classes)

    def bytes(self, trials: Sequence[Trial]) -> int:
        """Bytes of a program that trains `trials`, with the drawing of their initial weights, one after the other."""
        drawn = 4 * self.itemsize * max(map(self.parameters, trials))
        return sum(map(self._of_trial, trials)) + len({trial.seed for trial in trials}) * self.of_seed + drawn

    @property
    def of_seed(self) -> int:
        """Bytes of the mini-batches of one seed, the last and shorter one having its own."""
        return self.itemsize * self._columns * self.features

    @property
    def _columns(self) -> int:
        return self.batch + self.rows % self.batch

    def _of_trial(self, trial: Trial) -> int:
        kind, hidden = kind_of(trial), [padded(units) if self.gathers else units for units in trial.hidden]
        parameters = _parameters((self.features, *hidden, self.classes))
        masks = (1 if self.backend == "numpy" else 1 + 24 // self.itemsize) if trial.dropout else 0  # and their hashes
        vectors = 1 if kind == "sgd" else 2 + len(STATE[kind])  # parameters, gradients, state
        if self.backend == "torch" and self.device == "cpu" and self.features >= WIDE:
            vectors = 1 + len(STATE[kind])
            if kind != "sgd":  # of gradients only later layers' are stored
                parameters += (parameters - self.features * (hidden or [self.classes])[0]) // vectors
        elif self.backend == "torch" and kind != "sgd":
            vectors += 4 if trial.l2 else 2  # a rate and a momentum for each; a penalty is two temporary vectors more
            vectors += bool(trial.weight_decay) + 2 * is_scheduled(trial)  # the trial of each, and a factor
        # A step keeps outputs, deltas and a scratch, and outputs and deltas again as they are gathered on either side; an
        # evaluation outputs alone, twice when its last part is shorter. Classes have temporaries, and labels' positions.
        evaluated = min(self.watched, EVALUATION_ROWS) * (2 if self.watched > EVALUATION_ROWS else 1)
        per_unit = (7 * self._columns + 3 * evaluated) if self.gathers else (3 * self._columns + evaluated)
        units = (sum(hidden) + 3 * self.classes) * per_unit + sum(trial.hidden) * masks * self._columns
        return self.itemsize * (parameters * vectors + units) + 24 * self._columns


def cost(trial: Trial, rows: int, features: int, classes: int) -> int:
    """What a step on so many rows costs for this trial among others, in floating-point operations."""
    return _CALLS + operations(trial, rows, features, classes)


def n_parameters(trial: Trial, features: int, classes: int) -> int:
    """Weights and biases of a trial's network."""
    return _parameters(_sizes(trial, features, classes))


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


def _fitting(part: Sequence[int], need: _Need, trials: Sequence[Trial], memory: int | None) -> list[list[int]]:
    """Cut neighbours into runs that take at most `memory` bytes each."""
    if memory is None:
        return [list(part)]
    runs: list[list[int]] = [[]]
    taken, seeds = 0, set[int]()
    for index in part:
        trial = trials[index]
        alone = need.bytes([trial])
        if alone > memory:
            raise ConfigError(
                f"trial {trial.hidden} with batch_size {trial.batch_size} needs {alone / 1e6:,.0f} MB, "
                f"more than the {memory / 1e6:,.0f} MB there are; make it narrower or its mini-batches smaller"
            )
        more = alone - (need.of_seed if trial.seed in seeds else 0)
        if taken + more > memory:
            runs.append([])
            taken, more = 0, alone
            seeds.clear()
        runs[-1].append(index)
        seeds.add(trial.seed)
        taken += more
    return runs


def _sizes(trial: Trial, features: int, classes: int) -> tuple[int, ...]:
    return (features, *trial.hidden, classes)


def _parameters(sizes: Sequence[int]) -> int:
    return sum((below + 1) * above for below, above in pairwise(sizes))
