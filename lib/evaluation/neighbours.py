"""Nearest neighbours among many rows, a block of products at a time, and which rows they show to be near duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lib.progress import Advance, silent

Rows = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

_PRODUCTS = 1 << 24
"""Products of rows in memory at once (4 bytes each, in a few copies)."""
_AT_ONCE = 512
"""Rows whose distances to their neighbours are computed at once."""


def nearest(
    X: Rows,
    rows: Rows,
    k: int,
    metrics: Sequence[str],
    hidden: Positions | None = None,
    advance: Advance = silent,
) -> dict[str, tuple[Positions, Rows]]:
    """By each metric: positions in `X` of the `k` nearest to each of `rows`, nearest first, and their similarities.

    Both have shape (n, k). `hidden` are positions that are nobody's neighbours. All metrics are of one product of matrices,
    a block of rows at a time.
    """
    found = {metric: (np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)) for metric in metrics}
    squares = np.einsum("nf,nf->n", X, X)
    lengths = np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    block = max(1, _PRODUCTS // len(X))
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        products = rows[part] @ X.T
        own = np.sqrt(np.maximum(np.einsum("nf,nf->n", rows[part], rows[part]), np.finfo(np.float32).tiny))
        for metric in metrics:
            # Of a row, Euclidean distances to all others are the greater, the lower these are.
            near = products / lengths / own[:, None] if metric == "cosine" else products - squares / 2
            if hidden is not None:
                near[:, hidden] = -np.inf
            best = np.argpartition(near, -k, axis=1)[:, -k:]
            similarity = np.take_along_axis(near, best, axis=1)
            order = np.argsort(-similarity, axis=1, kind="stable")
            found[metric][0][part] = np.take_along_axis(best, order, axis=1)
            found[metric][1][part] = np.take_along_axis(similarity, order, axis=1)
        advance(len(products))
    return found


def unit_length(X: Rows) -> Rows:
    """The rows with length 1 (one of zeros stays), in place: then distances are those of cosines."""
    X /= np.maximum(np.sqrt(np.einsum("nf,nf->n", X, X)), np.finfo(np.float32).tiny)[:, None]
    return X


def neighbours(X: Rows, k: int, advance: Advance = silent) -> tuple[Positions, Rows]:
    """Each row's `k` nearest other rows by Euclidean distance, nearest first: positions and distances, shape (n, k) each.

    Of fewer rows all others are neighbours.

    >>> neighbours(np.array([[0], [1], [3]], np.float32), 1)
    (array([[1],
           [0],
           [1]]), array([[1.],
           [1.],
           [2.]], dtype=float32))
    """
    k = min(k, len(X) - 1)
    if k == 0:
        return np.empty((len(X), 0), np.int64), np.empty((len(X), 0), np.float32)
    near, _ = nearest(X, X, k + 1, ("euclidean",), advance=advance)["euclidean"]
    others = near != np.arange(len(X))[:, None]
    others[others.all(axis=1), -1] = False  # which more than k equal rows have pushed out
    positions = near[others].reshape(-1, k)
    distances = np.empty(positions.shape, np.float32)
    for start in range(0, len(X), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # Not of the products: of a small distance they leave only rounding.
        away = np.linalg.norm(X[positions[part]] - X[part][:, None], axis=2)
        order = np.argsort(away, axis=1, kind="stable")
        positions[part] = np.take_along_axis(positions[part], order, axis=1)
        distances[part] = np.take_along_axis(away, order, axis=1)
    return positions, distances


def rare_share(distances: Rows, share: float) -> float:
    """The ratio of the distances to the nearest and the k-th neighbour that so few rows lie below by chance; 0 of few rows.

    Where rows lie with a locally even density in m dimensions, the m-th power of the ratio is the least of k - 1 uniform
    numbers; m is estimated as Levina and Bickel (2004) do, by the median row.
    """
    k = distances.shape[1]
    if k < 3:
        return 0.0
    tiny = np.finfo(np.float32).tiny
    logs = np.log(np.maximum(distances[:, -1:], tiny) / np.maximum(distances[:, :-1], tiny))
    return float((1 - (1 - share) ** (1 / (k - 1))) ** np.median(logs.mean(axis=1)))


def near_duplicates(
    positions: Positions, distances: Rows, within: float, splits: Positions, groups: Positions | None = None
) -> tuple[Positions, Positions, Rows]:
    """Rows that could be left out, so that none has a near duplicate: all but the first of each cluster.

    A neighbour is a near duplicate within so many times the distance to the last neighbour, for which half the median of
    all rows stands where that is more: a row may have more copies than neighbours are known of.

    Parameters
    ----------
    positions, distances : see `neighbours`
    splits : ndarray of int64, shape (n,)
        A number for the split that each row is of.
    groups : ndarray of int64, shape (n,), optional
        Rows of one group are known to belong together, and are nobody's duplicates.

    Returns
    -------
    rows, others, distances : ndarray, shape (m,) each
        Rows, rising, and for each the nearest of its duplicates, one of another split if there is any.

    >>> near, away = neighbours(np.array([[0], [1], [9]], np.float32), 2)
    >>> near_duplicates(near, away, 0.2, np.zeros(3, np.int64))[:2]
    (array([1]), array([0]))
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    last = distances[:, -1:] if distances.shape[1] else np.zeros((len(distances), 1), np.float32)
    rows, places = np.nonzero(distances <= within * np.maximum(last, np.median(last) / 2))
    others, away = positions[rows, places], distances[rows, places]
    if groups is not None:
        parted = groups[rows] != groups[others]
        rows, others, away = rows[parted], others[parted], away[parted]
    edges = coo_array((np.ones(len(rows), np.int8), (rows, others)), shape=(len(positions), len(positions)))
    clusters = connected_components(edges, directed=False)[1]
    rows, others, away = np.r_[rows, others], np.r_[others, rows], np.r_[away, away]
    order = np.lexsort((others, away, splits[rows] == splits[others], rows))
    found, at = np.unique(rows[order], return_index=True)
    first = np.unique(clusters, return_index=True)[1]
    later = ~np.isin(found, first)
    chosen = order[at[later]]
    return found[later], others[chosen], away[chosen]


def inner_fence(values: npt.NDArray[np.floating]) -> float:
    """Tukey's inner fence (1977): of normal values 0.35 % lie above it.

    >>> inner_fence(np.arange(5.0))
    6.0
    """
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high + 1.5 * (high - low))
