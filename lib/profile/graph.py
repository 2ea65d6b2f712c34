"""The nodes of a profile, what each needs, and the order in which they run: checked once, walked by everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import BaseModel

from lib.errors import ConfigError
from lib.studies.study import Group, Need, StudySettings, kind_of

RESERVED = ("pipeline", "promote", "report")
"""Names that no node may have: what a run does beside its nodes."""


@dataclass(frozen=True)
class Node:
    """A node: its name, the group it stands in, its settings, and the nodes it needs."""

    name: str
    group: Group
    settings: BaseModel
    needs: tuple[Need, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of study; of data its source."""
        return str(getattr(self.settings, "kind", getattr(self.settings, "source", "")))

    @property
    def study(self) -> StudySettings:
        """The settings of a node that makes a record: a feature set or a study."""
        assert isinstance(self.settings, StudySettings)
        return self.settings


@dataclass(frozen=True)
class Graph:
    """The nodes of a profile in the order in which they run."""

    nodes: Mapping[str, Node]
    promoted: str | None = None

    @classmethod
    def of(cls, groups: Mapping[Group, Mapping[str, Any]], promoted: str | None) -> Graph:
        """The graph of a profile's groups of nodes.

        Raises ValueError for a name that is given twice or reserved, an unknown or unsuitable node, or a circle: in one
        line that names the node and the fix.
        """
        found: dict[str, Node] = {}
        for group, members in groups.items():
            for name, settings in members.items():
                if name in found:
                    raise ValueError(
                        f"{group}.{name}: {found[name].group}.{name} has that name already; a node's name is its own in "
                        "the whole profile, so rename one"
                    )
                if name in RESERVED:
                    raise ValueError(
                        f"{group}.{name}: {name!r} names what a run does itself; give the node another name"
                    )
                needs = () if group is Group.DATA else kind_of(settings).needs(settings)
                found[name] = Node(name, group, settings, tuple(needs))
        for node in found.values():
            for need in node.needs:
                _require_suitable(node, need, found)
        order = _ordered(found)
        graph = cls({name: found[name] for name in order}, promoted)
        if promoted is not None:
            graph._require_promotable(promoted)
        return graph

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def group(self, group: Group) -> list[Node]:
        """The nodes of one group, in order."""
        return [node for node in self if node.group is group]

    @property
    def recorded(self) -> list[Node]:
        """The nodes that make a record, in order: feature sets and studies."""
        return [node for node in self if node.group is not Group.DATA]

    def inputs(self, name: str) -> dict[str, Node]:
        """What a node needs, by role."""
        return {need.role: self.nodes[need.node] for need in self.nodes[name].needs}

    def with_needs(self, names: Iterable[str]) -> list[str]:
        """These nodes and all that they need, in order."""
        wanted, left = set(), list(names)
        while left:
            name = left.pop()
            if name not in wanted:
                wanted.add(name)
                left += [need.node for need in self.nodes[name].needs]
        return [name for name in self.nodes if name in wanted]

    def data_of(self, name: str) -> Node:
        """The data node at the root of a node's first input; of data the node itself."""
        node = self.nodes[name]
        while node.group is not Group.DATA:
            node = self.nodes[node.needs[0].node]
        return node

    def chosen(self, only: Iterable[str] | None) -> list[str]:
        """What a run of these nodes is to do, in order: nodes with what they need, everything when there are none.

        A group's name stands for its nodes, a kind's for the studies of it; "promote" for the study that is promoted.
        Raises ConfigError for an unknown name.
        """
        wanted: list[str] = []
        for name in only or self.nodes:
            of_group = [node.name for node in self if name in (node.group.value, node.kind) and node.name != name]
            if name in self.nodes:
                wanted.append(name)
            elif name == "promote" and self.promoted is not None:
                wanted.append(self.promoted)
            elif of_group or name in [group.value for group in Group]:
                wanted += of_group
            else:
                raise ConfigError(
                    f"unknown node {name!r}; known: {', '.join(self.nodes)}; or a group: data, features, studies"
                )
        return self.with_needs(wanted)

    def _require_promotable(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None or node.group is not Group.STUDIES:
            known = ", ".join(each.name for each in self.group(Group.STUDIES)) or "none"
            raise ValueError(f"promote: there is no study {name!r}; studies: {known}")
        if not getattr(node.settings, "test", False):
            raise ValueError(
                f"promote: study {name!r} does not test its winners; set studies.{name}.test to true, or promote another"
            )


def part_of(profile: BaseModel, graph: Graph, names: Iterable[str], sources: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a profile that the nodes `names` and what they need form, as JSON; a profile of its own.

    `sources`: settings of data nodes as they were acquired, with absolute paths; of others the profile's are taken.
    """
    content = profile.model_dump(mode="json")
    wanted = set(graph.with_needs(names))
    part: dict[str, Any] = {"name": content["name"]}
    for group in Group:
        part[group.value] = {name: value for name, value in content[group.value].items() if name in wanted}
    part["data"] |= {name: source for name, source in sources.items() if name in wanted}
    return part


def _require_suitable(node: Node, need: Need, found: Mapping[str, Node]) -> None:
    where = f"{node.group}.{node.name}.{need.setting}"
    kinds = f" of kind {', '.join(need.kinds)}" if need.kinds else ""
    groups = " or ".join(f"{group}{kinds if group is Group.STUDIES else ''}" for group in need.groups)
    suitable = [
        each.name
        for each in found.values()
        if each.group in need.groups
        and each.name != node.name
        and (each.group is not Group.STUDIES or not need.kinds or each.kind in need.kinds)
    ]
    known = f"nodes of {groups}: {', '.join(suitable) or 'none'}"
    other = found.get(need.node)
    if other is None:
        raise ValueError(f"{where}: there is no node {need.node!r}; {known}")
    if other.name not in suitable and other.name != node.name:
        what = f"{other.group}.{other.name}" + (f" of kind {other.kind}" if other.group is Group.STUDIES else "")
        raise ValueError(f"{where}: {need.node!r} is {what}, which cannot stand there; {known}")


def _ordered(found: Mapping[str, Node]) -> list[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter(
        {name: [need.node for need in node.needs] for name, node in found.items()}
    )
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        raise ValueError(f"studies: {circle}: a circle; let one of them be on something else") from None
    # Among what may run at any time, the profile's own order is kept.
    rank = {name: _depth(name, found) for name in order}
    return sorted(found, key=lambda name: (rank[name], list(found).index(name)))


def _depth(name: str, found: Mapping[str, Node]) -> int:
    return max((1 + _depth(need.node, found) for need in found[name].needs), default=0)
