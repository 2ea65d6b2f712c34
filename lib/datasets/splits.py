"""Choosing rows to hold out: stratified by class, groups and exact duplicates whole, the same rows for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.datasets.images import Digests, Rows
from lib.errors import DataError
from lib.text import listed

TO_VALIDATE = "to hold one out for validation"
"""What two different training images of each class are needed for, where there is no validation split."""

_NAMED = 5
"""Classes that an error names."""


@dataclass(frozen=True)
class Shortage:
    """A class, by its position in the class names, with fewer different images (or groups of them) than are needed."""

    label: int
    found: int
    needed: int


def different_images(
    labels: Rows,
    classes: int,
    groups: Sequence[object] | Rows | Digests | None = None,
    digests: Digests | None = None,
) -> npt.NDArray[np.int64]:
    """How many different images, or groups that stay together, each class has: shape (classes,). See `hold_out_rows`.

    >>> different_images(np.array([0, 0, 0, 2]), 3, groups=[7, 7, 8, 9]).tolist()
    [2, 0, 1]
    """
    names = _names(labels, groups, digests)
    pairs = np.unique(labels * (names.max(initial=-1) + 1) + names)
    return (
        np.bincount(pairs // (names.max(initial=-1) + 1), minlength=classes) if len(pairs) else np.zeros(classes, int)
    )


def shortages(counts: npt.NDArray[np.int64], needed: int) -> tuple[Shortage, ...]:
    return tuple(Shortage(label, int(counts[label]), needed) for label in np.flatnonzero(counts < needed).tolist())


def too_few(short: Sequence[Shortage], class_names: Sequence[str] | None, where: str, reason: str) -> DataError:
    """An error that names the classes, what they have and what is needed."""
    named = [
        f"{_class(each.label, class_names)} ({each.found:,})" for each in sorted(short, key=lambda each: each.found)
    ]
    needed = f"{short[0].needed} {reason}"
    if list(class_names or ()) == [""]:
        return DataError(f"{where} has too few different images ({short[0].found:,}): it needs {needed}; add some")
    classes = "class" if len(named) == 1 else f"{len(named):,} classes"
    return DataError(
        f"{where} has too few different images of {classes} {listed(named, _NAMED)}: each needs {needed}; add images, "
        "or list the other classes in the setting classes"
    )


def _class(label: int, names: Sequence[str] | None) -> str:
    return str(label) if names is None else repr(names[label])


def hold_out_rows(
    labels: Rows,
    fraction: float,
    seed: int,
    groups: Sequence[object] | Rows | Digests | None = None,
    digests: Digests | None = None,
    class_names: Sequence[str] | None = None,
    where: str = "the data",
) -> tuple[Rows, Rows]:
    """Rows kept and rows held out, both sorted, about `fraction` of each class held out.

    `labels` are int64, shape (n,).
    `groups`: rows of one group stay together.
    `digests` (shape (n,), dtype S16): rows of one digest, exact duplicates, stay together, and with
    them their groups. Where all digests differ, the rows are those chosen without them.
    `class_names`, `where`: how errors call the classes, and what has the rows.

    Raises DataError when a class has too few groups to leave one on each side.

    >>> hold_out_rows(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0)
    (array([0, 1, 3, 4, 5, 6]), array([2, 7]))
    """
    rng = np.random.default_rng(seed)
    names = _names(labels, groups, digests)
    classes = np.unique(labels)
    _require_enough(labels, names, 2, class_names, where, "to hold some out")
    chosen = np.zeros(names.max(initial=-1) + 1, bool)
    for label in classes:
        members = np.flatnonzero(labels == label)
        of_class = rng.permutation(np.unique(names[members]))
        wanted = fraction * len(members)
        sizes = np.cumsum(np.bincount(names[members], minlength=len(chosen))[of_class])
        count = int(np.clip(1 + np.argmin(np.abs(sizes - wanted)), 1, len(of_class) - 1))
        chosen[of_class[:count]] = True
    held = chosen[names]
    for label in classes:
        if held[labels == label].all():  # by groups that other classes share
            raise DataError(
                f"class {_class(label, class_names)} would be held out whole: all its groups also hold images of other "
                f"classes; check {where} for images that lie in several classes, or add images"
            )
    return np.flatnonzero(~held), np.flatnonzero(held)


def all_folds(
    labels: Rows,
    folds: int,
    groups: Sequence[object] | Rows | Digests | None = None,
    digests: Digests | None = None,
    class_names: Sequence[str] | None = None,
    where: str = "the data",
) -> list[tuple[Rows, Rows]]:
    """Rows kept and rows held out of each of stratified folds, both sorted; see `hold_out_rows`.

    Raises DataError when a class has fewer groups than there are folds.

    >>> all_folds(np.array([0, 0, 1, 1]), 2)[1]
    (array([1, 3]), array([0, 2]))
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names = _names(labels, groups, digests)
    _require_enough(labels, names, folds, class_names, where, f"to be in each of {folds} folds")
    divided = StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(labels, labels, names)
    return [(np.sort(kept), np.sort(held)) for kept, held in divided]


def hold_out_where_possible(
    labels: Rows,
    fraction: float,
    seed: int,
    groups: Sequence[object] | Rows | Digests | None = None,
    digests: Digests | None = None,
) -> Rows:
    """Rows held out as `hold_out_rows` does, sorted, of those classes alone that leave some on each side.

    >>> hold_out_where_possible(np.array([0, 0, 0, 0, 1]), 0.25, seed=0)
    array([2])
    """
    names = _names(labels, groups, digests)
    able = np.arange(len(labels))
    while len(able):
        counts = different_images(labels[able], labels.max() + 1, names[able])
        alone = names[able][counts[labels[able]] < 2]
        if not len(alone):
            break
        able = able[~np.isin(names[able], alone)]  # with the rows of other classes that are in these groups
    try:
        return able[hold_out_rows(labels[able], fraction, seed, names[able])[1]]
    except DataError:  # groups that hold images of several classes cannot be parted
        return able[:0]


def _require_enough(
    labels: Rows, names: Rows, needed: int, class_names: Sequence[str] | None, where: str, reason: str
) -> None:
    """Raise DataError for classes that occur and have fewer than `needed` groups of these `names`."""
    counts = different_images(labels, labels.max(initial=-1) + 1, names)
    if short := [each for each in shortages(counts, needed) if each.found]:
        raise too_few(short, class_names, where, reason)


def _names(labels: Rows, groups: Sequence[object] | Rows | Digests | None, digests: Digests | None) -> Rows:
    """The group of each row, numbered from 0."""
    names = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    return names if digests is None else _merged(names, np.unique(digests, return_inverse=True)[1])


def _merged(names: Rows, keys: Rows) -> Rows:
    """Groups (n,) from 0, those that share a key, also through others, made one, in the order of their smallest number."""
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
