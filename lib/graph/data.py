"""A profile's data: acquired with small copies of its large images for every node that is on it.

Whoever verifies images first keeps them, be it a run, its plan or the worker of a pool, so that none decodes a photo twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.datasets import Dataset, acquire, on_disk
from lib.datasets.places import is_url
from lib.datasets.shrinking import Shrink
from lib.datasets.sources import EncodedSource
from lib.errors import DataError
from lib.machine import from_home
from lib.places import Places
from lib.profile import Graph
from lib.studies.study import Group, kind_of


def acquire_data(graph: Graph, name: str, where: Places) -> Dataset:
    """The data node `name`, fetched where it is missing, with copies for every node of the graph, wanted now or not.

    Raises what `lib.datasets.acquire` raises.
    """
    source: Any = graph[name].settings
    return acquire(source, where.data, where.mirror, _small_copies(graph, name))


def data_on_disk(graph: Graph, name: str, where: Places) -> Dataset | None:
    """The same if nothing of it has to be fetched, else None. Raises what `lib.datasets.acquire` raises, for bad data."""
    source: Any = graph[name].settings
    return on_disk(source, where.data, where.mirror, _small_copies(graph, name))


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Have an error of data name the node."""
    try:
        yield
    except DataError as problem:
        raise type(problem)(f"data.{name}: {problem}") from None


def _small_copies(graph: Graph, name: str) -> list[Shrink]:
    """What any node of the graph needs of large images that share their catalogue with those of `name`."""
    if (shared := _catalogue(graph, name)) is None:
        return []
    return [
        shrink
        for node in graph
        if any(graph[need.node].group is Group.DATA and _catalogue(graph, need.node) == shared for need in node.needs)
        for shrink in kind_of(node.study).small_copies(node.study)
    ]


def _catalogue(graph: Graph, name: str) -> tuple[str, str] | None:
    """Where encoded images lie, however that is written, and how they are decoded; None of what is not encoded."""
    source: Any = graph[name].settings
    if not isinstance(source, EncodedSource):
        return None
    path = source.path
    return path if is_url(path) else os.path.abspath(from_home(path)), source.decoder.settings  # noqa: PTH100 - of odd names, too
