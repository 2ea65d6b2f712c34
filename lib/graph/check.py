"""Before a run: all data is fetched and verified, and every study says what could only fail later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib.datasets import Dataset, acquire, require_no_leakage
from lib.datasets.shrinking import Shrink
from lib.graph.outlook import Outlook
from lib.places import Places
from lib.profile import Graph, Profile
from lib.reference import claims_named
from lib.studies.study import Group, kind_of


def check_graph(profile: Profile, names: Sequence[str], where: Places) -> dict[str, Dataset]:
    """Acquire the data that the nodes `names` need and refuse what could only fail later; returns the data by node.

    Studies are checked twice: by what shows without data, so that nothing is fetched in vain, and by the data. Weights are
    fetched here as well.

    Raises
    ------
    ConfigError
        Naming a study, its setting and the fix.
    DataError
        When data cannot be had, or is not what it claims to be.
    LeakageError
        When a test image is a training image.
    WeightsError
        When weights are missing.
    """
    graph = profile.graph
    wanted = graph.with_needs(names)
    if profile.claims is not None:
        claims_named(profile.claims)
    _check(profile, wanted, {}, where)
    datasets: dict[str, Dataset] = {}
    for name in wanted:
        if graph[name].group is Group.DATA:
            source: Any = graph[name].settings
            datasets[name] = acquire(source, where.data, where.mirror, _small_copies(graph, name, wanted))
            require_no_leakage(datasets[name])
    _check(profile, wanted, datasets, where)
    return datasets


def _small_copies(graph: Graph, data: str, names: Sequence[str]) -> list[Shrink]:
    """What those of `names` that are on this data need of its large images."""
    studies = [graph[name].study for name in names if graph[name].group is not Group.DATA]
    kinds = [(kind_of(each), each) for each in studies]
    return [
        shrink
        for kind, settings in kinds
        if any(need.node == data for need in kind.needs(settings))
        for shrink in kind.small_copies(settings)
    ]


def _check(profile: Profile, names: Sequence[str], datasets: Mapping[str, Dataset], where: Places) -> None:
    outlook = Outlook(profile, datasets, where, fetch=True)
    for name in names:
        node = profile.graph[name]
        if node.group is not Group.DATA:
            outlook[name]  # fetches weights
            kind_of(node.study).check(name, node.study, outlook.inputs(name))
