"""Before a run: all data is fetched and verified, and what could only fail later is refused now."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.datasets import Dataset, require_no_leakage
from lib.errors import ProbeflowError, StorageError
from lib.graph.data import acquire_data, naming
from lib.graph.outlook import Outlook
from lib.graph.preflight import NodeAhead, Preflight
from lib.places import Places
from lib.profile import Profile
from lib.reference import claims_named
from lib.studies.study import Forecast, Group, kind_of

_LITTLE = 100e6
"""Bytes of figures, tables and records beside what a forecast counts."""


def check_settings(profile: Profile, names: Sequence[str], where: Places) -> None:
    """Refuse what shows without data in the nodes `names` and what they need: in a moment, and nothing is fetched.

    Raises ConfigError, naming a study, its setting and the fix; DataError when a folder on this machine is not laid out
    as a dataset.
    """
    if profile.claims is not None:
        claims_named(profile.claims)
    for _, problem in problems(profile, names, Outlook(profile, {}, where)):
        raise problem


def check_graph(profile: Profile, names: Sequence[str], where: Places, *, here: bool = True) -> Preflight:
    """Acquire the data that the nodes `names` need and refuse what could only fail later; returns what there is to do.

    Studies are checked twice: by what shows without data, so that nothing is fetched in vain, and by the data. Weights
    are fetched here as well. Raises ConfigError, naming a study, its setting and the fix; DataError when data cannot be
    had, or is not what it claims to be; LeakageError when a test image is a training image; StorageError when the disk
    is too small; WeightsError when weights are missing, or lack what a layer needs.

    `here`: whether this process computes; else the workers of a pool do, each with a device and memory of its own.
    """
    check_settings(profile, names, where)
    graph = profile.graph
    wanted = graph.with_needs(names)
    datasets: dict[str, Dataset] = {}
    for name in wanted:
        if graph[name].group is Group.DATA:
            with naming(name):
                datasets[name] = acquire_data(graph, name, where)
                require_no_leakage(datasets[name])
    outlook = Outlook(profile, datasets, where, fetch=True)
    for _, problem in problems(profile, names, outlook, here=here):
        raise problem
    nodes = tuple(look_ahead(profile, names, outlook))
    if too_small := small_disk([node.forecast for node in nodes if node.forecast is not None], where):
        raise too_small
    return Preflight({name: dataset.understood for name, dataset in datasets.items()}, nodes)


def problems(
    profile: Profile, names: Sequence[str], outlook: Outlook, *, here: bool = True
) -> Iterator[tuple[str, ProbeflowError]]:
    """Why nodes could not be computed, each by its name: what they lack in their inputs or, if not done, on this machine.

    Nodes that need such a node are not looked at.
    """
    graph = profile.graph
    lacking: set[str] = set()
    for name in graph.with_needs(names):
        if graph[name].group is Group.DATA:
            continue
        if any(need.node in lacking for need in graph[name].needs):
            lacking.add(name)
            continue
        settings = graph[name].study
        try:
            inputs = outlook.inputs(name)
            outlook[name]  # fetches weights
            kind_of(settings).check(name, settings, inputs)
            if all(each.dataset is not None for each in inputs.values()) and not outlook.is_done(name):
                kind_of(settings).require_means(name, settings, inputs, outlook.where, here)
        except ProbeflowError as problem:
            lacking.add(name)
            yield name, problem


def look_ahead(profile: Profile, names: Sequence[str], outlook: Outlook) -> Iterator[NodeAhead]:
    """What each node that makes a record would do."""
    graph = profile.graph
    for name in graph.with_needs(names):
        if graph[name].group is Group.DATA:
            continue
        settings, folder = graph[name].study, outlook.folder(name)
        forecast = None
        if not outlook.is_done(name):
            forecast = kind_of(settings).forecast(name, settings, outlook.inputs(name), outlook.where, folder)
        yield NodeAhead(name, graph[name].kind, forecast)


def small_disk(forecasts: Sequence[Forecast], where: Places) -> StorageError | None:
    """An error where the disk has not the room for what is to be written, as far as that is known."""
    needed = sum(each.bytes or 0 for each in forecasts)
    free = free_bytes(where.data)
    if not needed or needed + _LITTLE <= free:
        return None
    return StorageError(
        f"this run writes about {_size(needed + _LITTLE)} into {where.data}, whose disk has {_size(free)} free: make room, or "
        "point PROBEFLOW_DATA elsewhere"
    )


def free_bytes(folder: Path) -> int:
    """Free bytes of the disk that a folder lies on, or will."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
