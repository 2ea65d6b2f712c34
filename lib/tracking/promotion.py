"""The gate before the registry: a classifier becomes champion only if its answers show for certain that it is better.

Whatever passes the basic checks is registered and becomes `challenger`. `champion` moves to it if the two were tested on
the same images and the interval of the difference excludes zero: paired over the images where both models' answers are
known, else by intervals of the two accuracies that do not overlap. Each decision stands on the version with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.config import Places
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import encode_png
from lib.datasets.leakage import require_no_leakage
from lib.errors import ConfigError, DataError, LeakageError, WeightsError
from lib.evaluation.paired import PairedPredictions
from lib.features.config import FeatureSettings
from lib.prediction import make_recipe
from lib.studies.predictions import FILE, Predictions, read_predictions
from lib.studies.record import StudyRecord
from lib.tracking.models import log_image_classifier
from lib.tracking.notes import EXPERIMENT_NOTES
from lib.tracking.records import experiment_name
from lib.tracking.registry import DATA_TAG, WITHDRAWN_TAG, Registry, Version
from lib.tracking.store import Tracking
from lib.tracking.turns import turn

_RUN_TAG = "probeflow.promotion"


@dataclass(frozen=True)
class Decision:
    """What was decided, and the champion after it.

    Attributes
    ----------
    challenger : str or None
        The version that was considered; None when it did not pass the basic checks and was not registered.
    """

    promoted: bool
    model: str
    version: str | None
    why: str
    challenger: str | None = None

    @property
    def sentence(self) -> str:
        """The decision in words."""
        if self.promoted:
            return f"`{self.model}` version {self.version} is champion: {self.why}."
        considered = f" version {self.challenger}" if self.challenger else ""
        return f"`{self.model}`{considered} was not promoted: {self.why}."


def consider(
    tracking: Tracking, record: StudyRecord, run_id: str, dataset: Dataset, settings: FeatureSettings, where: Places
) -> Decision:
    """Register the record's classifier as challenger if it is sound, and make it champion if it beats the champion.

    Not sound, and not registered, is one that did not learn, that may be no better than the majority class, that was
    tested on training images, whose images or feature settings are no longer the record's, or whose weights are missing.

    Parameters
    ----------
    dataset, settings
        The images and the feature settings that the record was made with.
    """
    if record.model is None or record.model.registered_name is None:
        raise DataError(f"study {record.title!r} keeps no model that could be promoted")
    with _turn(tracking, experiment_name(record), EXPERIMENT_NOTES[record.study], record.model.registered_name):
        decision = _decide(tracking, record, run_id, dataset, settings, where)
        tracking.client.set_tag(run_id, _RUN_TAG, decision.sentence)
    return decision


def promote_by_hand(tracking: Tracking, name: str, wanted: str, reason: str) -> Decision:
    """Make a version champion, whatever the gate says of it.

    Raises
    ------
    ConfigError
        When there is no such version, it takes no images, or it is champion already.
    """
    registry = Registry(tracking, name)
    with _by_hand(tracking, name):
        version, current = registry.version(wanted), registry.champion()
        if current is not None and current.number == version.number:
            raise ConfigError(f"version {version.number} of {name} is champion already")
        if not version.takes_images:
            raise ConfigError(
                f"version {version.number} of {name} takes feature rows, not images: an older probeflow registered it; "
                "run the pipeline again for one that takes images"
            )
        decision = Decision(True, name, version.number, f"by hand, {reason}", version.number)
        registry.note(version, decision.sentence)
        registry.crown(version)
    return decision


def roll_back(tracking: Tracking, name: str, reason: str) -> Decision:
    """Make the champion before the present one champion again; the one withdrawn is not promoted by itself any more.

    Raises
    ------
    ConfigError
        When no champion came before.
    """
    registry = Registry(tracking, name)
    with _by_hand(tracking, name):
        withdrawn, restored = registry.roll_back(reason)
        why = f"version {withdrawn.number} was rolled back, {reason}"
        decision = Decision(True, name, restored.number, why, restored.number)
        registry.note(withdrawn, f"`{name}` version {withdrawn.number} was rolled back: {reason}.")
        registry.note(restored, decision.sentence)
    return decision


def _decide(
    tracking: Tracking, record: StudyRecord, run_id: str, dataset: Dataset, settings: FeatureSettings, where: Places
) -> Decision:
    assert record.model is not None
    assert record.model.registered_name is not None
    name = record.model.registered_name
    registry = Registry(tracking, name)
    current = registry.champion()
    version = current.number if current else None
    cache = where.features / ".weights"
    if (unsound := _unsound(record, dataset)) is not None:
        return Decision(False, name, version, unsound)
    try:
        digest = record.summary["features_digest"]
        recipe = make_recipe(dataset, settings, digest, cache, where.mirror)
        same_run = current is not None and current.run_id == run_id
        if current is not None and same_run and current.takes_images:
            why = f"{_accuracy(record.summary['final'])}, unchanged"
            return Decision(True, name, current.number, why, current.number)
        challenger = registry.of_run(run_id)
        if challenger is None:
            example = encode_png(dataset.require("test", "the classifier is tested on it").images[0])
            model = log_image_classifier(tracking, run_id, record, recipe, settings, cache, where.mirror, example)
            challenger = registry.register(run_id, model, record.headline, dataset.digest)
    except (WeightsError, ConfigError) as problem:
        return Decision(False, name, version, str(problem))
    registry.challenge(challenger)
    if WITHDRAWN_TAG in challenger.tags:
        better, why = False, (
            f"it was rolled back ({challenger.tags[WITHDRAWN_TAG]}); `python -m flows promote {challenger.number} "
            f"--model {name} --reason WHY` makes it champion again"
        )  # fmt: skip
    elif current is None:
        better, why = True, f"{_accuracy(record.summary['final'])}, the first champion"
    elif same_run:
        better, why = True, f"{_accuracy(record.summary['final'])}, the same network, which takes images now"
    else:
        better, why = _compared(tracking, record, dataset, challenger, current)
    decision = Decision(better, name, challenger.number if better else version, why, challenger.number)
    registry.note(challenger, decision.sentence)
    if better:
        registry.crown(challenger)
    return decision


def _unsound(record: StudyRecord, dataset: Dataset) -> str | None:
    """Why the classifier is not to be registered at all."""
    final = record.summary["final"]
    if record.summary["flagged"]:
        return str(record.summary["flagged"])
    if final["test_accuracy_low"] <= final["majority"]:
        low, majority = final["test_accuracy_low"], final["majority"]
        return f"its accuracy may be {low:.4f}, no better than the majority's {majority:.4f}"
    if dataset.digest != record.summary["dataset_digest"]:
        return (
            f"it was trained on images with digest {record.summary['dataset_digest'][:12]}, and those here have "
            f"{dataset.digest[:12]}: train it again"
        )
    try:
        require_no_leakage(dataset)
    except LeakageError as leak:
        return str(leak)
    return None


def _compared(
    tracking: Tracking, record: StudyRecord, dataset: Dataset, challenger: Version, current: Version
) -> tuple[bool, str]:
    """Whether the challenger is better than the champion for certain, and the reason in words."""
    other = tracking.client.get_run(current.run_id).data
    data = current.tags.get(DATA_TAG) or str(other.tags.get("probeflow.data", "unknown")).rpartition(" ")[2]
    if not dataset.digest.startswith(data):
        return False, (
            f"champion version {current.number} was tested on other images (digest {data[:12]}, now "
            f"{dataset.digest[:12]}), so their figures cannot be compared; `python -m flows promote {challenger.number} "
            f"--model {challenger.name} --reason WHY` makes it champion all the same"
        )
    final, best = record.summary["final"], other.metrics
    figures = f"{_accuracy(final)}; champion version {current.number} has {_accuracy(best)} on the same images"
    difference = paired(_kept(record.folder), logged_predictions(tracking, current.run_id))
    if difference is not None:
        words = (
            f"difference {difference.estimate:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}), paired over "
            f"{difference.rows:,} images, p = {difference.p_value:.2g}"
        )
        better, worse = difference.significant and difference.low > 0, difference.significant and difference.high < 0
    else:
        words = "by intervals, for the answers of one are not known"
        better = final["test_accuracy_low"] > best.get("test_accuracy_high", 1.0)
        worse = final["test_accuracy_high"] < best.get("test_accuracy_low", 0.0)
    found = "better" if better else "worse" if worse else "a tie: not told apart"
    return better, f"{found}, {words}; {figures}"


def logged_predictions(tracking: Tracking, run_id: str) -> Predictions | None:
    """The answers to each test image that a run has as an artifact; None when it has none."""
    if FILE not in {item.path for item in tracking.client.list_artifacts(run_id)}:
        return None
    with TemporaryDirectory(prefix="probeflow-") as folder:
        return _kept(Path(tracking.client.download_artifacts(run_id, FILE, folder)).parent)


def paired(ours: Predictions | None, theirs: Predictions | None) -> PairedPredictions | None:
    """Accuracy of the one study's network less the other's; None where not both answered the same images."""
    if ours is None or theirs is None or not ours.chosen or not theirs.chosen or not ours.same_rows(theirs):
        return None
    return ours.compare(ours.chosen, theirs, theirs.chosen)


def _kept(folder: Path) -> Predictions | None:
    """The answers in a folder; None when there are none, or they are damaged: intervals decide then."""
    try:
        return read_predictions(folder)
    except DataError:
        return None


def _accuracy(figures: dict[str, float]) -> str:
    if "test_accuracy_low" not in figures:
        return f"test accuracy {figures.get('test_accuracy', float('nan')):.4f}"
    low, high = figures["test_accuracy_low"], figures["test_accuracy_high"]
    return f"test accuracy {figures['test_accuracy']:.4f} ({low:.4f} to {high:.4f})"


@contextmanager
def _by_hand(tracking: Tracking, name: str) -> Iterator[None]:
    with _turn(tracking, "probeflow/classifier", EXPERIMENT_NOTES["classifier"], name):
        yield


@contextmanager
def _turn(tracking: Tracking, experiment: str, note: str, name: str) -> Iterator[None]:
    """Hold the turn for what happens to one registered model."""
    with turn(tracking.client, tracking.experiment(experiment, note), f"model {name}"):
        yield
