"""Hidden-layer activations as in-place array functions, by name.

A new one is a pair of functions and one entry. Derivatives are taken from the activation's *output*, so the
pre-activations need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


class ActivationPair(NamedTuple):
    """`apply(z)` replaces pre-activations by activations; `backward(a, delta)` multiplies delta by f'(z), given a = f(z).

    Both work in place on arrays of shape (rows, units). `backward` may destroy `a`.
    """

    apply: Callable[[Array], None]
    backward: Callable[[Array, Array], None]


def _linear(z: Array) -> None:
    """f(z) = z."""


def _linear_backward(a: Array, delta: Array) -> None:
    """f'(z) = 1."""


def _relu(z: Array) -> None:
    np.maximum(z, 0, out=z)


def _relu_backward(a: Array, delta: Array) -> None:
    np.sign(a, out=a)  # 1 where the unit was active, else 0: faster than a boolean mask
    np.multiply(delta, a, out=delta)


def _sigmoid(z: Array) -> None:
    # 1 / (1 + exp(-z)) overflows for large -z; 0.5 + 0.5 tanh(z / 2) is the same function and never does.
    np.multiply(z, 0.5, out=z)
    np.tanh(z, out=z)
    np.multiply(z, 0.5, out=z)
    np.add(z, 0.5, out=z)


def _sigmoid_backward(a: Array, delta: Array) -> None:
    np.multiply(delta, a, out=delta)
    np.subtract(1, a, out=a)
    np.multiply(delta, a, out=delta)


def _tanh(z: Array) -> None:
    np.tanh(z, out=z)


def _tanh_backward(a: Array, delta: Array) -> None:
    np.multiply(a, a, out=a)
    np.subtract(1, a, out=a)
    np.multiply(delta, a, out=delta)


ACTIVATIONS: dict[str, ActivationPair] = {
    "relu": ActivationPair(_relu, _relu_backward),
    "sigmoid": ActivationPair(_sigmoid, _sigmoid_backward),
    "tanh": ActivationPair(_tanh, _tanh_backward),
    "linear": ActivationPair(_linear, _linear_backward),
}
