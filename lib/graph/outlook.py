"""What is known of nodes before anything is computed: which data is here, which splits it has, digests and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lib.datasets import Dataset, splits_ahead
from lib.datasets.copies import offline
from lib.errors import WeightsError
from lib.graph.data import naming
from lib.places import Places
from lib.profile import Profile
from lib.profile.graph import part_of
from lib.studies.features import FeatureNode
from lib.studies.record import Identity, StudyFolder
from lib.studies.study import Ahead, Group, Identified, kind_of


class Outlook:
    """The nodes of a profile as they show before a run.

    `datasets`: of data nodes; None, or no entry, while data is not on this machine. `fetch`: whether weights are
    fetched, for which digests ask, and missing ones are an error; else nothing is fetched.
    """

    def __init__(
        self, profile: Profile, datasets: Mapping[str, Dataset | None], where: Places, *, fetch: bool = False
    ) -> None:
        self.profile = profile
        self.graph = profile.graph
        self.where = where if fetch else where.model_copy(update={"mirror": offline(where.mirror)})
        self._fetch = fetch
        self._datasets = datasets
        self._known: dict[str, Ahead] = {}
        self._identities: dict[str, Identity | None] = {}
        self._done: dict[str, bool] = {}

    def __getitem__(self, name: str) -> Ahead:
        if name not in self._known:
            self._known[name] = self._look(name)
        return self._known[name]

    def inputs(self, name: str) -> dict[str, Ahead]:
        return {role: self[node.name] for role, node in self.graph.inputs(name).items()}

    def identity(self, name: str) -> Identity | None:
        """What decides a node's record; None while a digest is not known."""
        if name not in self._identities:
            self._identities[name] = self._identify(name)
        return self._identities[name]

    def folder(self, name: str) -> StudyFolder | None:
        """Where a node's record lies, or will; None while its key is not known."""
        identity = self.identity(name)
        return None if identity is None else StudyFolder(self.where.studies, identity)

    def is_done(self, name: str) -> bool:
        """Whether a node has a record, which is not damaged; what it speaks of outside its folder is not read."""
        if name not in self._done:
            folder = self.folder(name)
            self._done[name] = folder is not None and folder.finished() is not None
        return self._done[name]

    def _look(self, name: str) -> Ahead:
        node = self.graph[name]
        if node.group is Group.DATA:
            dataset = self._datasets.get(name)
            source: Any = node.settings
            if dataset is not None:
                return Ahead(name, name, dataset, tuple(dataset.splits), digest=dataset.digest, source=source)
            with naming(name):
                splits = splits_ahead(source, self.where.data, self.where.mirror)
            return Ahead(name, name, None, splits, source=source)
        root = self[self.graph.data_of(name).name]
        identity = self.identity(name)
        if isinstance(node.settings, FeatureNode):
            digest = None if identity is None else next(iter(identity.digests.values()))
            features = node.settings.extraction
            return Ahead(name, root.name, root.dataset, root.splits, features, digest, node.study)
        first = next(iter(self.inputs(name).values()))
        key = None if identity is None else StudyFolder(self.where.studies, identity).key
        return Ahead(name, root.name, root.dataset, root.splits, first.features, key, node.study)

    def _identify(self, name: str) -> Identity | None:
        settings = self.graph[name].study
        inputs = self.inputs(name)
        if any(each.dataset is None or each.digest is None for each in inputs.values()):
            return None
        kind = kind_of(settings)
        try:
            digests = kind.digests(settings, cast("Mapping[str, Identified]", inputs), self.where)
        except WeightsError:
            if self._fetch:
                raise
            return None
        sources = {node: found.source for node, found in self._datasets.items() if found is not None}
        part = part_of(self.profile, self.graph, [name], sources)
        return Identity(kind.name, name, kind.version, kind.decisive(settings), digests, part)
