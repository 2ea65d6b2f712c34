"""Two MLflow runs side by side: what was set, what came of it, and whether the difference is more than chance."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow.entities import Run

from lib.evaluation.intervals import Interval
from lib.evaluation.paired import PairedPredictions
from lib.tracking.past_runs import find_run
from lib.tracking.promotion import logged_predictions, paired
from lib.tracking.store import Tracking

_BOUNDS = ("_low", "_high")
_SPREAD = (*_BOUNDS, "_standard_deviation")


@dataclass(frozen=True)
class Side:
    """One of the runs."""

    run_id: str
    name: str
    study: str
    data: str


@dataclass(frozen=True)
class Figure:
    """One metric of both runs; None where a run has none of that name.

    Attributes
    ----------
    intervals : tuple of Interval or None, a run each
        Of the figure by itself, where the run tells it.
    difference : PairedPredictions or None
        Right less left over the same images; its estimate alone may be known from `left` and `right`.
    """

    name: str
    left: float | None
    right: float | None
    intervals: tuple[Interval | None, Interval | None] = (None, None)
    difference: PairedPredictions | None = None

    @property
    def verdict(self) -> str:
        """Whether the two are told apart, in words; empty where nothing says so."""
        if self.difference is not None:
            # As in the gate: of answers that hardly vary the bootstrap's interval is too narrow, so the test has to agree.
            apart = self.difference.real and (self.difference.low > 0 or self.difference.high < 0)
            return "told apart, paired" if apart else "not told apart, paired"
        one, other = self.intervals
        if one is None or other is None:
            return ""
        return "intervals apart" if one.high < other.low or other.high < one.low else "intervals overlap"


@dataclass(frozen=True)
class Comparison:
    """Two runs: their settings as name -> (left, right), and their figures."""

    left: Side
    right: Side
    params: dict[str, tuple[str | None, str | None]]
    figures: tuple[Figure, ...]

    @property
    def same_data(self) -> bool:
        """Whether both are of the same data, by digest; else their figures say nothing about each other."""
        return self.left.data == self.right.data != ""


def compare(tracking: Tracking, left: str, right: str) -> Comparison:
    """Compare two runs.

    Parameters
    ----------
    left, right : str
        A run's id, a study record's key, the beginning of either, or its name, where only one run has it.

    Raises
    ------
    ConfigError
        When there is no such run, or several.
    """
    one, other = find_run(tracking, left), find_run(tracking, right)
    params = {
        name: (one.data.params.get(name), other.data.params.get(name))
        for name in dict.fromkeys([*one.data.params, *other.data.params])
    }
    paired = _paired(tracking, one, other)
    every = dict.fromkeys([*sorted(one.data.metrics), *sorted(other.data.metrics)])
    figures = tuple(
        _figure(name, one, other, paired if name == "test_accuracy" else None)
        for name in every
        if not name.startswith("system/")
        and not any(name.endswith(end) and name.removesuffix(end) in every for end in _SPREAD)
    )
    return Comparison(_side(one), _side(other), params, figures)


def _side(run: Run) -> Side:
    tags = run.data.tags
    return Side(run.info.run_id, str(run.info.run_name), tags.get("probeflow.study", ""), _data(run))


def _data(run: Run) -> str:
    """Name and digest of the data that a run used."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    named = ", ".join(f"{each.dataset.name} {each.dataset.digest[:12]}" for each in inputs)
    return named or str(run.data.tags.get("probeflow.data", ""))  # a trial has the tag alone


def _figure(name: str, one: Run, other: Run, difference: PairedPredictions | None) -> Figure:
    left, right = one.data.metrics, other.data.metrics
    return Figure(name, left.get(name), right.get(name), (_interval(left, name), _interval(right, name)), difference)


def _interval(metrics: dict[str, float], name: str) -> Interval | None:
    bounds = [f"{name}{bound}" for bound in _BOUNDS]
    if name not in metrics or any(bound not in metrics for bound in bounds):
        return None
    return Interval(metrics[name], metrics[bounds[0]], metrics[bounds[1]])


def _paired(tracking: Tracking, one: Run, other: Run) -> PairedPredictions | None:
    """Difference of test accuracies, right less left, where both runs' answers to the same images are known."""
    left, right = (logged_predictions(tracking, run.info.run_id) for run in (one, other))
    return paired(right, left)
