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
from lib.errors import DataError
from lib.machine import from_home
from lib.places import Places
from lib.profile import Graph
from lib.studies.study import Group, kind_of


def acquire_data(graph: Graph, name: str, where: Places) -> Dataset:
    """The data node `name`, fetched where it is missing. Raises what `lib.datasets.acquire` raises."""
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
    """What nodes need of large images that lie where those of `name` do: data nodes may share them."""
    address = _address(graph, name)
    return [
        shrink
        for node in graph
        if any(graph[need.node].group is Group.DATA and _address(graph, need.node) == address for need in node.needs)
        for shrink in kind_of(node.study).small_copies(node.study)
    ]


def _address(graph: Graph, name: str) -> str | None:
    """Where data lies, however that is written; None of what comes with a package."""
    source: Any = graph[name].settings
    address: str | None = source.address
    return address if address is None or is_url(address) else os.path.abspath(from_home(address))  # noqa: PTH100 - of odd names, too
