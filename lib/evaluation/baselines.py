"""Models that a network is compared with, trained on the same rows: each is one function and one entry of `BASELINES`.

A baseline that does not converge, or diverges, is a result and not an error.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.evaluation.projections import sample_by_class
from lib.machine import one_blas_thread
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial

Rows = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Settings = dict[str, str | int | float]

_LOGISTIC_STEPS, _MANY_VALUES, _FEWER_STEPS = 1000, 25_000_000, 100
"""Steps of L-BFGS at most; of training rows with so many values (MNIST has 47 million), fewer: its accuracy on MNIST is
then 0.926 after 13 s."""

NEIGHBOURS = (1, 5, 10, 20, 50)
"""What k is chosen from."""
_TUNED_ON = 2000
"""Training rows that k and the metric are chosen on, at most."""
_DISTANCES = 1 << 24
"""Distances in memory at once (4 bytes each, in a few copies)."""


@dataclass(frozen=True)
class Question:
    """What a baseline is trained on, and which rows it predicts.

    Attributes
    ----------
    data : TrialData
        It learns from the training rows alone.
    rows : ndarray of float32, shape (n, features)
        The rows to predict.
    trial : Trial or None
        The settings of the network that it is compared with.
    seed : int
    held_out : ndarray of int64, shape (m,), or None
        Positions of training rows that settings are chosen on, kept out of training while they are: a study's validation
        rows, when it trains on them, too. None: a sample of the training rows by class.
    """

    data: TrialData
    rows: Rows
    trial: Trial | None = None
    seed: int = 0
    held_out: Positions | None = None


@dataclass(frozen=True)
class Answer:
    """What a baseline predicts: probabilities, shape (n, classes), its settings as chosen, and seconds it took."""

    probabilities: Probabilities
    settings: Settings
    seconds: float


@dataclass(frozen=True)
class Baseline:
    """A model to compare with.

    Attributes
    ----------
    title : str
        For reading.
    predict : callable
        Probabilities of the rows for all classes, and the settings as chosen.
    per_trial : bool
        Whether it depends on the trial and the seed; if not, one answer serves all seeds.
    """

    title: str
    predict: Callable[[Question], tuple[npt.NDArray[np.floating], Settings]]
    per_trial: bool = False

    def answer(self, question: Question) -> Answer:
        started = time.perf_counter()
        probabilities, settings = self.predict(question)
        return Answer(probabilities.astype(np.float64), settings, time.perf_counter() - started)


def majority(question: Question) -> tuple[Probabilities, Settings]:
    """The most frequent class of the training rows, always; its probabilities are the classes' shares."""
    data = question.data
    shares = np.bincount(data.y_train, minlength=data.n_classes) / len(data.y_train)
    return np.tile(shares, (len(question.rows), 1)), {}


def logistic_regression(question: Question) -> tuple[npt.NDArray[np.floating], Settings]:
    """Multinomial logistic regression with scikit-learn's own penalty (L2, C = 1): no setting of it is searched."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    data = question.data
    if _one_class(data):
        return majority(question)
    steps = _LOGISTIC_STEPS if data.X_train.size < _MANY_VALUES else _FEWER_STEPS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps are near enough for a baseline
        model = LogisticRegression(max_iter=steps).fit(data.X_train, data.y_train)
    return _all_classes(model, question), {"C": 1.0}


def nearest_neighbours(question: Question) -> tuple[Probabilities, Settings]:
    """Shares of the classes among the k nearest training rows, by Euclidean or cosine distance.

    k and the metric are those of highest accuracy on held-out training rows (of equals, the first: Euclidean, smallest
    k). One neighbour more counts, spread evenly over all classes, so that no probability is 0 and every loss is finite.
    """
    data, held_out = question.data, question.held_out
    held_out = np.arange(len(data.y_train)) if held_out is None else np.sort(held_out)
    tuned_on = held_out[sample_by_class(data.y_train[held_out], _TUNED_ON, question.seed)]
    # Without rows held out by the study, each row is held out alone: it is not its own neighbour.
    hidden = (
        tuned_on[:, None] if question.held_out is None else np.broadcast_to(held_out, (len(tuned_on), len(held_out)))
    )
    most = len(data.y_train) - hidden.shape[1]
    known = [k for k in NEIGHBOURS if k <= most] or NEIGHBOURS[:1]
    best, settings = -1.0, Settings(metric="euclidean", k=known[0])
    for metric in ("euclidean", "cosine") if most else ():
        near = data.y_train[_neighbours(data.X_train, data.X_train[tuned_on], known[-1], metric, hidden)]
        for k in known:
            predicted = _shares(near[:, :k], data.n_classes).argmax(axis=1)
            accuracy = float((predicted == data.y_train[tuned_on]).mean())
            if accuracy > best:
                best, settings = accuracy, Settings(metric=metric, k=k)
    nearest = _neighbours(data.X_train, question.rows, int(settings["k"]), str(settings["metric"]))
    return _shares(data.y_train[nearest], data.n_classes), settings


def sklearn_mlp(question: Question) -> tuple[npt.NDArray[np.floating], Settings]:
    """scikit-learn's MLPClassifier at the trial's settings and the seed, for exactly as many epochs.

    Its initialisation (Glorot's) cannot be chosen, and the trial's optional settings it does not have: its own settings
    name these. Adam is trained in AdamW's place. Everything else follows the trial, including the activation, which is read
    back from the trained model so that no row can carry another's name. One that diverges gives equal shares.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data, trial = question.data, question.trial
    if trial is None:
        raise ValueError("the baseline sklearn-mlp needs a trial, whose settings it has")
    if _one_class(data):
        return majority(question)
    activations = {"sigmoid": "logistic", "linear": "identity"}
    model = MLPClassifier(
        hidden_layer_sizes=trial.hidden,
        activation=activations.get(trial.activation, trial.activation),
        solver="sgd" if trial.optimizer == "sgd" else "adam",
        alpha=trial.l2,
        batch_size=min(trial.batch_size, len(data.X_train)),
        learning_rate_init=trial.learning_rate,
        momentum=trial.momentum,
        nesterovs_momentum=False,
        max_iter=trial.epochs,
        n_iter_no_change=trial.epochs + 1,
        tol=0.0,
        random_state=question.seed,
    )
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are wanted, not convergence
        try:
            probabilities = _all_classes(model.fit(data.X_train, data.y_train), question)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            probabilities = np.full((len(question.rows), data.n_classes), np.nan)
    undecided = ~np.isfinite(probabilities).all(axis=1)
    probabilities[undecided] = 1 / data.n_classes
    without = {f"without {name}": value for name, value in trial.optional.items()}
    return probabilities, {"activation": model.activation, **without}


def answer_on_one_core(baseline: Baseline, question: Question) -> Answer:
    """Train and predict with one thread of BLAS, which gives the same bits wherever it runs."""
    with one_blas_thread():
        return baseline.answer(question)


BASELINES: dict[str, Baseline] = {
    "majority": Baseline("majority class", majority),
    "logistic": Baseline("logistic regression", logistic_regression),
    "knn": Baseline("k nearest neighbours", nearest_neighbours),
    "sklearn-mlp": Baseline("scikit-learn MLPClassifier", sklearn_mlp, per_trial=True),
}
"""By the names that profiles give."""


def _one_class(data: TrialData) -> bool:
    """Whether there is nothing to learn, which scikit-learn's models refuse or answer in another shape."""
    return bool((data.y_train == data.y_train[0]).all())


def _all_classes(model: Any, question: Question) -> npt.NDArray[np.floating]:
    """Probabilities with a column for each class; scikit-learn leaves out those that have no training row."""
    probabilities = model.predict_proba(question.rows)
    whole = np.zeros((len(probabilities), question.data.n_classes), probabilities.dtype)
    whole[:, model.classes_] = probabilities
    return whole


def _neighbours(X: Rows, rows: Rows, k: int, metric: str, hidden: Positions | None = None) -> Positions:
    """Positions in `X` of the `k` nearest to each of `rows`, the nearest first: shape (n, k).

    `hidden`, shape (n, m), are positions that are no neighbours of a row. Both metrics are one product of matrices, a
    block of rows at a time.
    """
    squares = np.einsum("nf,nf->n", X, X)
    found = np.empty((len(rows), k), np.int64)
    block = max(1, _DISTANCES // len(X))
    for start in range(0, len(rows), block):
        part = slice(start, start + block)
        # Of a row, distances to all others differ from these by a constant, or by a positive factor.
        distances = rows[part] @ X.T
        if metric == "cosine":
            distances /= -np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
        else:
            distances *= -2
            distances += squares
        if hidden is not None:
            np.put_along_axis(distances, hidden[part], np.inf, axis=1)
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1, kind="stable")
        found[part] = np.take_along_axis(nearest, order, axis=1)
    return found


def _shares(near: Positions, classes: int) -> Probabilities:
    """Classes' shares among the neighbours' labels, shape (n, k), and one neighbour spread over all classes."""
    rows, k = near.shape
    counts = np.bincount((near + classes * np.arange(rows)[:, None]).ravel(), minlength=rows * classes)
    shares: Probabilities = (counts.reshape(rows, classes) + 1 / classes) / (k + 1)
    return shares
