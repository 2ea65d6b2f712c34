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
