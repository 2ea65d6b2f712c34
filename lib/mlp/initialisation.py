"""Initial weights by name, and the two random streams of a trial: weights and row order.

The streams are separate so that another engine can draw the same ones without training (see `streams`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lib.errors import ConfigError

Draw = Callable[[np.random.Generator, int, int], npt.NDArray[np.float64]]

SMALL = 0.01
"""Scale of the reference study's "random" and "normal" weights."""


def _zero(rng: np.random.Generator, inputs: int, units: int) -> npt.NDArray[np.float64]:
    return np.zeros((inputs, units))


def _uniform(rng: np.random.Generator, inputs: int, units: int) -> npt.NDArray[np.float64]:
    """U(0, 1) scaled by 0.01, the study's "random"."""
    return SMALL * rng.random((inputs, units))


def _normal(rng: np.random.Generator, inputs: int, units: int) -> npt.NDArray[np.float64]:
    """N(0, 1) scaled by 0.01, the study's "normal"."""
    return SMALL * rng.standard_normal((inputs, units))


def _xavier(rng: np.random.Generator, inputs: int, units: int) -> npt.NDArray[np.float64]:
    """U(-b, b), b = sqrt(6 / (inputs + units)): Glorot and Bengio 2010, equation 16."""
    bound = np.sqrt(6.0 / (inputs + units))
    return rng.uniform(-bound, bound, (inputs, units))


def _he(rng: np.random.Generator, inputs: int, units: int) -> npt.NDArray[np.float64]:
    """N(0, 2 / inputs): He et al. 2015, equation 10."""
    deviation = float(np.sqrt(2.0 / inputs))
    return deviation * rng.standard_normal((inputs, units))


INITIALISATIONS: dict[str, Draw] = {
    "zero": _zero,
    "uniform": _uniform,
    "normal": _normal,
    "xavier": _xavier,
    "he": _he,
}


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """The generators of initial weights and of row order for a trial's seed."""
    weights, order = np.random.SeedSequence(seed).spawn(2)
    return np.random.default_rng(weights), np.random.default_rng(order)


def initial_weights(layer_sizes: Sequence[int], init: str, rng: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """One float64 matrix a layer, shape (inputs, units), input side first. Biases start at zero.

    Raises ConfigError for an unknown initialisation.
    """
    if init not in INITIALISATIONS:
        raise ConfigError(f"unknown initialisation {init!r}; known: {', '.join(INITIALISATIONS)}")
    draw = INITIALISATIONS[init]
    return [draw(rng, inputs, units) for inputs, units in pairwise(layer_sizes)]


def row_orders(rows: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """The order of the training rows in each epoch, without end."""
    while True:
        yield rng.permutation(rows)
