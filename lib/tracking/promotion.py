"""The gate before the registry: a classifier becomes champion only if its figures earn it."""

from __future__ import annotations

from dataclasses import dataclass

from lib.errors import DataError
from lib.studies.record import StudyRecord
from lib.tracking.models import champion, promote
from lib.tracking.records import experiment_name
from lib.tracking.store import Tracking
from lib.tracking.turns import turn


@dataclass(frozen=True)
class Decision:
    """What the gate decided, and the champion after it."""

    promoted: bool
    model: str
    version: str | None
    why: str

    @property
    def sentence(self) -> str:
        """The decision in words."""
        verb = "is champion" if self.promoted else "was not promoted"
        return f"`{self.model}` {f'version {self.version} ' if self.promoted else ''}{verb}: {self.why}."


def consider(tracking: Tracking, record: StudyRecord, run_id: str) -> Decision:
    """Promote the record's model if it learned, beats the majority class for certain, and no champion beats it.

    A champion tested on the same images keeps its place unless the new one is at least as accurate; one tested on
    other images is replaced, for its figure cannot be compared.
    """
    if record.model is None or record.model.registered_name is None:
        raise DataError(f"study {record.title!r} keeps no model that could be promoted")
    experiment = tracking.client.get_experiment_by_name(experiment_name(record))
    with turn(tracking.client, experiment.experiment_id, f"model {record.model.registered_name}"):
        return _decide(tracking, record, record.model.registered_name, run_id)


def _decide(tracking: Tracking, record: StudyRecord, name: str, run_id: str) -> Decision:
    final = record.summary["final"]
    current = champion(tracking, name)
    version = current.version if current else None
    if record.summary["flagged"]:
        return Decision(False, name, version, record.summary["flagged"])
    if final["test_accuracy_low"] <= final["majority"]:
        low, majority = final["test_accuracy_low"], final["majority"]
        return Decision(
            False, name, version, f"its accuracy may be {low:.4f}, no better than the majority's {majority:.4f}"
        )
    if current is not None and current.run_id == run_id:
        return Decision(True, name, version, f"test accuracy {final['test_accuracy']:.4f}, unchanged")
    why = f"test accuracy {final['test_accuracy']:.4f}"
    if current is not None:
        other = tracking.client.get_run(current.run_id)
        best = other.data.metrics["test_accuracy"]
        same_images = other.data.tags.get("probeflow.data") == f"{record.dataset.name} {record.dataset.digest[:12]}"
        if same_images and best > final["test_accuracy"]:
            return Decision(
                False, name, version, f"{why}; champion version {version} has {best:.4f} on the same images"
            )
        why += f", before {best:.4f} by version {version}" + ("" if same_images else " on other images")
    return Decision(True, name, promote(tracking, name, run_id, record.headline).version, why)
