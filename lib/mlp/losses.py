"""Softmax with cross-entropy, stable for any finite logits, in place.

Logits of several networks have shape (classes, networks, n), the rows of a mini-batch last: what is reduced over classes
then runs along all networks' rows in memory, however short a mini-batch is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def softmax(logits: Array) -> None:
    """Replace logits, shape (classes, ...), by probabilities. Shifted by each row's maximum: exp can't overflow."""
    np.subtract(logits, logits.max(axis=0), out=logits)
    _normalise(logits)


def _normalise(shifted: Array) -> Array:
    """Replace shifted logits by probabilities; returns the sums of their exponentials, without the first axis."""
    np.exp(shifted, out=shifted)
    totals: Array = shifted.sum(axis=0)
    np.divide(shifted, totals, out=shifted)
    return totals


def softmax_cross_entropy(
    logits: Array, positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Replace logits by probabilities; return each network's summed cross-entropy in nats and its right predictions.

    Parameters
    ----------
    logits : ndarray, C-contiguous, shape (classes, networks, n)
    positions : ndarray of int64, shape (networks, n)
        Where the label's logit of each row is in the flat array (see `label_positions`).

    The loss is log sum exp(z) - z[label], from the shifted logits: log of a probability that rounds to 0 is never taken.
    """
    classes, networks, n = logits.shape
    flat = logits.reshape(classes, networks * n)
    np.subtract(flat, flat.max(axis=0), out=flat)
    picked = logits.reshape(-1).take(positions)
    # A prediction is right where the label's logit is the greatest. Where several are (all zero weights, say), the first
    # counts, as argmax has it; argmax along the first axis is slow, so only networks with a tie or a NaN are asked.
    right = (picked == 0).sum(axis=1)
    if np.count_nonzero(flat == 0) != positions.size or not np.isfinite(picked).all():
        odd = np.count_nonzero(logits == 0, axis=(0, 2)) != n
        right[odd] = (logits[:, odd].argmax(axis=0) == positions[odd] // (networks * n)).sum(axis=1)
    totals = _normalise(flat)
    loss = np.log(totals).reshape(networks, n).sum(axis=1, dtype=np.float64) - picked.sum(axis=1, dtype=np.float64)
    return loss, right


def label_positions(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where in flat logits of shape (classes, networks, n) those of the labels are, shape (networks, n)."""
    positions: npt.NDArray[np.int64] = labels * labels.size + np.arange(labels.size).reshape(labels.shape)
    return positions


def subtract_one(probabilities: Array, positions: npt.NDArray[np.int64]) -> None:
    """Subtract 1 at `positions` of the flat array: probabilities become the loss's derivative by the logits."""
    flat = probabilities.reshape(-1)
    np.put(flat, positions, flat.take(positions) - 1)


def smooth_labels(derivatives: Array, positions: npt.NDArray[np.int64], shares: Array) -> None:
    """Make the loss's derivatives by the logits those of smoothed labels (Szegedy et al. 2016, section 7).

    Parameters
    ----------
    derivatives, positions
        As `subtract_one` leaves them.
    shares : ndarray, shape (networks,)
        What each network takes of a label, and spreads evenly over all classes.
    """
    flat = derivatives.reshape(-1)
    np.put(flat, positions, flat.take(positions) + shares[:, None])
    np.subtract(derivatives, (shares / len(derivatives))[:, None], out=derivatives)


def balanced_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Each class's weight by the inverse of its frequency, as scikit-learn's "balanced": 1 on average over the rows.

    A class without a row has weight 0.
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts, len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)
