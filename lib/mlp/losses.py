"""Softmax with cross-entropy, stable for any finite logits, in place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def softmax(logits: Array) -> None:
    """Replace logits, shape (rows, classes), by probabilities. Shifted by the row maximum, so exp cannot overflow."""
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits)
    np.exp(logits, out=logits)
    np.divide(logits, logits.sum(axis=1, keepdims=True), out=logits)


def softmax_cross_entropy(
    logits: Array, labels: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> tuple[float, int]:
    """Replace logits by probabilities; return the summed cross-entropy in nats and the number of right predictions.

    Parameters
    ----------
    logits : ndarray, shape (n, classes)
    labels : ndarray of int64, shape (n,)
    rows : ndarray of int64, shape (n,)
        0..n-1, passed in so that it is not made anew for every mini-batch.

    The loss is log sum exp(z) - z[label], from the shifted logits: log of a probability that rounds to 0 is never taken.
    """
    right = int(np.count_nonzero(logits.argmax(axis=1) == labels))
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits)
    picked = logits[rows, labels]
    np.exp(logits, out=logits)
    totals = logits.sum(axis=1, keepdims=True)
    loss = float(np.log(totals, dtype=np.float64).sum()) - float(picked.sum(dtype=np.float64))
    np.divide(logits, totals, out=logits)
    return loss, right


def stacked_softmax_cross_entropy(
    logits: Array, positions: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The same for many networks at once: summed cross-entropy in nats and right predictions of each.

    Parameters
    ----------
    logits : ndarray, C-contiguous, shape (networks, classes, n)
        Replaced by probabilities.
    positions : ndarray of int64, shape (networks, n)
        Where the label's logit of each row is in the flat array.
    """
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits)
    picked = logits.reshape(-1).take(positions)
    # A prediction is right where the label's logit is the greatest. Where several are (all zero weights, say), the first
    # counts, as argmax has it; argmax along a middle axis is slow, so it runs only if there is a tie or a NaN.
    if np.count_nonzero(logits) == logits.size - positions.size and np.isfinite(picked).all():
        right = np.count_nonzero(picked == 0, axis=1)
    else:
        classes, n = logits.shape[1:]
        right = np.count_nonzero(logits.argmax(axis=1) == positions // n % classes, axis=1)
    np.exp(logits, out=logits)
    totals = logits.sum(axis=1, keepdims=True)
    loss = np.log(totals).sum(axis=(1, 2), dtype=np.float64) - picked.sum(axis=1, dtype=np.float64)
    np.divide(logits, totals, out=logits)
    return loss, right
