"""The from-scratch MLP classifier: NumPy alone, scikit-learn's interface.

It is the reference that the fused engine is held against. The training loop tells listeners of each epoch and knows
nothing of who listens. Saved networks are safetensors (`lib.mlp.store`).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from lib.machine import subnormals_as_zero
from lib.mlp.activations import ACTIVATIONS
from lib.mlp.dropout import Dropout
from lib.mlp.initialisation import INITIALISATIONS, row_orders, streams
from lib.mlp.losses import balanced_weights
from lib.mlp.network import EVALUATION_ROWS, Network, Workspace
from lib.mlp.optimizers import OPTIMIZERS, make_optimizer
from lib.mlp.schedules import SCHEDULES, step_factors

Record = dict[str, float]
"""One epoch: epoch (from 1), train_loss, train_accuracy, validation_loss, validation_accuracy, seconds since the start."""

Listener = Callable[[Record], None]


class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Multi-layer perceptron with softmax output, trained by mini-batches on cross-entropy.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer; () is a linear probe (softmax regression).
    activation : {"relu", "sigmoid", "tanh", "linear"}
    init : {"zero", "uniform", "normal", "xavier", "he"}
        Distribution of the initial weights; biases start at zero.
    optimizer : {"sgd", "adam", "adamw"}
    learning_rate : float
        Step size; of a schedule, the largest.
    schedule : {"constant", "cosine", "step"}
        Of the step size over `epochs`, step by step: cosine to 0, or a tenth after 60 % and again after 85 % of the
        steps after the warm-up.
    warmup : float in [0, 1)
        Share of all steps in which the step size grows linearly.
    momentum : float in [0, 1)
        Classical momentum of SGD.
    l2 : float
        Penalty on weights, as scikit-learn's `alpha`.
    weight_decay : float
        Of AdamW, as torch's with the biases left out: weights lose learning_rate * weight_decay of themselves a step.
    dropout : float in [0, 1)
        Share of each hidden layer's activations that are dropped in a training step; the others are scaled to the same
        mean.
    label_smoothing : float in [0, 1)
        Share of each label that is spread evenly over all classes, as torch's.
    class_weights : {"none", "balanced"}
        Balanced: each row's loss is multiplied by n / (classes * rows of its class), as with scikit-learn's
        class_weight. A mini-batch's loss is the mean over its rows; torch divides by its rows' weights instead, which
        is the same over all training rows.
    batch_size : int
        Rows in a mini-batch; clipped to the number of rows.
    epochs : int
    random_state : int, RandomState or None
        Seed of initial weights, row order and dropout.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    network_ : Network
        Weights and biases; float32 when fitted on float32 rows, else float64.
    history_ : list of Record
        train_* are means over the epoch's mini-batches as they were met, before each update (as scikit-learn's
        loss_curve_); validation_* are taken at the end of the epoch. All are plain cross-entropy, without L2,
        smoothing or weights; only train_* are with units dropped.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        activation: str = "relu",
        init: str = "he",
        optimizer: str = "sgd",
        learning_rate: float = 0.1,
        schedule: str = "constant",
        warmup: float = 0.0,
        momentum: float = 0.0,
        l2: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: str = "none",
        batch_size: int = 128,
        epochs: int = 100,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.init = init
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup = warmup
        self.momentum = momentum
        self.l2 = l2
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    diverged_epoch_: int | None
    """The epoch in which the loss stopped being finite; training ends there."""

    def fit(self, X: Any, y: Any, validation: tuple[Any, Any] | None = None, on_epoch: Listener | None = None) -> Self:
        """Train for `epochs` epochs from new weights.

        Raises ValueError for a parameter out of range or rows that do not fit; it names the parameter and the value.

        X has shape (n, features), y (n,). `validation`, such a pair, is evaluated after each epoch and never trained on;
        `on_epoch` is called with each epoch's record.
        """
        X, labels = self._start(X, y, None)
        watched = None
        if validation is not None:
            rows, given = self._checked(*validation, reset=False)
            watched = rows, self._encoded(given)
        for record in self._train(X, labels, watched, self.epochs):
            if on_epoch is not None:
                on_epoch(record)
        if self.diverged_epoch_ is not None:
            warnings.warn(
                f"training diverged in epoch {self.diverged_epoch_} (learning_rate={self.learning_rate}); lower it",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Train for one epoch, from the current weights if there are any.

        `classes` names all classes at the first call, when `y` does not hold them all. Calling this `epochs` times on
        the same rows equals `fit`; a schedule then stays at its end.
        """
        if hasattr(self, "network_"):
            if not hasattr(self, "_order_rng"):
                raise ValueError("this network was trained or stored elsewhere and only predicts; train one with fit")
            X, y = self._checked(X, y, reset=False)
            labels = self._encoded(y)
        else:
            X, labels = self._start(X, y, classes)
        for _ in self._train(X, labels, None, 1):
            pass
        return self

    def adopt(self, network: Network, classes: npt.NDArray[Any]) -> None:
        """Take a network that was trained or stored elsewhere; predicting works as after `fit`."""
        self.network_ = network
        self.classes_ = classes
        self.n_features_in_ = network.sizes[0]

    def predict_proba(self, X: Any) -> npt.NDArray[np.floating]:
        """Class probabilities, shape (n, classes), in the order of `classes_`."""
        X = self._rows(X)
        return Workspace(self.network_, min(len(X), EVALUATION_ROWS)).probabilities(X)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Most probable class of each row, shape (n,)."""
        best = self.predict_proba(X).argmax(axis=1)
        predicted: npt.NDArray[Any] = self.classes_[best]
        return predicted

    def hidden_activations(self, X: Any, layer: int = -1) -> npt.NDArray[np.floating]:
        """Activations of one hidden layer, shape (n, units); the last one by default.

        Raises ValueError when the network has no such layer.
        """
        X = self._rows(X)
        layers = len(self.network_.sizes) - 2
        if not layers:
            raise ValueError("a linear probe has no hidden layer; take its inputs instead, or train a network with one")
        if not -layers <= layer < layers:
            raise ValueError(f"layer {layer} does not exist: the network has {layers} hidden layer(s)")
        space = Workspace(self.network_, EVALUATION_ROWS)
        parts = [X[start : start + EVALUATION_ROWS] for start in range(0, len(X), EVALUATION_ROWS)]
        return np.concatenate([space.hidden(part)[layer].copy() for part in parts])

    def _train(
        self,
        X: npt.NDArray[np.floating],
        labels: npt.NDArray[np.int64],
        watched: tuple[npt.NDArray[np.floating], npt.NDArray[np.int64]] | None,
        epochs: int,
    ) -> Iterator[Record]:
        """Train and yield each epoch's record; stops by itself when the loss is not finite."""
        n = len(X)
        batch = min(self.batch_size, n)
        weights = None
        if self.class_weights == "balanced":
            weights = balanced_weights(labels, len(self.classes_)).astype(X.dtype)
        dropout = Dropout(self._drawn_seed, self.dropout, tuple(self.hidden)) if self.dropout else None
        space = Workspace(self.network_, batch, True, dropout, self.label_smoothing, weights)
        evaluation = Workspace(self.network_, min(EVALUATION_ROWS, len(watched[0]))) if watched else None
        orders = row_orders(n, self._order_rng)
        before = self.history_[-1]["seconds"] if self.history_ else 0.0
        started = time.perf_counter()
        for _ in range(epochs):
            ignored = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # divergence is found by its loss
            with ignored, subnormals_as_zero():
                order = next(orders)
                loss, right = 0.0, 0
                starts = range(0, n, batch)
                factors = step_factors(self.schedule, self.warmup, self._planned, self._steps, len(starts))
                for start, factor in zip(starts, factors.tolist(), strict=True):
                    rows = order[start : start + batch]
                    inputs, targets = space.inputs[: len(rows)], space.labels[: len(rows)]
                    np.take(X, rows, axis=0, out=inputs, mode="clip")  # clip: unchecked, so unbuffered
                    np.take(labels, rows, out=targets, mode="clip")
                    more, hits = space.loss(len(rows), self._steps)
                    loss, right = loss + more, right + hits
                    if not math.isfinite(more):
                        break
                    if self._stepper is None:
                        space.descend(len(rows), self.learning_rate * factor)
                    else:
                        space.fill_gradients(len(rows), self.l2)
                        self._stepper.factor = factor
                        self._stepper.step(self.network_.parameters, space.gradients)
                    self._steps += 1
                record = {"epoch": len(self.history_) + 1, "train_loss": loss / n, "train_accuracy": right / n}
                if watched is not None and evaluation is not None:
                    record["validation_loss"], record["validation_accuracy"] = evaluation.evaluate(*watched)
                record["seconds"] = before + time.perf_counter() - started
                self.history_.append(record)
                # The last steps of an epoch may have broken the weights after its last finite loss.
                if not (np.isfinite(loss) and np.isfinite(self.network_.parameters.sum(dtype=np.float64))):
                    self.diverged_epoch_ = len(self.history_)
            yield record
            if self.diverged_epoch_ is not None:
                return

    def _start(self, X: Any, y: Any, classes: Any) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.int64]]:
        """Check parameters and rows; new weights, optimiser and history."""
        self._check_parameters()
        X, y = self._checked(X, y, reset=True)
        self.classes_ = unique_labels(y) if classes is None else unique_labels(classes)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class only ({self.classes_[0]!r}); a classifier needs at least two classes")
        sizes = (X.shape[1], *self.hidden, len(self.classes_))
        self._drawn_seed = self._seed()
        weights_rng, self._order_rng = streams(self._drawn_seed)
        self.network_ = Network(sizes, self.activation, X.dtype)
        self.network_.initialise(self.init, weights_rng)
        # Plain SGD without a penalty needs no stored gradient: the workspace descends by itself.
        plain = self.optimizer == "sgd" and not self.momentum and not self.l2
        rate, like, n_weights = self.learning_rate, self.network_.parameters, self.network_.n_weights
        self._stepper = (
            None if plain else make_optimizer(self.optimizer, rate, self.momentum, like, self.weight_decay, n_weights)
        )
        self._steps, self._planned = 0, self.epochs * -(-len(X) // self.batch_size)
        self.history_: list[Record] = []
        self.diverged_epoch_ = None
        return X, self._encoded(y)

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[npt.NDArray[np.floating], npt.NDArray[Any]]:
        X, y = validate_data(self, X, y, reset=reset, dtype=self._dtypes(reset), order="C", multi_output=True)
        if y.ndim == 2 and y.shape[1] > 1:
            raise ValueError(f"y has shape {y.shape}; one label a row is needed, shape (n,)")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return X, y

    def _rows(self, X: Any) -> npt.NDArray[np.floating]:
        check_is_fitted(self, "network_")
        rows: npt.NDArray[np.floating] = validate_data(self, X, reset=False, dtype=self._dtypes(False), order="C")
        return rows

    def _dtypes(self, reset: bool) -> Any:
        return (np.float64, np.float32) if reset else self.network_.parameters.dtype

    def _encoded(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"y holds {unknown[0]!r}, which is not among the classes {self.classes_.tolist()}")
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _check_parameters(self) -> None:
        for name, known in (
            ("activation", ACTIVATIONS),
            ("init", INITIALISATIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("class_weights", ("none", "balanced")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        for name in ("batch_size", "epochs"):
            count: Any = getattr(self, name)
            if not isinstance(count, Integral) or int(count) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {count!r}")
        hidden: Sequence[Any] = self.hidden
        if not all(isinstance(units, Integral) and int(units) >= 1 for units in hidden):
            raise ValueError(f"hidden must hold whole numbers of at least 1, got {self.hidden!r}")
        least = (-1e-300, np.inf, "at least 0")
        limits = {"learning_rate": (0, np.inf, "above 0"), "l2": least, "weight_decay": least}
        for name, (low, high, words) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, Real) or not low < float(value) < high:
                raise ValueError(f"{name} must be a finite number {words}, got {value!r}")
        for name in ("momentum", "warmup", "dropout", "label_smoothing"):
            share: Any = getattr(self, name)
            if not isinstance(share, Real) or not 0 <= float(share) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {share!r}")
