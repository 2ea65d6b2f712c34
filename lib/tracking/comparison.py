"""Two MLflow runs side by side: what was set, what came of it, and whether the difference is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run

from lib.errors import DataError
from lib.evaluation.intervals import Interval
from lib.evaluation.paired import PairedPredictions
from lib.studies.configuration_runs import BOUNDS
from lib.studies.identity import read_origin
from lib.studies.past import differences
from lib.studies.record import StudyFolder, open_record
from lib.tracking.past_runs import EXPERIMENTS, find_run
from lib.tracking.promotion import logged_predictions, paired
from lib.tracking.store import KEY_TAG, Tracking

_JUDGED = "classifier"
"""The study whose figures a whole run shows as its own; without it, its first."""

_SPREAD = (*BOUNDS, "_standard_deviation")


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
class StudyPair:
    """One study of two whole runs.

    Attributes
    ----------
    keys, headlines : (left, right)
        Empty where a run has no such study, and where MLflow does not know its result.
    changed : tuple of str
        In which settings and inputs the two differ, as "name left -> right", where both records are on disk and tell.
    """

    study: str
    keys: tuple[str, str]
    headlines: tuple[str, str]
    changed: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether both runs have the study by one and the same record."""
        return self.keys[0] == self.keys[1]


@dataclass(frozen=True)
class Comparison:
    """Two runs: their settings as name -> (left, right), and their figures.

    Attributes
    ----------
    studies : tuple of StudyPair
        Of two whole runs: their studies in the order they ran; empty for other runs, and where the records are elsewhere.
    of : str
        Of two whole runs: the study whose model the figures are of.
    """

    left: Side
    right: Side
    params: dict[str, tuple[str | None, str | None]]
    figures: tuple[Figure, ...]
    studies: tuple[StudyPair, ...] = ()
    of: str = ""

    @property
    def whole_runs(self) -> bool:
        """Whether both are whole runs of the pipeline."""
        return self.left.study == self.right.study == "pipeline"

    @property
    def same_model(self) -> bool:
        """Whether both runs' figures are those of one and the same study's record."""
        return any(pair.study == self.of and pair.same for pair in self.studies)

    @property
    def same_data(self) -> bool:
        """Whether both are of the same data, by digest; else their figures say nothing about each other."""
        return self.left.data == self.right.data != ""


def compare(tracking: Tracking, left: str, right: str, studies: Path | None = None) -> Comparison:
    """Compare two runs.

    Parameters
    ----------
    left, right : str
        A run's id, a study record's key, the beginning of either, or its name, where only one run has it.
    studies : Path, optional
        Root of the records on disk, from which two whole runs' studies are known.

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
    pairs = _study_pairs(tracking, studies, one, other) if studies is not None else ()
    of = next((pair for pair in pairs if pair.study == _JUDGED), pairs[0] if pairs else None)
    sources = (one, other) if of is None else tuple(_run_of(tracking, of.study, key) for key in of.keys)
    paired = _paired(tracking, *sources)
    every = dict.fromkeys([*sorted(one.data.metrics), *sorted(other.data.metrics)])
    figures = tuple(
        _figure(name, one, other, paired if name == "test_accuracy" else None)
        for name in every
        if not name.startswith("system/")
        and not any(name.endswith(end) and name.removesuffix(end) in every for end in _SPREAD)
    )
    return Comparison(_side(one), _side(other), params, figures, pairs, of.study if of else "")


def _study_pairs(tracking: Tracking, root: Path, one: Run, other: Run) -> tuple[StudyPair, ...]:
    """The studies of two whole runs side by side; none for other runs, and where a run's record is not under `root`."""
    keys = [_studies_of(root, run) for run in (one, other)]
    if not all(keys):
        return ()
    return tuple(_study_pair(tracking, root, study, keys) for study in dict.fromkeys([*keys[0], *keys[1]]))


def _studies_of(root: Path, run: Run) -> dict[str, str]:
    """Study -> key of a whole run; empty for another run, and where its record cannot be read here."""
    if run.data.tags.get("probeflow.study") != "pipeline":
        return {}
    try:
        record = open_record(StudyFolder(root, "pipeline", run.data.tags[KEY_TAG]).path)
    except DataError:
        return {}
    return {str(study): str(key) for study, key in record.summary["studies"].items()}


def _study_pair(tracking: Tracking, root: Path, study: str, keys: Sequence[Mapping[str, str]]) -> StudyPair:
    left, right = (of_run.get(study, "") for of_run in keys)
    runs = [_run_of(tracking, study, key) for key in (left, right)]
    changed: list[str] = []
    if left and right and left != right:
        before, after = (read_origin(StudyFolder(root, study, key).path) for key in (left, right))
        changed = differences(after.identity, before) if before is not None and after is not None else []
    headlines = [run.data.tags.get("probeflow.result", "") if run is not None else "" for run in runs]
    return StudyPair(study, (left, right), (headlines[0], headlines[1]), tuple(changed))


def _run_of(tracking: Tracking, study: str, key: str) -> Run | None:
    """The run that shows a study's record."""
    experiment = tracking.client.get_experiment_by_name(f"{EXPERIMENTS}{study}")
    return tracking.find(experiment.experiment_id, key) if experiment is not None and key else None


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
    bounds = [f"{name}{bound}" for bound in BOUNDS]
    if name not in metrics or any(bound not in metrics for bound in bounds):
        return None
    return Interval(metrics[name], metrics[bounds[0]], metrics[bounds[1]])


def _paired(tracking: Tracking, one: Run | None, other: Run | None) -> PairedPredictions | None:
    """Difference of test accuracies, right less left, where both runs' answers to the same images are known."""
    if one is None or other is None:
        return None
    left, right = (logged_predictions(tracking, run.info.run_id) for run in (one, other))
    return paired(right, left)
