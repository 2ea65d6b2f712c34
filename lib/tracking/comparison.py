"""Two MLflow runs side by side: what was set, what came of it, and whether the difference is more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mlflow.entities import Run

from lib.errors import DataError
from lib.evaluation.intervals import Interval
from lib.evaluation.paired import PairedPredictions, significant
from lib.graph import RunResult, leaderboard, studies_of
from lib.graph.past import differences
from lib.graph.summary import NAME as WHOLE_RUN
from lib.studies.entry import Entry
from lib.studies.presentation import BOUNDS
from lib.studies.record import FOLDER_LETTERS, open_record, read_origin
from lib.studies.study import Record
from lib.studies.sweep.predictions import compare_chosen
from lib.tracking.past_runs import find_run
from lib.tracking.promotion import logged_predictions
from lib.tracking.store import DATA_TAG, KEY_TAG, KIND_TAG, RESULT_TAG, STUDY_TAG, Tracking, experiment_name

_SPREAD = (*BOUNDS, "_standard_deviation")

_PAIRED = "test_accuracy"
"""The metric that both runs' kept predictions are of."""


class Verdict(StrEnum):
    """Whether two figures differ by more than chance."""

    SIGNIFICANT = "significant, paired"
    NOT_SIGNIFICANT = "not significantly different, paired"
    APART = "intervals do not overlap"
    OVERLAP = "intervals overlap"


@dataclass(frozen=True)
class Side:
    """One of the runs."""

    run_id: str
    name: str
    study: str
    data: str


@dataclass(frozen=True)
class Figure:
    """One metric of both runs; None where a run has none of that name."""

    name: str
    left: float | None
    right: float | None
    intervals: tuple[Interval | None, Interval | None] = (None, None)
    """Of the figure by itself, where the run has one."""
    difference: PairedPredictions | None = None
    """Right less left over the same images; its estimate alone may be known from `left` and `right`."""

    @property
    def verdict(self) -> Verdict | None:
        """Whether the two differ by more than chance; None where nothing says so."""
        if self.difference is not None:
            return Verdict.SIGNIFICANT if significant(self.difference) else Verdict.NOT_SIGNIFICANT
        one, other = self.intervals
        if one is None or other is None:
            return None
        return Verdict.APART if _apart(one, other) else Verdict.OVERLAP


@dataclass(frozen=True)
class StudyPair:
    """One study of two whole runs."""

    study: str
    keys: tuple[str, str]
    headlines: tuple[str, str]
    """Empty where a run has no such study, and where MLflow does not know its result."""
    changed: tuple[str, ...] = ()
    """In which settings and inputs the two differ, as "name left -> right", where both records are on disk and tell."""

    @property
    def same(self) -> bool:
        return self.keys[0] == self.keys[1]


@dataclass(frozen=True)
class ModelPair:
    """One model of two whole runs: of the same study, method, settings and input. None where a run has no such model."""

    left: Entry | None
    right: Entry | None

    @property
    def difference(self) -> float | None:
        """Right less left, where both are scored on the same rows."""
        if self.left is None or self.right is None or self.left.digest != self.right.digest:
            return None
        return self.right.score.estimate - self.left.score.estimate

    @property
    def apart(self) -> bool:
        """Whether there is a difference, and the two intervals do not overlap."""
        if self.difference is None or self.left is None or self.right is None:
            return False
        return _apart(self.left.score, self.right.score)


@dataclass(frozen=True)
class Comparison:
    """Two runs: their settings as name -> (left, right), and their figures."""

    left: Side
    right: Side
    params: dict[str, tuple[str | None, str | None]]
    figures: tuple[Figure, ...]
    whole_runs: bool = False
    """Whether both are whole runs of a profile."""
    studies: tuple[StudyPair, ...] = ()
    """Of two whole runs: their studies in the order they ran; empty for other runs, and where the records are
    elsewhere."""
    models: tuple[ModelPair, ...] = ()
    """Of two whole runs: what their leaderboards have, in the left one's order."""
    of: str = ""
    """Of two whole runs: the study whose figures are the runs' own."""

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

    Raises ConfigError when there is no such run, or several.

    `left` and `right`: a run's id, a study record's key, the beginning of either, or its name, where only one run has
    it. `studies`: root of the records on disk, from which two whole runs' studies are known.
    """
    one, other = find_run(tracking, left), find_run(tracking, right)
    params = {
        name: (one.data.params.get(name), other.data.params.get(name))
        for name in dict.fromkeys([*one.data.params, *other.data.params])
    }
    before, after = (None if studies is None else _whole_run(studies, run) for run in (one, other))
    pairs: tuple[StudyPair, ...] = ()
    models: tuple[ModelPair, ...] = ()
    sources: tuple[Run | None, Run | None] = one, other
    of = ""
    if studies is not None and before is not None and after is not None:
        then, now = before.result, after.result
        names = dict.fromkeys([*then.studies, *now.studies])
        pairs = tuple(_study_pair(tracking, studies, name, then.studies, now.studies) for name in names)
        models = _model_pairs(before, after)
        of = then.main if then.main == now.main else ""
        sources = (_run_of(tracking, then.main, then.studies), _run_of(tracking, now.main, now.studies))
    difference = _paired(tracking, *sources)
    every = dict.fromkeys([*sorted(one.data.metrics), *sorted(other.data.metrics)])
    figures = tuple(
        _figure(name, one, other, difference if name == _PAIRED else None)
        for name in every
        if not name.startswith("system/")
        and not any(name.endswith(end) and name.removesuffix(end) in every for end in _SPREAD)
    )
    whole = _is_whole(one) and _is_whole(other)
    return Comparison(_side(one), _side(other), params, figures, whole, pairs, models, of)


def _is_whole(run: Run) -> bool:
    return bool(run.data.tags.get(KIND_TAG) == WHOLE_RUN)


def _whole_run(root: Path, run: Run) -> Record[RunResult] | None:
    """The record of a whole run; None of another run, and where it cannot be read here."""
    if not _is_whole(run):
        return None
    try:
        record = open_record(_folder(root, run.data.tags[STUDY_TAG], run.data.tags[KEY_TAG]))
    except DataError:
        return None
    return record if isinstance(record.result, RunResult) else None


def _model_pairs(before: Record[RunResult], after: Record[RunResult]) -> tuple[ModelPair, ...]:
    """The models of two runs; none where a study's record is not there."""
    try:
        left, right = (
            {
                (each.study, each.model, each.settings, each.input): each
                for each in leaderboard(studies_of(run), run.result.main)
            }
            for run in (before, after)
        )
    except DataError:
        return ()
    return tuple(ModelPair(left.get(key), right.get(key)) for key in dict.fromkeys([*left, *right]))


def _apart(one: Interval, other: Interval) -> bool:
    return one.high < other.low or other.high < one.low


def _study_pair(
    tracking: Tracking, root: Path, study: str, before: Mapping[str, str], after: Mapping[str, str]
) -> StudyPair:
    left, right = before.get(study, ""), after.get(study, "")
    changed: list[str] = []
    if left and right and left != right:
        then, now = (read_origin(_folder(root, study, key)) for key in (left, right))
        changed = differences(now.identity, then) if then is not None and now is not None else []
    runs = [_run_of(tracking, study, keys) for keys in (before, after)]
    headlines = [run.data.tags.get(RESULT_TAG, "") if run is not None else "" for run in runs]
    return StudyPair(study, (left, right), (headlines[0], headlines[1]), tuple(changed))


def _folder(root: Path, study: str, key: str) -> Path:
    return root / study / key[:FOLDER_LETTERS]


def _run_of(tracking: Tracking, study: str, keys: Mapping[str, str]) -> Run | None:
    """The run that shows the record of a study."""
    experiment = tracking.client.get_experiment_by_name(experiment_name(study))
    return tracking.find(experiment.experiment_id, keys[study]) if experiment is not None and study in keys else None


def _side(run: Run) -> Side:
    tags = run.data.tags
    return Side(run.info.run_id, str(run.info.run_name), tags.get(STUDY_TAG, ""), _data(run))


def _data(run: Run) -> str:
    """Name and digest of the data that a run used."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    named = ", ".join(dict.fromkeys(f"{each.dataset.name} {each.dataset.digest[:12]}" for each in inputs))
    return named or str(run.data.tags.get(DATA_TAG, ""))  # a trial has the tag alone


def _figure(name: str, one: Run, other: Run, difference: PairedPredictions | None) -> Figure:
    left, right = one.data.metrics, other.data.metrics
    return Figure(name, left.get(name), right.get(name), (_interval(left, name), _interval(right, name)), difference)


def _interval(metrics: Mapping[str, float], name: str) -> Interval | None:
    bounds = [f"{name}{bound}" for bound in BOUNDS]
    if name not in metrics or any(bound not in metrics for bound in bounds):
        return None
    return Interval(metrics[name], metrics[bounds[0]], metrics[bounds[1]])


def _paired(tracking: Tracking, one: Run | None, other: Run | None) -> PairedPredictions | None:
    """Difference of test accuracies, right less left, where both runs' answers to the same images are known."""
    if one is None or other is None:
        return None
    left, right = (logged_predictions(tracking, run.info.run_id) for run in (one, other))
    return compare_chosen(right, left)
