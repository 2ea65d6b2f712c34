"""The probabilities that models gave to the rows that a sweep judges by, and what these score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.evaluation.intervals import LEVEL, holm, paired_difference, wilson
from lib.evaluation.measures import estimates, measure
from lib.evaluation.metrics import decided, prediction_digest
from lib.evaluation.paired import compare_predictions
from lib.evaluation.resampling import Units, over_seeds_and_rows, shows_no_spread
from lib.machine import one_blas_thread
from lib.mlp.estimator import MLPClassifier
from lib.studies.sweep.result import ClassScore, Lead, ModelRole, Outcome, Scored, SeedScore, TrialOutcome, Tuning
from lib.studies.sweep.settings import Baseline

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.floating]

_AT_ONCE = 1 << 24
"""Values of rows that a network is asked about at once."""


@dataclass(frozen=True)
class Answer:
    """What one model with one seed gave to the judged rows: probabilities, shape (n, classes)."""

    name: str
    """Its name among the study's predictions; another model's is another."""
    seed: int
    probabilities: Probabilities
    seconds: float

    @property
    def predicted(self) -> Labels:
        """The predicted classes, shape (n,)."""
        found: Labels = self.probabilities.argmax(axis=1)
        return found


@dataclass(frozen=True)
class Judged:
    """The rows that models are judged by: labels, shape (n,), and groups of rows that are not independent, if there are."""

    labels: Labels
    groups: Labels | None

    @property
    def majority(self) -> float:
        return float(np.bincount(self.labels).max() / len(self.labels))


@dataclass(frozen=True)
class Model:
    """A model with its answers, one a seed; see `Scored` for the rest."""

    role: ModelRole
    representation: int
    configuration: int | None
    answers: tuple[Answer, ...]
    tuning: Tuning
    trials: tuple[TrialOutcome, ...] = ()
    baseline: Baseline | None = None
    settings: dict[str, str | int | float] | None = None

    def scored(self, judged: Judged) -> Scored:
        first = self.answers[0]
        measured = measure(judged.labels, first.probabilities, judged.groups)
        right = np.stack([each.predicted == judged.labels for each in self.answers])
        accuracy = wilson(int(right[0].sum()), len(judged.labels)) if judged.groups is None else measured["accuracy"]
        if accuracy.low == accuracy.high or shows_no_spread(right[0], Units.of(judged.labels, judged.groups)):
            accuracy = over_seeds_and_rows(right[:1], judged.labels, judged.groups)
            measured = measured | {"accuracy": accuracy}
        return Scored(
            role=self.role,
            representation=self.representation,
            configuration=self.configuration,
            baseline=self.baseline,
            settings=self.settings or {},
            tuning=self.tuning,
            trials=self.trials,
            scores=tuple(_seed_score(each, judged) for each in self.answers),
            accuracy=accuracy,
            measured=measured,
            with_both=over_seeds_and_rows(right, judged.labels, judged.groups),
            answers=first.name,
        )


def _seed_score(answer: Answer, judged: Judged) -> SeedScore:
    return SeedScore(
        seed=answer.seed,
        measures=estimates(judged.labels, answer.probabilities),
        right=int((answer.predicted == judged.labels).sum()),
        seconds=answer.seconds,
        digest=prediction_digest(answer.probabilities),
    )


def ask(network: MLPClassifier, rows: npt.NDArray[np.float32]) -> Probabilities:
    """What a network gives to `rows`, shape (n, classes); equal shares where it diverged."""
    at_once = max(1, _AT_ONCE // rows.shape[1])
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        parts = [network.predict_proba(rows[start : start + at_once]) for start in range(0, len(rows), at_once)]
    return decided(np.concatenate(parts))


def leads(chosen: int, models: Sequence[Model], judged: Judged) -> tuple[Lead, ...]:
    """The chosen model against each of the others, in order, with Holm's correction over them."""
    own = models[chosen]
    others = [at for at in range(len(models)) if at != chosen]
    pairs = [
        compare_predictions(own.answers[0].predicted, models[at].answers[0].predicted, judged.labels, judged.groups)
        for at in others
    ]
    corrected = holm([pair.p_value for pair in pairs])
    found = []
    for at, pair, p_value in zip(others, pairs, corrected, strict=True):
        outcome = Outcome.NOT_SIGNIFICANT
        if p_value < LEVEL:
            outcome = Outcome.AHEAD if pair.estimate > 0 else Outcome.BEHIND
        same_seeds = [each.seed for each in models[at].answers] == [each.seed for each in own.answers]
        over = paired_difference(_accuracies(own, judged), _accuracies(models[at], judged)) if same_seeds else None
        found.append(Lead(model=at, same_rows=pair, p=p_value, over_seeds=over, outcome=outcome))
    return tuple(found)


def _accuracies(model: Model, judged: Judged) -> list[float]:
    return [float((each.predicted == judged.labels).mean()) for each in model.answers]


def class_scores(answer: Answer, judged: Judged, classes: int) -> tuple[ClassScore, ...]:
    """Precision and recall of each class; one never predicted has no precision, and one without rows no recall."""
    confusion = confusion_of(answer, judged, classes)
    found = []
    for place in range(classes):
        hits, predicted, support = (
            int(count) for count in (confusion[place, place], confusion[:, place].sum(), confusion[place].sum())
        )
        found.append(
            ClassScore(
                precision=wilson(hits, predicted) if predicted else None,
                recall=wilson(hits, support) if support else None,
                f1=2 * hits / (predicted + support) if predicted + support else 0.0,
                support=support,
            )
        )
    return tuple(found)


def confusion_of(answer: Answer, judged: Judged, classes: int) -> Labels:
    """How often each class (rows) was predicted as each (columns), shape (classes, classes)."""
    pairs = np.bincount(judged.labels * classes + answer.predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes)
