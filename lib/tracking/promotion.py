"""The gate before the registry: a network becomes champion only if it is significantly better than the champion.

Whatever passes the basic checks is registered and becomes `challenger`. `champion` moves to it if the two were tested on
the same images and differ significantly: paired over the images where both models' predictions are known, else by
intervals of the two accuracies that do not overlap. Each decision stands on the version with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lib.datasets import require_no_leakage
from lib.errors import ConfigError, DataError, LeakageError, WeightsError
from lib.evaluation.checks import Learned
from lib.evaluation.intervals import Interval, p_words
from lib.evaluation.paired import PairedPredictions, significant
from lib.features.config import FeatureSettings
from lib.places import Places
from lib.prediction import Recipe, feature_recipe, pixel_recipe
from lib.studies.presentation import Rows, escaped
from lib.studies.study import Input, Record
from lib.studies.sweep.predictions import FILE, Predictions, compare_chosen, read_predictions
from lib.studies.sweep.result import SweepResult
from lib.text import listed
from lib.tracking.card import model_card, shortened
from lib.tracking.models import IMAGE_CLASSIFIER, log_image_classifier
from lib.tracking.registry import LONGEST_CARD, WITHDRAWN_TAG, Registry, Version, model_name
from lib.tracking.store import Tracking
from lib.tracking.turns import turn

_RUN_TAG = "probeflow.promotion"

_EXAMPLES = 8
"""Test images that go with a model, by which an export is compared with it."""


class Outcome(StrEnum):
    """What the gate, or a person, decided."""

    FIRST = "first champion"
    BETTER = "better"
    UNCHANGED = "unchanged"
    BY_HAND = "by hand"
    ROLLED_BACK = "rolled back"
    NOT_SIGNIFICANT = "not significantly different"
    WORSE = "worse"
    OTHER_TEST_IMAGES = "other test images"
    """The champion was tested on others, so their figures do not compare."""
    WITHDRAWN = "withdrawn"
    """It was champion and was rolled back."""
    NOT_TESTED = "not tested"
    DID_NOT_LEARN = "did not learn"
    NOT_ABOVE_MAJORITY = "not above majority"
    CHANGED_IMAGES = "changed images"
    """The images here are not those that it was trained on."""
    CHANGED_FEATURES = "changed features"
    LEAKAGE = "leakage"
    NO_WEIGHTS = "no weights"

    @property
    def promotes(self) -> bool:
        """Whether the version that was considered is champion after it."""
        return self in (Outcome.FIRST, Outcome.BETTER, Outcome.UNCHANGED, Outcome.BY_HAND, Outcome.ROLLED_BACK)


@dataclass(frozen=True)
class Decision:
    """What was decided, and the champion after it.

    Attributes
    ----------
    accuracy, champion_accuracy : Interval or None
        On the test images, of the one considered and of the champion before; None where they are not known.
    """

    outcome: Outcome
    model: str
    version: str | None
    challenger: str | None = None
    """The champion after it, and the version that was considered; the latter is None when it did not pass the basic
    checks and was not registered."""
    accuracy: Interval | None = None
    majority: float | None = None
    """Share of the most frequent class among the test images."""
    champion: str | None = None
    """The version that was champion before."""
    champion_accuracy: Interval | None = None
    difference: PairedPredictions | None = None
    """Accuracy of the one considered less the champion's, on the same images."""
    detail: str = ""
    """What a person gave as the reason, or what was wrong."""

    @property
    def promoted(self) -> bool:
        return self.outcome.promotes

    @property
    def why(self) -> str:
        """The reason in words."""
        detail = self.detail
        by_hand = f"`probeflow promote {self.challenger} --model {self.model} --reason WHY` makes it champion"
        match self.outcome:
            case Outcome.FIRST | Outcome.UNCHANGED:
                return (
                    f"{_accuracy(self.accuracy)}, {'the ' if self.outcome is Outcome.FIRST else ''}{self.outcome.value}"
                )
            case Outcome.BETTER | Outcome.WORSE | Outcome.NOT_SIGNIFICANT:
                return f"{self.outcome.value}, {self._comparison}"
            case Outcome.BY_HAND:
                return f"by hand, {detail}"
            case Outcome.ROLLED_BACK:
                return f"version {self.champion} was rolled back, {detail}"
            case Outcome.OTHER_TEST_IMAGES:
                return (
                    f"champion version {self.champion} was tested on other images ({detail}), so their figures do not "
                    f"compare; {by_hand} all the same"
                )
            case Outcome.WITHDRAWN:
                return f"it was rolled back ({detail}); {by_hand} again"
            case Outcome.NOT_TESTED:
                return "it was not tested, for its configuration was dropped at a rung; choose other rungs"
            case Outcome.DID_NOT_LEARN:
                return f"its network did not learn ({detail}); try other learning rates, or more epochs"
            case Outcome.NOT_ABOVE_MAJORITY:
                majority = f"{self.majority:.4f}, the majority class's share"
                return (
                    f"{_accuracy(self.accuracy)}: the interval does not exclude {majority}; more test images make it narrower, "
                    "other settings or features may raise it"
                )
            case _:
                return detail

    @property
    def _comparison(self) -> str:
        champion = f"champion version {self.champion} has {_accuracy(self.champion_accuracy)} on the same images"
        figures = f"{_accuracy(self.accuracy)}; {champion}"
        found = self.difference
        if found is None:
            return f"by intervals, for the predictions of one are not known; {figures}"
        return (
            f"difference {found.estimate:+.4f} ({found.low:+.4f} to {found.high:+.4f}), paired over {found.rows:,} images, "
            f"{p_words(found.p_value)}; {figures}"
        )

    @property
    def sentence(self) -> str:
        """The decision in words."""
        if self.promoted:
            return f"`{self.model}` version {self.version} is champion: {self.why}."
        considered = f" version {self.challenger}" if self.challenger else ""
        return f"`{self.model}`{considered} was not promoted: {self.why}."

    @property
    def markdown(self) -> str:
        """The same, with what users wrote as Markdown that shows it as it is."""
        return replace(self, detail=escaped(self.detail)).sentence


def consider(
    tracking: Tracking,
    record: Record[Any],
    run_id: str,
    on: Input,
    extraction: FeatureSettings | None,
    where: Places,
) -> Decision:
    """Register a sweep's chosen network as challenger if it is sound, and make it champion if it beats the champion.

    Not sound, and not registered, is one that did not learn, that may be no better than the majority class, that was
    tested on training images, whose images or features are no longer the record's, or whose weights are missing. Raises
    DataError when the record is not of a sweep.

    `run_id`: the MLflow run that shows the record. `on`: what the sweep is on, as it is now. `extraction`: settings of
    the feature set that it is on, with where its weights lie; None for raw pixels.
    """
    if not isinstance(record.result, SweepResult):
        raise DataError(
            f"study {record.name!r} is of kind {record.kind}, which keeps no network to promote; name a sweep"
        )
    registry = Registry(tracking, model_name(on.dataset))
    with _turn(tracking, registry, run_id):
        decision = _Gate(tracking, registry, record, record.result, run_id, on, extraction, where).decide()
        tracking.client.set_tag(run_id, _RUN_TAG, decision.sentence)
    return decision


def promote_by_hand(tracking: Tracking, name: str, wanted: str, reason: str) -> Decision:
    """Make a version champion, whatever the gate says of it.

    Raises ConfigError when there is no such version, or it is champion already.
    """
    registry = Registry(tracking, name)
    with _turn(tracking, registry):
        version, current = registry.version(wanted), registry.champion()
        if current is not None and current.number == version.number:
            raise ConfigError(f"version {version.number} of {name} is champion already")
        decision = Decision(Outcome.BY_HAND, name, version.number, version.number, detail=reason)
        registry.note(version, decision.sentence)
        registry.crown(version)
    return decision


def roll_back(tracking: Tracking, name: str, reason: str) -> Decision:
    """Make the champion before the present one champion again; the one withdrawn is not promoted by itself any more.

    Raises ConfigError when no champion came before.
    """
    registry = Registry(tracking, name)
    with _turn(tracking, registry):
        withdrawn, restored = registry.roll_back(reason)
        decision = Decision(
            Outcome.ROLLED_BACK, name, restored.number, restored.number, champion=withdrawn.number, detail=reason
        )
        registry.note(withdrawn, f"`{name}` version {withdrawn.number} was rolled back: {reason}.")
        registry.note(restored, decision.sentence)
    return decision


@dataclass(frozen=True)
class _Gate:
    """One network before the gate; see `consider`."""

    tracking: Tracking
    registry: Registry
    record: Record[Any]
    result: SweepResult
    run_id: str
    on: Input
    extraction: FeatureSettings | None
    where: Places

    @property
    def accuracy(self) -> Interval:
        return self.result.models[self.result.chosen].accuracy

    def decide(self) -> Decision:
        current = self.registry.champion()
        if (unsound := self._unsound()) is not None:
            return self._decision(*unsound, current, None)
        try:
            recipe = self._recipe()
            if current is not None and current.run_id == self.run_id:
                return self._decision(Outcome.UNCHANGED, "", current, current)
            challenger = self.registry.of_run(self.run_id) or self._register(recipe)
        except WeightsError as problem:
            return self._decision(Outcome.NO_WEIGHTS, str(problem), current, None)
        except ConfigError as problem:
            return self._decision(Outcome.CHANGED_FEATURES, str(problem), current, None)
        self.registry.challenge(challenger)
        decision = self._against(challenger, current)
        self.registry.note(challenger, decision.sentence)
        if decision.promoted:
            self.registry.crown(challenger)
        return decision

    def _unsound(self) -> tuple[Outcome, str] | None:
        """Why the network is not to be registered at all."""
        result, dataset = self.result, self.on.dataset
        if result.judged_on is not Rows.TEST:
            return Outcome.NOT_TESTED, ""
        learned = result.models[result.chosen].trials[0].learned
        if learned is not Learned.YES:
            return Outcome.DID_NOT_LEARN, learned.value
        if self.accuracy.low <= result.majority:
            return Outcome.NOT_ABOVE_MAJORITY, ""
        if dataset.digest != self.record.dataset.digest:
            return Outcome.CHANGED_IMAGES, (
                f"it was trained on images with digest {self.record.dataset.digest[:12]}, and those here have "
                f"{dataset.digest[:12]}: train it again"
            )
        try:
            require_no_leakage(dataset)
        except LeakageError as leak:
            return Outcome.LEAKAGE, str(leak)
        return None

    def _recipe(self) -> Recipe:
        trained_on = self.result.representations[self.result.models[self.result.chosen].representation]
        if self.extraction is None:
            return pixel_recipe(self.on.dataset)
        where = self.where
        return feature_recipe(self.on.dataset, self.extraction, trained_on.digest, where.weights, where.mirror)

    def _register(self, recipe: Recipe) -> Version:
        dataset, where, record = self.on.dataset, self.where, self.record
        card = model_card(self.registry.name, f"runs:/{self.run_id}/{IMAGE_CLASSIFIER}", record, recipe)
        examples = recipe.examples(dataset.require("test", "the network is tested on it").images, _EXAMPLES)
        model = log_image_classifier(
            self.tracking, self.run_id, record, recipe, self.extraction, where.weights, where.mirror, examples, card
        )
        about = f"Image classifier of {escaped(listed(recipe.class_names))} by probeflow: takes images."
        calibration_error = self.result.models[self.result.chosen].measured["ece"]
        described = shortened(card, LONGEST_CARD)
        return self.registry.register(self.run_id, model, about, described, dataset, self.accuracy, calibration_error)

    def _against(self, challenger: Version, current: Version | None) -> Decision:
        """Whether the challenger is significantly better than the champion."""
        if WITHDRAWN_TAG in challenger.tags:
            return self._decision(Outcome.WITHDRAWN, challenger.tags[WITHDRAWN_TAG], current, challenger)
        if current is None:
            return self._decision(Outcome.FIRST, "", current, challenger)
        digest = self.on.dataset.digest
        if current.data_digest != digest:
            theirs = f"digest {current.data_digest[:12] or 'unknown'}, now {digest[:12]}"
            return self._decision(Outcome.OTHER_TEST_IMAGES, theirs, current, challenger)
        difference = compare_chosen(_kept(self.record.folder), logged_predictions(self.tracking, current.run_id))
        outcome = Outcome.NOT_SIGNIFICANT
        if difference is not None:
            if significant(difference):
                outcome = Outcome.BETTER if difference.estimate > 0 else Outcome.WORSE
        elif current.accuracy is not None:
            if self.accuracy.low > current.accuracy.high:
                outcome = Outcome.BETTER
            elif self.accuracy.high < current.accuracy.low:
                outcome = Outcome.WORSE
        return self._decision(outcome, "", current, challenger, difference)

    def _decision(
        self,
        outcome: Outcome,
        detail: str,
        current: Version | None,
        challenger: Version | None,
        difference: PairedPredictions | None = None,
    ) -> Decision:
        champion = challenger if outcome.promotes else current
        return Decision(
            outcome=outcome,
            model=self.registry.name,
            version=champion.number if champion else None,
            challenger=challenger.number if challenger else None,
            accuracy=self.accuracy,
            majority=self.result.majority,
            champion=current.number if current else None,
            champion_accuracy=current.accuracy if current else None,
            difference=difference,
            detail=detail,
        )


def logged_predictions(tracking: Tracking, run_id: str) -> Predictions | None:
    """The predictions for each test image that a run has as an artifact; None when it has none."""
    if FILE not in {item.path for item in tracking.client.list_artifacts(run_id)}:
        return None
    with TemporaryDirectory(prefix="probeflow-") as folder:
        return _kept(Path(tracking.client.download_artifacts(run_id, FILE, folder)).parent)


def _kept(folder: Path) -> Predictions | None:
    """The predictions in a folder; None when there are none, or they are damaged: intervals decide then."""
    try:
        return read_predictions(folder)
    except DataError:
        return None


def _accuracy(of: Interval | None) -> str:
    return "an unknown test accuracy" if of is None else f"test accuracy {of.words}"


@contextmanager
def _turn(tracking: Tracking, registry: Registry, run_id: str | None = None) -> Iterator[None]:
    """Hold the turn for what happens to one registered model, whichever study it is of.

    All who change it meet in the experiment of its first version; before there is one, in that of the run `run_id`.
    """
    versions = registry.versions()
    first = versions[0].run_id if versions else run_id
    if first is None:
        yield  # a model without versions: there is nothing to change
        return
    experiment = tracking.client.get_run(first).info.experiment_id
    with turn(tracking.client, experiment, f"model {registry.name}"):
        yield
