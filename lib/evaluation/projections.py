"""Rows in fewer dimensions: pictures in two, by scikit-learn's PCA and openTSNE, and random projections that keep distances."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lib.errors import ConfigError
from lib.progress import Advance, silent

EXAGGERATION = 250
"""Steps of early exaggeration, which all of t-SNE's steps begin with."""
_TOLD = 10
"""Steps between signs of progress."""


def sample_by_class(labels: npt.NDArray[np.int64], size: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Row indices (sorted) of a stratified sample of `size` rows; all rows when `size` is None or not smaller.

    Each class gets its share, rounded so that the classes add up (largest remainders), and at least one row if
    `size` allows it.
    """
    if size is None or size >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * size / len(labels)
    wanted = np.floor(shares).astype(np.int64)
    if size >= len(classes):
        wanted = np.maximum(wanted, 1)
    while (missing := size - wanted.sum()) != 0:
        wanted[np.argmax(shares - wanted) if missing > 0 else np.argmax(wanted)] += np.sign(missing)
    chosen = [
        rng.choice(np.flatnonzero(labels == label), size=count, replace=False)
        for label, count in zip(classes, wanted, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def random_directions(width: int, count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """A Gaussian matrix, shape (width, count): rows times it have the rows' distances, with a relative standard error of
    1 / sqrt(2 count) (Johnson and Lindenstrauss 1984)."""
    directions = np.random.default_rng(seed).standard_normal((width, count), np.float32)
    directions /= np.float32(np.sqrt(count))
    return directions


def principal_components(
    rows: npt.NDArray[np.floating], count: int, seed: int = 0
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """First two principal components, shape (n, 2), and the share of variance of each of the first `count`, or fewer.

    Rows that are all alike have no components: their shares are 0.
    """
    from sklearn.decomposition import PCA

    count = min(count, *rows.shape)
    points, shares = np.zeros((len(rows), 2), rows.dtype), np.zeros(count)
    if len(rows) > 1 and (rows != rows[0]).any():
        model = PCA(n_components=count, random_state=seed)
        found = model.fit_transform(rows)[:, :2]
        points[:, : found.shape[1]] = found
        shares = model.explained_variance_ratio_
    return points, shares


def tsne(
    rows: npt.NDArray[np.floating], perplexity: float, iterations: int, seed: int, advance: Advance = silent
) -> tuple[npt.NDArray[np.floating], float]:
    """t-SNE points, shape (n, 2), and the final Kullback-Leibler divergence (van der Maaten and Hinton 2008), by openTSNE.

    `iterations` has EXAGGERATION steps of early exaggeration, and more.

    Raises ConfigError when perplexity is above the number of other rows.
    """
    from openTSNE import TSNE

    if perplexity > len(rows) - 1:
        raise ConfigError(f"perplexity {perplexity:g} must be below the {len(rows)} rows; lower it or raise the sample")

    def told(iteration: int, divergence: float, points: object) -> None:
        advance(_TOLD)

    # Rows of one value or all alike have no two principal components to begin at.
    begin = "pca" if rows.shape[1] > 1 and (rows != rows[0]).any() else "random"
    model = TSNE(
        perplexity=perplexity,
        early_exaggeration_iter=EXAGGERATION,
        n_iter=iterations - EXAGGERATION,
        initialization=begin,
        random_state=seed,
        n_jobs=1,  # with more, points depend on how many; and on a busy machine its threads wait for each other
        callbacks=[told],
        callbacks_every_iters=_TOLD,
    )
    embedding = model.fit(rows)
    return np.asarray(embedding), float(embedding.kl_divergence)
