"""Standardisation by training rows only, and folding it into a network so that the network takes raw rows."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.mlp.estimator import MLPClassifier


@dataclass(frozen=True)
class Standardiser:
    """Each feature's mean and standard deviation over the rows it was fitted on; float64, shape (features,)."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, X: npt.NDArray[np.floating]) -> Standardiser:
        """Measure the rows of X, shape (n, features). A constant feature keeps scale 1."""
        mean = X.mean(axis=0, dtype=np.float64)
        scale = X.std(axis=0, dtype=np.float64)
        # A feature that varies by rounding alone counts as constant: dividing by that would make noise of it.
        constant = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
        return cls(mean, np.where(constant, 1.0, scale))

    def apply(self, X: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """(X - mean) / scale, as float32."""
        return ((X - self.mean) / self.scale).astype(np.float32)

    def fold(self, model: MLPClassifier) -> MLPClassifier:
        """A copy of a model fitted on standardised rows that takes raw ones.

        ((x - m) / s) W + b = x (W / s) + (b - (m / s) W): only the first layer changes. Kept in float64, in which
        features of small spread around a large mean lose nothing.
        """
        folded = copy.deepcopy(model)
        network = copy.deepcopy(model.network_)
        wide = type(network)(network.sizes, network.activation, np.float64)
        wide.parameters[:] = network.parameters
        wide.biases[0] -= (self.mean / self.scale) @ wide.weights[0]
        wide.weights[0] /= self.scale[:, None]
        folded.network_ = wide
        return folded
