"""Optimisers that update one flat parameter vector in place, by name."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lib.errors import ConfigError

Array = npt.NDArray[np.floating]
Rate = float | Array
"""One number, or one for each parameter."""


class Stepper(Protocol):
    """Updates `parameters`, shape (p,), in place. May destroy `gradients`, of the same shape and dtype.

    `factor` is what a schedule multiplies the next step's size with.
    """

    factor: Rate

    def step(self, parameters: Array, gradients: Array) -> None: ...


class Sgd:
    """theta -= learning_rate * g."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.factor: Rate = 1.0

    def step(self, parameters: Array, gradients: Array) -> None:
        np.multiply(gradients, self.learning_rate * self.factor, out=gradients)
        np.subtract(parameters, gradients, out=parameters)


class Momentum:
    """Classical momentum, not Nesterov's: v = momentum * v - learning_rate * g; theta += factor * v (Polyak 1964).

    A schedule scales the whole step, as in torch, and not what the velocity gathers.
    """

    def __init__(self, learning_rate: Rate, momentum: Rate, velocity: Array) -> None:
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.velocity = velocity
        self.factor: Rate = 1.0

    def step(self, parameters: Array, gradients: Array) -> None:
        np.multiply(self.velocity, self.momentum, out=self.velocity)
        np.multiply(gradients, self.learning_rate, out=gradients)
        np.subtract(self.velocity, gradients, out=self.velocity)
        if np.ndim(self.factor) or self.factor != 1:
            np.multiply(self.velocity, self.factor, out=gradients)
            np.add(parameters, gradients, out=parameters)
        else:
            np.add(parameters, self.velocity, out=parameters)


class Adam:
    """Kingma and Ba 2015, algorithm 1 in the efficient order of its section 2, as scikit-learn does it.

    Beta 0.9 and 0.999, epsilon 1e-8.
    """

    BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

    def __init__(self, learning_rate: Rate, mean: Array, square: Array, scratch: Array) -> None:
        self.learning_rate = learning_rate
        self.factor: Rate = 1.0
        self.steps = 0
        self.mean = mean
        self.square = square
        self._scratch = scratch

    def step(self, parameters: Array, gradients: Array) -> None:
        np.subtract(parameters, self._change(gradients), out=parameters)

    def _change(self, gradients: Array) -> Array:
        """What the step subtracts; destroys `gradients`."""
        self.steps += 1
        correction = float(np.sqrt(1 - self.BETA2**self.steps) / (1 - self.BETA1**self.steps))
        scratch = self._scratch
        np.multiply(gradients, 1 - self.BETA1, out=scratch)
        np.multiply(self.mean, self.BETA1, out=self.mean)
        np.add(self.mean, scratch, out=self.mean)
        np.multiply(gradients, gradients, out=gradients)
        np.multiply(gradients, 1 - self.BETA2, out=gradients)
        np.multiply(self.square, self.BETA2, out=self.square)
        np.add(self.square, gradients, out=self.square)
        np.sqrt(self.square, out=scratch)
        np.add(scratch, self.EPSILON, out=scratch)
        np.divide(self.mean, scratch, out=scratch)
        np.multiply(scratch, self.learning_rate * (correction * self.factor), out=scratch)
        return scratch


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): theta -= learning_rate * weight_decay * theta, too.

    Only the first `n_weights` parameters decay: biases do not, as with the L2 penalty. The decay is subtracted together
    with the step, so a small one is not lost in rounding.
    """

    def __init__(
        self, learning_rate: Rate, mean: Array, square: Array, scratch: Array, weight_decay: Rate, n_weights: int
    ) -> None:
        super().__init__(learning_rate, mean, square, scratch)
        self.weight_decay = weight_decay
        self.n_weights = n_weights

    def step(self, parameters: Array, gradients: Array) -> None:
        change, count = self._change(gradients), self.n_weights
        rate = self.learning_rate * self.factor
        decay = gradients[:count]  # free by now
        np.multiply(parameters[:count], (rate[:count] if isinstance(rate, np.ndarray) else rate), out=decay)
        np.multiply(decay, self.weight_decay, out=decay)
        np.add(change[:count], decay, out=change[:count])
        np.subtract(parameters, change, out=parameters)


OPTIMIZERS = ("sgd", "adam", "adamw")


def make_optimizer(
    name: str, learning_rate: float, momentum: float, parameters: Array, weight_decay: float = 0.0, n_weights: int = 0
) -> Stepper:
    """The optimiser `name` for a parameter vector of this shape and dtype, of which the first `n_weights` decay (AdamW).

    Raises ConfigError for an unknown optimiser.
    """
    like = parameters
    if name == "adam":
        return Adam(learning_rate, np.zeros_like(like), np.zeros_like(like), np.empty_like(like))
    if name == "adamw":
        state = (np.zeros_like(like), np.zeros_like(like), np.empty_like(like))
        return AdamW(learning_rate, *state, weight_decay, n_weights)
    if name == "sgd":
        return Momentum(learning_rate, momentum, np.zeros_like(like)) if momentum else Sgd(learning_rate)
    raise ConfigError(f"unknown optimizer {name!r}; known: {', '.join(OPTIMIZERS)}")
