"""How long a stage will take, from how long it took before and how much more or less it has to do now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from lib.features.sets import FoundSet, found_sets
from lib.features.speed import read_speeds
from lib.machine import cores
from lib.mlp.trial import Trial
from lib.studies.past import PastRecord

_PER_PARAMETER = 6
"""Operations on one row and parameter: a product forward, one for the gradient, one for the deltas."""

_PER_STEP = 800_000
"""Operations that could be done in the time of a step's calls."""

_LATEST = 5
"""Past runs that are asked, at most."""

NOTHING = "no past run to estimate from"


@dataclass(frozen=True)
class Estimate:
    """Seconds, or None when nothing tells; and in a few words how they were got."""

    seconds: float | None
    basis: str


@dataclass(frozen=True)
class Training:
    """Trials to train: parameters, mini-batch and epochs of each, over so many rows; and scikit-learn's beside them."""

    sizes: tuple[tuple[int, int, int], ...]
    rows: int
    beside: bool = False

    @classmethod
    def of(cls, trials: Sequence[Trial], rows: int, features: int, classes: int, beside: bool = False) -> Training:
        """What these trials come to."""
        return cls(
            tuple((parameters(each, features, classes), each.batch_size, each.epochs) for each in trials), rows, beside
        )

    @property
    def operations(self) -> float:
        """Floating-point operations, with what the calls of the steps cost."""
        return sum(epochs * self._of_epoch(count, batch) for count, batch, epochs in self.sizes)

    def _of_epoch(self, count: int, batch: int) -> float:
        batch = min(batch, self.rows)
        return math.ceil(self.rows / batch) * (_PER_PARAMETER * batch * count + _PER_STEP)


def parameters(trial: Trial, features: int, classes: int) -> int:
    """Weights and biases of a trial's network."""
    return sum((below + 1) * above for below, above in pairwise((features, *trial.hidden, classes)))


def of_training(wanted: Training, records: Sequence[PastRecord]) -> Estimate:
    """Time of a study that trains, from records of that study: their training is scaled by the operations.

    What a study took beside training (figures, tables) is taken as it was, and MLflow's share by the number of trials.
    """
    found = []
    for record in records:
        origin, past = record.origin, _training(record.content)
        if origin is None or origin.seconds is None or not past.sizes or not past.rows:
            continue
        children = record.content["children"]
        trained = _seconds(children, "candidate", "final") / min(cores(), len(past.sizes))
        beside = _seconds(children, "peer", "baseline")
        trained = min(trained, max(0.0, origin.seconds - beside))
        ratio = wanted.operations / past.operations
        rest = max(0.0, origin.seconds - trained - beside)
        seconds = rest + trained * ratio + (beside * ratio if wanted.beside else 0.0)
        seconds += _shown(record) * len(wanted.sizes) / len(past.sizes)
        found.append(_Told(seconds, f"{record.content['study']} of {record.when}", ratio))
    return _middle(found)


def of_work(
    records: Sequence[PastRecord],
    study: str,
    wanted: float,
    done: Callable[[dict[str, Any]], float],
    apart: Callable[[dict[str, Any]], float] = lambda _: 0.0,
) -> Estimate:
    """Time of a study that trains nothing, in proportion to its work.

    Parameters
    ----------
    done, apart
        Take a record's JSON, and tell its work, and the seconds of its stage that are estimated apart from this.
    """
    found = []
    for record in records:
        origin = record.origin
        if origin is None or origin.seconds is None:
            continue
        try:
            ratio = wanted / done(record.content)
            others = max(0.0, _shown(record) - apart(record.content))
        except (KeyError, TypeError, ZeroDivisionError):
            continue
        found.append(_Told(origin.seconds * ratio + others, f"{study} of {record.when}", ratio))
    return _middle(found)


def of_extraction(images: int, settings: Any, root: Path, kind: str) -> Estimate:
    """Time to extract so many images: by the speed of sets with the same precision on the same kind of device.

    Sets with another input size, counted by the pixels of the network's input, tell only where no others do.
    """
    if not images:
        return Estimate(0.0, "")
    found: dict[bool, list[_Told]] = {True: [], False: []}
    for each in found_sets(root):
        for speed in read_speeds(each.folder) if _alike(each, settings) else ():
            if speed.device.startswith("cuda") == (kind == "cuda"):
                assert each.plan is not None
                ratio = (settings.input_size / each.plan.settings.input_size) ** 2
                rate = speed.images_per_second / ratio
                found[ratio == 1].append(_Told(images / rate, f"{rate:,.0f} images/s as set {each.digest[:8]}", ratio))
    return _middle(found[True] or found[False])


@dataclass(frozen=True)
class _Told:
    """What one past run tells: seconds, whose, and by how much they are scaled."""

    seconds: float
    basis: str
    ratio: float


def _middle(found: Sequence[_Told]) -> Estimate:
    """The median of what the latest past runs tell: one of them may have shared its machine with others."""
    found = found[:_LATEST]
    if not found:
        return Estimate(None, NOTHING)
    ratio = found[0].ratio
    scaled = "" if abs(ratio - 1) < 0.005 else f", scaled by {ratio:.2g}"
    others = "" if len(found) == 1 else f", and {len(found) - 1} before (median)"
    return Estimate(median(each.seconds for each in found), f"{found[0].basis}{scaled}{others}")


def total(estimates: Sequence[Estimate]) -> tuple[float, int]:
    """Seconds of all that are known, and how many are not."""
    known = [each.seconds for each in estimates if each.seconds is not None]
    return sum(known), len(estimates) - len(known)


def _alike(found: FoundSet, settings: Any) -> bool:
    return found.plan is not None and found.plan.settings.precision == settings.precision


def _training(content: dict[str, Any]) -> Training:
    sizes = []
    try:
        for child in content["children"]:
            if "parameters" in child["metrics"]:
                epochs = len(child["history"]) or int(child["params"]["epochs"])
                sizes.append((int(child["metrics"]["parameters"]), int(child["params"]["batch_size"]), epochs))
        return Training(tuple(sizes), int(content["dataset"]["rows"]["train"]))
    except (KeyError, TypeError, ValueError):
        return Training((), 0)


def _seconds(children: Sequence[dict[str, Any]], *roles: str) -> float:
    return sum(
        each["metrics"].get("training_seconds") or 0.0
        for each in children
        if each.get("tags", {}).get("probeflow.role") in roles
    )


def _shown(record: PastRecord) -> float:
    """What Prefect and MLflow added when the record was made."""
    origin = record.origin
    if origin is None or origin.stage_seconds is None or origin.seconds is None:
        return 0.0
    return max(0.0, origin.stage_seconds - origin.seconds)
