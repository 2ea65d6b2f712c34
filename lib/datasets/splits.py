"""Choosing rows to hold out: stratified by class, groups and exact duplicates whole, the same rows for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.datasets.images import Digests, Rows
from lib.errors import DataError


def hold_out_rows(
    labels: Rows,
    fraction: float,
    seed: int,
    groups: Sequence[object] | Rows | Digests | None = None,
    digests: Digests | None = None,
) -> tuple[Rows, Rows]:
    """Rows kept and rows held out, both sorted, about `fraction` of each class held out.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
    groups : sequence of n hashable values, optional
        Rows of one group stay together.
    digests : ndarray, shape (n,), dtype S16, optional
        Rows of one digest, exact duplicates, stay together, and with them their groups. Where all digests differ, the
        rows are those chosen without them.

    Raises
    ------
    DataError
        When a class has too few groups to leave one on each side.

    Examples
    --------
    >>> hold_out_rows(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    (array([0, 1, 3, 4, 5, 6]), array([2, 7]))
    """
    rng = np.random.default_rng(seed)
    names = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if digests is not None:
        names = _merged(names, np.unique(digests, return_inverse=True)[1])
    chosen = np.zeros(names.max(initial=-1) + 1, bool)
    classes = np.unique(labels)
    for label in classes:
        members = np.flatnonzero(labels == label)
        of_class = rng.permutation(np.unique(names[members]))
        if len(of_class) < 2:
            raise DataError(
                f"class {label} has too few images or groups ({len(of_class)}) to hold some out; add images"
            )
        wanted = fraction * len(members)
        sizes = np.cumsum(np.bincount(names[members], minlength=len(chosen))[of_class])
        count = int(np.clip(1 + np.argmin(np.abs(sizes - wanted)), 1, len(of_class) - 1))
        chosen[of_class[:count]] = True
    held = chosen[names]
    for label in classes:
        if held[labels == label].all():  # by groups that other classes share
            raise DataError(
                f"class {label} would be held out whole: all its groups also hold images of other classes; "
                "check for images that lie in several classes, or add images"
            )
    return np.flatnonzero(~held), np.flatnonzero(held)


def _merged(names: Rows, keys: Rows) -> Rows:
    """Groups numbered from 0, shape (n,), with those made one that share a key, directly or through others.

    They keep the order of their smallest number, so that without a shared key nothing changes.
    """
    groups, distinct = names.max(initial=-1) + 1, keys.max(initial=-1) + 1
    if distinct == len(keys):
        return names
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes = groups + distinct  # a graph of groups and keys, with an edge for each row
    edges = coo_array((np.ones(len(names), np.int8), (names, groups + keys)), shape=(nodes, nodes))
    components = connected_components(edges, directed=False)[1]
    first, merged = np.unique(components[:groups], return_index=True, return_inverse=True)[1:]
    return np.asarray(np.argsort(np.argsort(first))[merged][names], np.int64)
