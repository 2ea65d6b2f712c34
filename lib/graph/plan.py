"""What a run would do, node by node, without doing it: what is there, what is to do and why, and how long it may take.

Keys are made as the studies themselves make them, so a plan says what the run then finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from lib.backbones.weights import download_words
from lib.datasets import Dataset
from lib.datasets.copies import offline
from lib.graph.check import problems, small_disk
from lib.graph.data import data_on_disk, naming
from lib.graph.estimate import Estimate, estimate
from lib.graph.inputs import ready_node
from lib.graph.outlook import Outlook
from lib.graph.past import PastRecord, past_records, why_to_do
from lib.graph.summary import NAME as RUN
from lib.graph.summary import run_identity
from lib.places import Places, Workers
from lib.profile import Node, Profile
from lib.storage.copies import shown
from lib.studies.features import FeatureNode
from lib.studies.record import StudyFolder
from lib.studies.study import Forecast, Group, Identified, kind_of

_NONE, _NOTHING = Estimate(0.0, ""), Forecast()


class State(StrEnum):
    """Whether a node is there already."""

    CACHED = "cached"
    TO_DO = "to do"
    EACH_RUN = "each run"
    """Done always, and quickly."""


@dataclass(frozen=True)
class PiecePlan:
    """A part of a node's work for one worker: `number` (from 1) of `of`, its units, those missing, its share of the cost."""

    number: int
    of: int
    units: int
    missing: int
    share: float


@dataclass(frozen=True)
class NodePlan:
    """What one node would do."""

    name: str
    kind: str
    """The node, or "promote" or "report"; its kind of study, of data its source."""
    state: State
    told: str
    """Where it is that is cached; why it is to do that is not."""
    key: str | None = None
    """The node's key; None when it has none, or it is not known before other nodes have run."""
    forecast: Forecast = _NOTHING
    """How much there is to do; of a cached node nothing."""
    pieces: tuple[PiecePlan, ...] = ()
    """As workers would share the work, where so many chunks are wanted and the node's inputs are there."""
    estimate: Estimate = _NONE


@dataclass(frozen=True)
class RunPlan:
    """What a run would do: its nodes in their order, then "promote" and "report" where they are part of it."""

    nodes: tuple[NodePlan, ...]

    def __getitem__(self, name: str) -> NodePlan:
        return next(each for each in self.nodes if each.name == name)


def plan_run(profile: Profile, only: Sequence[str] | None, where: Places, workers: Workers) -> RunPlan:
    """The plan of a run of the nodes `only` with what they need, or of everything.

    Nothing is fetched, computed, written or asked of a server. Raises ConfigError for an unknown node, or what a study
    refuses before anything is computed; DataError when data on disk is not what it claims to be, or a record is
    damaged: a run would say so and stop; ProbeflowError for what else a run would refuse, as far as it shows on this
    machine: see `check_graph`.
    """
    return _Planner(profile, where, workers).plan(profile.graph.chosen(only), whole=not only)


class _Planner:
    def __init__(self, profile: Profile, where: Places, workers: Workers) -> None:
        self.profile = profile
        self.graph = profile.graph
        self.where = where.model_copy(update={"mirror": offline(where.mirror)})
        self.workers = workers
        self._plans: dict[str, NodePlan] = {}
        self._records: list[PastRecord] | None = None

    def plan(self, names: Sequence[str], whole: bool) -> RunPlan:
        datasets: dict[str, Dataset | None] = {}
        for name in names:
            if self.graph[name].group is Group.DATA:
                with naming(name):
                    datasets[name] = data_on_disk(self.graph, name, self.where)
        outlook = Outlook(self.profile, datasets, self.where)
        for _, problem in problems(self.profile, names, outlook, here=self.workers.pool is None):
            raise problem
        for name in names:
            node = self.graph[name]
            if node.group is Group.DATA:
                self._plans[name] = _of_data(node, datasets[name])
            else:
                self._plans[name] = self._of_node(node, outlook)
        plans = list(self._plans.values())
        if too_small := small_disk([plan.forecast for plan in plans], self.where):
            raise too_small
        if self.profile.promote in names:
            told = f"the gate holds {self.profile.promote} against the champion there is then"
            plans.append(NodePlan("promote", "", State.EACH_RUN, told))
        if whole:
            plans.append(self._of_run())
        return RunPlan(tuple(plans))

    def records(self, name: str, kind: str) -> list[PastRecord]:
        """Earlier records of a kind, those of this node first."""
        if self._records is None:
            self._records = past_records(self.where.studies)
        alike = [each for each in self._records if each.content.get("kind") == kind]
        return sorted(alike, key=lambda each: each.content.get("name") != name)

    def _of_node(self, node: Node, outlook: Outlook) -> NodePlan:
        settings, kind = node.study, kind_of(node.study)
        identity, folder = outlook.identity(node.name), outlook.folder(node.name)
        if folder is not None and self._is_there(node, folder, outlook):
            return NodePlan(node.name, kind.name, State.CACHED, shown(folder.path), folder.key)
        forecast = kind.forecast(node.name, settings, outlook.inputs(node.name), self.where, folder)
        told = why_to_do(self.where.studies, identity) if identity is not None else self._waits_for(node, outlook)
        return NodePlan(
            node.name,
            kind.name,
            State.TO_DO,
            _begun(told, forecast),
            None if folder is None else folder.key,
            forecast,
            self._pieces(node, folder),
            estimate(forecast, kind.name, self.records(node.name, kind.name)),
        )

    def _is_there(self, node: Node, folder: StudyFolder, outlook: Outlook) -> bool:
        """Whether a run would find the node's record, and what that speaks of."""
        if folder.finished() is None:
            return False
        kind, inputs = kind_of(node.study), outlook.inputs(node.name)
        if self.where.store is None:
            return kind.intact(node.study, cast("Mapping[str, Identified]", inputs), self.where)
        # What is in a store is known by its names: to check it, all of it would have to be brought here.
        return not kind.forecast(node.name, node.study, inputs, self.where, folder).missing

    def _waits_for(self, node: Node, outlook: Outlook) -> str:
        """Why a node's key is not known."""
        absent = [each.data for each in outlook.inputs(node.name).values() if each.dataset is None]
        if absent:
            names = " and ".join(dict.fromkeys(absent))
            return f"{names}: not on this machine yet, so its key is not known"
        waits = [each.name for each in outlook.inputs(node.name).values() if each.digest is None]
        if waits:
            verb = "has" if len(waits) == 1 else "have"
            return f"{' and '.join(waits)} {verb} to be there first; only then its key is known"
        assert isinstance(node.settings, FeatureNode)  # what else waits, waits for a node
        return f"{download_words(node.settings.extraction, self.where.mirror)} first; only then its key is known"

    def _pieces(self, node: Node, folder: StudyFolder | None) -> tuple[PiecePlan, ...]:
        count = self.workers.chunks
        needed = [self._plans[each.node].state for each in node.needs]
        if count is None or folder is None or any(state is not State.CACHED for state in needed):
            return ()
        work = ready_node(self.profile, node.name, self.where).work()
        if work is None:
            return ()
        pieces = work.pieces(count, self.workers.chunk_images)
        total = sum(piece.cost for piece in pieces) or 1
        return tuple(
            PiecePlan(
                piece.number, piece.of, len(piece.positions), len(work.missing(piece.positions)), piece.cost / total
            )
            for piece in pieces
        )

    def _of_run(self) -> NodePlan:
        recorded = [self._plans[node.name] for node in self.graph.recorded]
        keys = {each.name: each.key for each in recorded if each.key is not None}
        forecast = Forecast(amount=1.0)
        time = estimate(forecast, RUN, self.records(RUN, RUN))
        if unknown := [each.name for each in recorded if each.key is None]:
            told = f"the keys of {', '.join(unknown)} are not known before they have run"
            return NodePlan("report", RUN, State.TO_DO, told, forecast=forecast, estimate=time)
        identity = run_identity(self.profile, keys)
        folder = StudyFolder(self.where.studies, identity)
        if folder.finished() is not None:
            return NodePlan("report", RUN, State.CACHED, shown(folder.path), folder.key)
        told = why_to_do(self.where.studies, identity)
        return NodePlan("report", RUN, State.TO_DO, told, folder.key, forecast, estimate=time)


def _of_data(node: Node, dataset: Dataset | None) -> NodePlan:
    if dataset is None:
        return NodePlan(
            node.name, node.kind, State.TO_DO, "not on this machine yet", forecast=Forecast(bytes=None),
            estimate=Estimate(None, "downloads are not estimated"),
        )  # fmt: skip
    rows = ", ".join(f"{len(split):,} {name}" for name, split in dataset.splits.items())
    return NodePlan(node.name, node.kind, State.CACHED, f"{dataset.name} {dataset.digest[:12]}, {rows} rows")


def _begun(told: str, forecast: Forecast) -> str:
    """Why a node is to do; of one that was begun how far it is."""
    if forecast.stored and forecast.stored == forecast.trials and not forecast.searched:
        return f"all {forecast.trials:,} trials are stored; {told}"
    if forecast.stored:
        ahead = f" that are known ahead; {forecast.searched:,} more by search" if forecast.searched else ""
        return f"begun: {forecast.stored:,} of {forecast.trials or 0:,} trials stored{ahead}"
    if forecast.shards and forecast.missing is not None and forecast.missing < forecast.shards:
        if not forecast.missing:
            return f"all {forecast.shards:,} shards are there; {told}"
        return f"begun: {forecast.missing:,} of {forecast.shards:,} shards missing"
    return told
