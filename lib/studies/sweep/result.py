"""The typed result of a sweep: every trial's course, what was chosen and why, and what was scored, as numbers and enums.

Configurations are known by their positions and settings, models by their positions: never by a label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from lib.evaluation.calibration import Bin
from lib.evaluation.checks import Learned
from lib.evaluation.intervals import Difference, Estimate, Interval
from lib.evaluation.metrics import WrongRow
from lib.evaluation.paired import PairedPredictions
from lib.mlp.course import Course, Ending
from lib.mlp.labels import settings_key
from lib.mlp.trial import Trial
from lib.studies.presentation import Rows
from lib.studies.study import ModelNote, Result
from lib.studies.sweep.settings import Baseline, SweepSettings
from lib.validation import Stored

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float that may be not finite."""


class Weights(StrEnum):
    """What weights a frozen network has."""

    IMAGENET = "imagenet"
    RANDOM = "random"


class Representation(Stored):
    """What went into the networks."""

    node: str
    description: str
    """For reading: "raw pixels", or backbone, layer and weights."""
    weights: Weights | None
    """Of the frozen network; None for raw pixels."""
    width: int
    digest: str
    standardised: bool
    """Whether each feature was scaled by training rows."""

    @property
    def is_pixels(self) -> bool:
        return self.weights is None


class TrialOutcome(Course, Stored):
    """What came of one trial: its settings, its course epoch by epoch, and how it ended. See `Course` for its figures."""

    trial: Trial
    history: tuple[dict[str, Number], ...]
    diverged_epoch: int | None
    ended: Ending
    parameters: int
    learned: Learned


class Configuration(Stored):
    """One setting of one variant and its trials, one a seed."""

    variant: str
    number: int
    """Place among the variant's configurations in the order tried, from 1."""
    searched: bool
    varied: tuple[str, ...]
    """The settings that vary within the variant."""
    trials: tuple[TrialOutcome, ...]
    rank: int
    """Place in the study, 1 for the best by mean final validation accuracy."""

    @property
    def trial(self) -> Trial:
        """Its settings, with the first seed."""
        return self.trials[0].trial

    @property
    def key(self) -> str:
        """Its settings as text: equal for equal configurations."""
        return settings_key(self.trial)

    @property
    def halved(self) -> bool:
        """Whether it was dropped at a rung; its figures are then of an earlier epoch than its rivals'."""
        return any(each.ended == "halved" for each in self.trials)

    def value(self, axis: str) -> Any:
        return getattr(self.trial, axis)


class Verdict(StrEnum):
    """Whether the best configuration is significantly better than all others."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    ONE_SEED = "one seed"
    ONLY = "only one"
    """There is no other, or no other whose figures are finite."""
    NOT_FINITE = "not finite"
    """No configuration's figure is finite with every seed."""


class Rival(Stored):
    """The best configuration's mean lead over another, paired over seeds; None where the other's figure is not finite."""

    configuration: int
    difference: Difference | None


class Judgement(Stored):
    """The best configuration against each of the others, the strongest first.

    It is called significantly better only where every paired test says so: a claim that needs all tests needs no
    correction for their number (the intersection-union test, Berger 1982, Technometrics 24:295).
    """

    verdict: Verdict
    rivals: tuple[Rival, ...]


class Step(Stored):
    """From one value of the axis to the next within a variant: paired changes, `_p` by Holm's correction over the steps."""

    variant: str
    before: int
    after: int
    train_loss: Difference | None
    train_loss_p: float
    validation_loss: Difference | None
    validation_loss_p: float


class Explored(Stored):
    """What one variant tried."""

    variant: str
    sampler: Literal["grid", "random", "tpe"]
    """"grid", or the sampler of its search."""
    dimensions: tuple[str, ...]
    """What varied; `hidden` as a range is two: depth and units."""
    points: tuple[dict[str, str | int | float], ...]
    """One a configuration in the order tried: dimension -> value."""
    objectives: tuple[Number, ...]
    """Mean over seeds of the best validation loss; infinite where it diverged."""
    finished: int
    """Configurations whose objectives compare: neither diverged nor halved."""
    lowest: int | None
    """Place, among the variant's points, of the lowest objective of a finished one."""
    importances: dict[str, float] | None
    """Each dimension's share in being among the best (PED-ANOVA), highest first; None where too few finished."""
    best_share: float
    """The share of finished configurations that counts as best."""


class ModelRole(StrEnum):
    """What a scored model is."""

    WINNER = "winner"
    """A configuration's settings, trained again on all development rows, or as it was trained where nothing is tested."""
    ALSO_ON = "also on"
    """The best winner's settings on another input."""
    BASELINE = "baseline"


class TunedOn(StrEnum):
    """The rows that a model's settings were chosen by."""

    VALIDATION = "validation rows"
    HELD_OUT = "rows held out of training"
    NOTHING = "nothing"
    """There was no choice: the settings are the usual ones, or those of the network that it is compared with."""


class Tuning(Stored):
    """How a model's settings were chosen: its budget."""

    tried: int
    """How many settings were tried: of a network the configurations among which it is the best, of an axis those of
    its value."""
    on: TunedOn
    seconds: float
    """How long these took, one after another."""
    at_end: tuple[str, ...] = ()
    """Of a baseline: settings whose chosen value ends the path of what is tried, so that a better may lie beyond."""


class SeedScore(Stored):
    """What a model with one seed scored: `lib.evaluation.measures` by name, without the rows' prefix."""

    seed: int
    measures: dict[str, Number]
    right: int
    seconds: float
    """How long its training took, after its settings were chosen."""
    digest: str
    """Of its answers: models of equal digest said the same."""


class Scored(Stored):
    """A model scored on the rows that the study judges by."""

    role: ModelRole
    representation: int
    """Position among the study's representations."""
    configuration: int | None
    """Position of the configuration whose settings it has; None for a baseline that has none of them."""
    baseline: Baseline | None
    settings: dict[str, str | int | float]
    """Of a baseline: its own settings as chosen, e.g. {"C": 1.0}; of a network they are those of its configuration."""
    tuning: Tuning
    trials: tuple[TrialOutcome, ...]
    """The trainings, one a seed, which watched the judged rows for their curves; empty for a baseline."""
    scores: tuple[SeedScore, ...]
    """One a seed; baselines without a seed have one."""
    accuracy: Interval
    """The first seed's, with a 95 % interval over rows: Wilson's, or a bootstrap's where rows come in groups."""
    measured: dict[str, Interval]
    """The first seed's measures, each with a bootstrap interval."""
    with_both: Interval
    """The mean accuracy over seeds with a 95 % interval for both: other seeds, and other rows of the same kind."""
    answers: str
    """Its name among the study's predictions (first seed)."""


class Outcome(StrEnum):
    """How the chosen model compares with another."""

    AHEAD = "ahead"
    BEHIND = "behind"
    NOT_SIGNIFICANT = "not significant"


class Lead(Stored):
    """The chosen model's accuracy less another's."""

    model: int
    """Position of the other among the models."""
    same_rows: PairedPredictions
    """First seeds on the same rows: a paired bootstrap's interval and McNemar's test."""
    p: float
    """McNemar's p by Holm's correction over all other models."""
    over_seeds: Difference | None
    """Paired over seeds; None where the other has not the same seeds, or there is one."""
    outcome: Outcome


class ClassScore(Stored):
    """One class: precision and recall with Wilson's 95 % intervals (None where undefined), F1, and its rows."""

    precision: Interval | None
    recall: Interval | None
    f1: float
    support: int


class Doubt(StrEnum):
    """What a reader should know before believing a sweep's figures."""

    DID_NOT_LEARN = "did not learn"
    DIVERGED = "diverged"
    NOTHING_LEARNED = "nothing learned"
    """No configuration learned."""
    SAME_ANSWERS = "same answers"
    """Two models gave the same answers to the last bit: one may be the other."""
    BASELINE_DID_NOT_LEARN = "baseline did not learn"
    GROUPED_ROWS = "grouped rows"
    """Judged rows come in groups that are not independent."""
    RANDOM_WEIGHTS = "random weights"
    AT_END = "at the end"
    """A baseline's chosen setting ends the path of what was tried."""
    HIGHER_SCORE = "higher score"
    """A model scores higher than the chosen one."""


class Remark(Stored):
    """One doubt, and what it is about: positions of configurations, trials or models, and figures."""

    doubt: Doubt
    configuration: int | None = None
    seed: int | None = None
    model: int | None = None
    other: int | None = None
    count: int | None = None
    of: int | None = None
    figure: float | None = None
    significant: bool | None = None


class SweepResult(Result):
    """Everything that a sweep found."""

    settings: SweepSettings
    representations: tuple[Representation, ...]
    classes: tuple[str, ...]
    train_rows: int
    validation_rows: int
    judged_rows: int
    """Rows that candidates trained on, were watched on, and that `models` are scored on."""
    held_out: bool
    """Whether validation rows were held out of the training split, which has no validation split beside it."""
    judged_on: Rows
    """TEST when the sweep tests its winners; else VALIDATION, by which the best was chosen."""
    groups: int | None
    """How many groups the judged rows come in, where they come in groups."""
    majority: float
    """Share of the most frequent class among the judged rows."""
    configurations: tuple[Configuration, ...]
    best: int
    judgement: Judgement
    steps: tuple[Step, ...]
    explored: tuple[Explored, ...]
    models: tuple[Scored, ...]
    """Winners (of each axis value, or the best alone), then other inputs, then baselines."""
    chosen: int
    """Position of the best configuration's model."""
    leads: tuple[Lead, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Of the chosen model's first seed: true classes in rows, predicted ones in columns."""
    calibration: tuple[tuple[Bin, ...], ...]
    most_wrong: tuple[WrongRow, ...]
    wrong_rows: int
    remarks: tuple[Remark, ...]
    training_seconds: float
    network: ModelNote | None

    @property
    def overlap(self) -> float:
        """How much the splits of different seeds' candidates have in common, which intervals and tests take into account."""
        return self.settings.overlap(self.train_rows, self.validation_rows if self.held_out else 0)

    def estimate(self, trials: Sequence[TrialOutcome], figure: str) -> Estimate:
        """A candidate's figure, such as "final_validation_accuracy", over its seeds."""
        from lib.evaluation.intervals import LOSS, SHARE, over_seeds

        within = LOSS if figure.endswith("loss") else SHARE
        return over_seeds([getattr(trial, figure) for trial in trials], within, self.overlap)

    def over_seeds(self, model: int, measure: str) -> Estimate:
        """A measure of one of the models as mean, deviation and 95 % interval over its seeds."""
        from lib.evaluation.intervals import over_seeds
        from lib.evaluation.measures import measure_named

        return over_seeds(
            [score.measures[measure] for score in self.models[model].scores], measure_named(measure).within
        )

    def over_seeds_p(self) -> dict[int, float]:
        """Of each other model that has the chosen one's seeds: p of their difference over seeds, by Holm's over them all."""
        from lib.evaluation.intervals import holm_of

        tested = [lead for lead in self.leads if lead.over_seeds is not None]
        corrected = holm_of([lead.over_seeds for lead in tested])
        return {lead.model: p_value for lead, p_value in zip(tested, corrected, strict=True)}
