"""Run one study: the record that is there already, or compute, draw and seal. The one way a record comes to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.datasets import Dataset, leakage_warnings, require_no_leakage
from lib.places import Places
from lib.studies.record import Identity, StudyFolder
from lib.studies.study import DatasetNote, Identified, Input, Record, Study, StudySettings, kind_of


def study_folder(
    name: str, settings: StudySettings, inputs: Mapping[str, Input], where: Places, profile: Mapping[str, Any]
) -> StudyFolder:
    """The folder of the study `name`; `profile` are the nodes that it is run by, as JSON."""
    kind = kind_of(settings)
    digests = kind.digests(settings, inputs, where)
    identity = Identity(kind.name, name, kind.version, kind.decisive(settings), digests, profile)
    return StudyFolder(where.studies, identity)


def finished_study(
    folder: StudyFolder, settings: StudySettings, inputs: Mapping[str, Identified], where: Places
) -> Record[Any] | None:
    """The record of a study that has been done already, if all that it speaks of is still there."""
    record = folder.finished()
    return record if record is not None and kind_of(settings).intact(settings, inputs, where) else None


def run_study(
    name: str, settings: StudySettings, inputs: Mapping[str, Input], where: Places, profile: Mapping[str, Any]
) -> Record[Any]:
    """Run the study, or return its record when nothing has changed.

    Raises LeakageError when a test image is a training image; ProbeflowError: whatever the kind's `compute` raises.

    Parameters
    ----------
    inputs : mapping of str to Input
        By role, as the kind's `needs` names them.
    """
    folder = study_folder(name, settings, inputs, where, profile)
    if record := finished_study(folder, settings, inputs, where):
        return record
    kind = kind_of(settings)
    study = Study(name, settings, inputs, folder, where)
    for dataset in {each.dataset.digest: each.dataset for each in inputs.values()}.values():
        require_no_leakage(dataset)
    result = kind.compute(study)
    for item in kind.draw(result, study):
        folder.keep(item)
    return folder.seal(result, note_of(study.dataset))


def note_of(dataset: Dataset) -> DatasetNote:
    """A dataset as a record shows it."""
    return DatasetNote(
        dataset.name,
        dataset.digest,
        dataset.origin,
        dataset.class_names,
        {name: len(split) for name, split in dataset.splits.items()},
        (*dataset.warnings, *leakage_warnings(dataset)),
        dataset.understood,
    )
