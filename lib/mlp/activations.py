"""Hidden-layer activations as in-place array functions, by name.

A new one is a pair of functions and one entry. Derivatives are taken from the activation's *output*, so the
pre-activations need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


class ActivationPair(NamedTuple):
    """`apply(z)` replaces pre-activations by activations, in place.

    `backward(a, delta, scratch)` multiplies delta by f'(z), given a = f(z); it overwrites scratch, which may be a
    itself. All arrays have one shape and dtype, float32 or float64, and are C-contiguous.
    """

    apply: Callable[[Array], None]
    backward: Callable[[Array, Array, Array], None]


def _linear(z: Array) -> None:
    """f(z) = z."""


def _linear_backward(a: Array, delta: Array, scratch: Array) -> None:
    """f'(z) = 1."""


# NumPy's minimum and maximum are vectorised for two arrays, but not for an array and a number: five times slower.
_PIECE = 1 << 16
_ZEROS = {np.dtype(kind): np.zeros(_PIECE, kind) for kind in (np.float32, np.float64)}
_ONES = {np.dtype(kind): np.ones(_PIECE, kind) for kind in (np.uint32, np.uint64)}


def _pieces(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    flat = values.reshape(-1)
    return (flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE))


def _relu(z: Array) -> None:
    zeros = _ZEROS[z.dtype]
    for piece in _pieces(z):
        np.maximum(piece, zeros[: piece.size], out=piece)


def _relu_backward(a: Array, delta: Array, scratch: Array) -> None:
    # As whole numbers, the bits of a float are 0 where it is 0 and above 0 where the unit was active; multiplying
    # delta's bits by 0 or 1 keeps or clears it. Several times faster than a boolean mask, which must be converted.
    bits = np.uint32 if a.dtype == np.float32 else np.uint64
    active, ones = scratch.view(bits), _ONES[np.dtype(bits)]
    for piece, here in zip(_pieces(a.view(bits)), _pieces(active), strict=True):
        np.minimum(piece, ones[: piece.size], out=here)
    np.multiply(delta.view(bits), active, out=delta.view(bits))


def _sigmoid(z: Array) -> None:
    # 1 / (1 + exp(-z)) overflows for large -z; 0.5 + 0.5 tanh(z / 2) is the same function and never does.
    np.multiply(z, 0.5, out=z)
    np.tanh(z, out=z)
    np.multiply(z, 0.5, out=z)
    np.add(z, 0.5, out=z)


def _sigmoid_backward(a: Array, delta: Array, scratch: Array) -> None:
    np.multiply(delta, a, out=delta)
    np.subtract(1, a, out=scratch)
    np.multiply(delta, scratch, out=delta)


def _tanh(z: Array) -> None:
    np.tanh(z, out=z)


def _tanh_backward(a: Array, delta: Array, scratch: Array) -> None:
    np.multiply(a, a, out=scratch)
    np.subtract(1, scratch, out=scratch)
    np.multiply(delta, scratch, out=delta)


ACTIVATIONS: dict[str, ActivationPair] = {
    "relu": ActivationPair(_relu, _relu_backward),
    "sigmoid": ActivationPair(_sigmoid, _sigmoid_backward),
    "tanh": ActivationPair(_tanh, _tanh_backward),
    "linear": ActivationPair(_linear, _linear_backward),
}
