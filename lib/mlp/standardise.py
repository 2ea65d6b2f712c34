"""Standardisation by training rows only, and folding it into a network so that the network takes raw rows.

Rows may be as many and as wide as memory holds once: nothing here makes a second copy of them unless asked to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from lib.mlp.estimator import MLPClassifier

_PIECE = 1 << 22
"""Bytes of float64 that are worked on at once."""


@dataclass(frozen=True)
class Standardiser:
    """Each feature's mean and standard deviation over the rows it was fitted on; float64, shape (features,)."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, X: npt.NDArray[np.floating]) -> Standardiser:
        """Measure the rows of X, shape (n, features). A constant feature keeps scale 1."""
        mean = X.mean(axis=0, dtype=np.float64)
        # NumPy keeps every deviation while it sums their squares, so a few features are measured at a time.
        scale = np.concatenate([X[:, part].std(axis=0, dtype=np.float64) for part in _columns(*X.shape)])
        # A feature that varies by rounding alone counts as constant: dividing by that would make noise of it.
        constant = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
        return cls(mean, np.where(constant, 1.0, scale))

    def apply(self, X: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """(X - mean) / scale, computed in float64, as float32; a new array."""
        result = np.empty(X.shape, np.float32)
        self._write(X, result)
        return result

    def apply_in_place(self, X: npt.NDArray[np.float32]) -> None:
        """Replace X, shape (n, features), by what `apply` gives, without a second copy of it.

        Raises ValueError when X is not float32, or cannot be written.
        """
        if X.dtype != np.float32 or not X.flags.writeable:
            state = "read-only" if X.dtype == np.float32 else str(X.dtype)
            raise ValueError(
                f"rows of shape {X.shape} are {state}; give a float32 array that can be written, or use apply"
            )
        self._write(X, X)

    def _write(self, X: npt.NDArray[np.floating], out: npt.NDArray[np.float32]) -> None:
        rows = max(1, _PIECE // (8 * max(1, X.shape[1])))
        for start in range(0, len(X), rows):
            part = slice(start, start + rows)
            standard = X[part] - self.mean
            out[part] = np.divide(standard, self.scale, out=standard)

    def fold(self, model: MLPClassifier) -> MLPClassifier:
        """A model that takes raw rows, from one fitted on standardised ones; it only predicts.

        ((x - m) / s) W + b = x (W / s) + (b - (m / s) W): only the first layer changes. Kept in float64, in which
        features of small spread around a large mean lose nothing.
        """
        network = model.network_
        wide = type(network)(network.sizes, network.activation, np.float64)
        wide.parameters[:] = network.parameters
        wide.biases[0] -= (self.mean / self.scale) @ wide.weights[0]
        wide.weights[0] /= self.scale[:, None]
        folded: MLPClassifier = clone(model)
        folded.adopt(wide, model.classes_)
        return folded


def _columns(rows: int, features: int) -> Iterator[slice]:
    """Pieces of features that take about `_PIECE` bytes of float64; none is a single one, which NumPy would sum in
    another order than those of several.
    """
    width = max(2, _PIECE // (8 * max(1, rows)))
    starts = list(range(0, max(1, features), width))
    if features - starts[-1] == 1 and len(starts) > 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], features], strict=True):
        yield slice(start, stop)
