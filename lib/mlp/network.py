"""The network itself: parameters in one flat vector, and a workspace of preallocated buffers that computes with them.

Parameters and gradients are flat so that an optimiser's step is a few long vector operations; weights and biases are
views into them. Nothing as large as a layer is allocated inside a step, but for the penalty of L2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.errors import ConfigError
from lib.mlp.activations import ACTIVATIONS
from lib.mlp.dropout import Dropout, Masks, units_of
from lib.mlp.initialisation import initial_weights
from lib.mlp.losses import label_positions, smooth_labels, softmax, softmax_cross_entropy, subtract_one
from lib.mlp.products import column_sums, product

Array = npt.NDArray[np.floating]

EVALUATION_ROWS = 2048
"""Rows evaluated at once: enough for full-speed matrix products, small enough to stay in cache."""


class Network:
    """A fully connected network with softmax output.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, units of each hidden layer, classes.
    activation : str
        Activation of the hidden layers.
    dtype : float32 or float64

    Attributes
    ----------
    parameters : ndarray, shape (p,)
        All weights, then all biases.
    weights : list of ndarray, shape (inputs, units)
        Views into `parameters`.
    biases : list of ndarray, shape (units,)
        Views into `parameters`.
    """

    def __init__(self, sizes: Sequence[int], activation: str, dtype: npt.DTypeLike) -> None:
        if activation not in ACTIVATIONS:
            raise ConfigError(f"unknown activation {activation!r}; known: {', '.join(ACTIVATIONS)}")
        self.sizes = tuple(int(size) for size in sizes)
        self.activation = activation
        self.n_weights = sum(a * b for a, b in zip(self.sizes[:-1], self.sizes[1:], strict=True))
        self.parameters: Array = np.zeros(self.n_weights + sum(self.sizes[1:]), dtype)
        self.weights, self.biases = self.split(self.parameters)

    def split(self, flat: Array) -> tuple[list[Array], list[Array]]:
        """Views of a vector laid out as `parameters`: one weight matrix and one bias vector a layer."""
        weights, biases, start = [], [], 0
        for inputs, units in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            weights.append(flat[start : start + inputs * units].reshape(inputs, units))
            start += inputs * units
        for units in self.sizes[1:]:
            biases.append(flat[start : start + units])
            start += units
        return weights, biases

    def initialise(self, init: str, rng: np.random.Generator) -> None:
        """Draw new weights by the initialisation named `init`; biases stay as they are."""
        for weights, drawn in zip(self.weights, initial_weights(self.sizes, init, rng), strict=True):
            weights[...] = drawn

    def __getstate__(self) -> dict[str, Any]:
        return {"sizes": self.sizes, "activation": self.activation, "parameters": self.parameters}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The views must be taken anew: pickled as they are they would become copies of their own.
        self.__init__(state["sizes"], state["activation"], state["parameters"].dtype)  # type: ignore[misc]
        self.parameters[:] = state["parameters"]


class Workspace:
    """Buffers for computing with a network on up to `rows` rows at once.

    With `training`, a step is `loss`, then either `descend` (plain SGD, which stores no gradient) or `fill_gradients`
    and an optimiser. `gradients`, shape (p,), is laid out as the network's parameters.

    Parameters
    ----------
    dropout : Dropout, optional
        What `loss`, and so a step, leaves out.
    label_smoothing : float
        What a step takes of each label, to spread it over all classes.
    class_weights : ndarray, shape (classes,), optional
        What a step multiplies the loss of each class's rows with.
    """

    def __init__(
        self,
        network: Network,
        rows: int,
        training: bool = False,
        dropout: Dropout | None = None,
        label_smoothing: float = 0.0,
        class_weights: Array | None = None,
    ) -> None:
        self.network = network
        self.rows = rows
        dtype = network.parameters.dtype
        self._layers = [np.empty((rows, units), dtype) for units in network.sizes[1:-1]]
        self._logits = np.empty(network.sizes[-1] * rows, dtype)
        self._activate, self._backward = ACTIVATIONS[network.activation]
        self._dropout = dropout if network.sizes[1:-1] else None
        self._masks: dict[int, list[Masks]] = {}
        self._smoothing = np.array([label_smoothing], dtype) if label_smoothing else None
        self._class_weights = class_weights
        if training:
            self.inputs = np.empty((rows, network.sizes[0]), dtype)
            self.labels = np.empty(rows, np.int64)
            self.gradients = np.zeros_like(network.parameters)
            self._weight_gradients, self._bias_gradients = network.split(self.gradients)
            self._deltas = [np.empty_like(layer) for layer in self._layers]
            self._scratch = [np.empty_like(layer) for layer in self._layers]
            self._ones = np.ones(rows, dtype)

    def _masks_of(self, count: int) -> list[Masks]:
        """Each hidden layer's masks for `count` rows; none without dropout."""
        if self._dropout is None:
            return []
        if count not in self._masks:
            dtype = self.network.parameters.dtype
            layers = range(len(self._layers))
            self._masks[count] = [Masks(units_of([self._dropout], layer, count), dtype) for layer in layers]
        return self._masks[count]

    def hidden(self, X: Array, step: int | None = None) -> list[Array]:
        """Activations of each hidden layer for at most `rows` rows; views that the next call overwrites.

        Units are dropped only when the `step` of a training is given.
        """
        count = len(X)
        below = X
        masks = [] if step is None else self._masks_of(count)
        for index, (layer, weights, biases) in enumerate(
            zip(self._layers, self.network.weights, self.network.biases, strict=False)
        ):
            here = layer[:count]
            product(below, weights, out=here)
            np.add(here, biases, out=here)
            self._activate(here)
            if masks and step is not None:
                np.multiply(here, masks[index].draw(step).T, out=here)
            below = here
        return [layer[:count] for layer in self._layers]

    def logits(self, X: Array, step: int | None = None) -> Array:
        """Logits, shape (classes, 1, n), for at most `rows` rows; a view that the next call overwrites."""
        hidden = self.hidden(X, step)
        logits = self._logits[: self.network.sizes[-1] * len(X)].reshape(-1, len(X))
        product(self.network.weights[-1].T, (hidden[-1] if hidden else X).T, out=logits)
        np.add(logits, self.network.biases[-1][:, None], out=logits)
        return logits[:, None]

    def loss(self, count: int, step: int = 0) -> tuple[float, int]:
        """Summed cross-entropy and right answers of the first `count` rows of `inputs` and `labels`.

        The logits' buffer then holds the summed loss's derivative by the logits, from which a step goes on; smoothing and
        class weights are part of that, and not of the loss. `step` says which units are dropped.
        """
        logits, positions = self.logits(self.inputs[:count], step), label_positions(self.labels[None, :count])
        loss, right = softmax_cross_entropy(logits, positions)
        subtract_one(logits, positions)
        if self._smoothing is not None:
            smooth_labels(logits, positions, self._smoothing)
        return float(loss[0]), int(right[0])

    def descend(self, count: int, learning_rate: float) -> None:
        """Take a step of plain SGD on the mean cross-entropy of the rows that `loss` has seen."""
        ones = self._ones[:count]
        for index, below, delta in self._downwards(count, -learning_rate / count):
            product(below.T, delta, out=self.network.weights[index], accumulate=True)
            column_sums(delta, ones, out=self.network.biases[index], accumulate=True)

    def fill_gradients(self, count: int, l2: float) -> None:
        """Fill `gradients` with those of the mean cross-entropy plus L2, for the rows that `loss` has seen.

        The L2 term is l2 / (2 n) * sum of squared weights (not biases), n the rows of the mini-batch, as
        scikit-learn's alpha; it is part of the gradient and not of the loss.
        """
        ones = self._ones[:count]
        for index, below, delta in self._downwards(count, 1 / count):
            product(below.T, delta, out=self._weight_gradients[index])
            column_sums(delta, ones, out=self._bias_gradients[index])
        if l2:
            n_weights = self.network.n_weights
            self.gradients[:n_weights] += (l2 / count) * self.network.parameters[:n_weights]

    def _downwards(self, count: int, scale: float) -> Iterator[tuple[int, Array, Array]]:
        """Each layer from the last to the first: its index, its inputs, and `scale` times the loss's derivative by its
        pre-activations. The caller may change the layer's weights: they have been used by then.
        """
        of_logits = self._logits[: self.network.sizes[-1] * count].reshape(-1, count)
        weights = None if self._class_weights is None else self._class_weights[self.labels[:count]]
        np.multiply(of_logits, scale if weights is None else scale * weights, out=of_logits)
        masks = self._masks_of(count)
        delta = of_logits.T
        for index in range(len(self.network.weights) - 1, 0, -1):
            below, lower = self._layers[index - 1][:count], self._deltas[index - 1][:count]
            product(delta, self.network.weights[index].T, out=lower)
            if masks:
                # Activations as they were before they were scaled; those that were dropped do not count.
                unscaled = self._scratch[index - 1][:count]
                np.multiply(lower, masks[index - 1].mask.T, out=lower)
                np.multiply(below, masks[index - 1].keep.T, out=unscaled)
                self._backward(unscaled, lower, unscaled)
            else:
                self._backward(below, lower, self._scratch[index - 1][:count])
            yield index, below, delta
            delta = lower
        yield 0, self.inputs[:count], delta

    def evaluate(self, X: Array, labels: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Mean cross-entropy in nats and accuracy over any number of rows."""
        loss, right = 0.0, 0
        for start in range(0, len(X), self.rows):
            part = slice(start, start + self.rows)
            more, hits = softmax_cross_entropy(self.logits(X[part]), label_positions(labels[None, part]))
            loss, right = loss + float(more[0]), right + int(hits[0])
        return loss / len(X), right / len(X)

    def probabilities(self, X: Array) -> Array:
        """Class probabilities, shape (n, classes), for any number of rows."""
        result = np.empty((len(X), self.network.sizes[-1]), self.network.parameters.dtype)
        for start in range(0, len(X), self.rows):
            part = slice(start, start + self.rows)
            logits = self.logits(X[part])
            softmax(logits)
            result[part] = logits[:, 0].T
        return result
