"""What a node is given: data acquired, feature sets and records opened, each once, whatever else needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lib.datasets import Dataset, leakage_warnings, require_no_leakage
from lib.graph.data import acquire_data
from lib.places import Places
from lib.profile import Graph, Profile
from lib.profile.graph import part_of
from lib.studies.features import FeatureNode, open_set
from lib.studies.record import Identity, StudyFolder, open_record
from lib.studies.study import DatasetNote, Group, Input, Record, Study, StudySettings, Work, kind_of


@dataclass(frozen=True)
class ReadyNode:
    """A node whose inputs are here: it can be cut into pieces, or run."""

    name: str
    settings: StudySettings
    inputs: Mapping[str, Input]
    """By role."""
    where: Places
    folder: StudyFolder

    @property
    def profile(self) -> Mapping[str, Any]:
        """The node and what it needs as a profile of its own; paths in it are absolute."""
        return self.folder.identity.profile

    @property
    def study(self) -> Study[Any]:
        return Study(self.name, self.settings, self.inputs, self.folder, self.where)

    def finished(self) -> Record[Any] | None:
        """Its record, if it has been done already, and all that the record speaks of is still there."""
        record, kind = self.folder.finished(), kind_of(self.settings)
        return record if record is not None and kind.intact(self.settings, self.inputs, self.where) else None

    def work(self) -> Work | None:
        """Its work in units, if its kind can cut it and it is not done."""
        return None if self.finished() is not None else kind_of(self.settings).work(self.study)

    def run(self) -> Record[Any]:
        """The record that is there already, or compute, draw and seal: the one way a record comes to be.

        Raises LeakageError when a test image is a training image, and whatever the kind's `compute` raises.
        """
        if record := self.finished():
            return record
        for dataset in {each.dataset.digest: each.dataset for each in self.inputs.values()}.values():
            require_no_leakage(dataset)
        kind, folder = (
            kind_of(self.settings),
            StudyFolder(self.where.studies, self.folder.identity),
        )  # timed from now on
        study = replace(self.study, folder=folder)
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
        dataset.address,
    )


def ready_node(profile: Profile, name: str, where: Places) -> ReadyNode:
    """The node `name` with its inputs: data is acquired, feature sets and records that it needs are opened.

    Raises DataError when data cannot be had, or a study that it needs has no record; FeatureSetError when a feature set
    that it needs is not sealed, or damaged; WeightsError when weights are missing.
    """
    return Opened(profile, where).node(name)


class Opened:
    """The nodes of one profile as they are opened, one after another."""

    def __init__(self, profile: Profile, where: Places) -> None:
        self.profile = profile
        self.graph: Graph = profile.graph
        self.where = where
        self._datasets: dict[str, Dataset] = {}
        self._inputs: dict[str, Input] = {}

    def dataset(self, name: str) -> Dataset:
        if name not in self._datasets:
            self._datasets[name] = acquire_data(self.graph, name, self.where)
        return self._datasets[name]

    def node(self, name: str) -> ReadyNode:
        """A node that makes a record, with its inputs."""
        settings = self.graph[name].study
        inputs = {role: self.input(node.name) for role, node in self.graph.inputs(name).items()}
        kind = kind_of(settings)
        digests = kind.digests(settings, inputs, self.where)
        identity = Identity(kind.name, name, kind.version, kind.decisive(settings), digests, self.part(name))
        return ReadyNode(name, settings, inputs, self.where, StudyFolder(self.where.studies, identity))

    def input(self, name: str) -> Input:
        if name not in self._inputs:
            self._inputs[name] = self._open(name)
        return self._inputs[name]

    def part(self, name: str) -> dict[str, Any]:
        """The node and what it needs as a profile of its own, with absolute paths."""
        sources = {
            node: self.dataset(node).source
            for node in self.graph.with_needs([name])
            if self.graph[node].group is Group.DATA
        }
        return part_of(self.profile, self.graph, [name], sources)

    def _open(self, name: str) -> Input:
        node = self.graph[name]
        if node.group is Group.DATA:
            return Input(name, self.dataset(name))
        if isinstance(node.settings, FeatureNode):
            dataset = self.dataset(node.settings.of)
            return Input(name, dataset, open_set(dataset, node.settings, self.where))
        ready = self.node(name)
        first = next(iter(ready.inputs.values()))
        return Input(name, first.dataset, first.feature_set, open_record(ready.folder.path))
