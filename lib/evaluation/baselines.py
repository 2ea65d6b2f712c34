"""Models that a network is compared with, trained on the same rows: each is one function and one entry of `BASELINES`.

A baseline that does not converge, or diverges, is a result and not an error.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.evaluation.neighbours import nearest
from lib.machine import one_blas_thread, subnormals_as_zero
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial

Rows = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Settings = dict[str, str | int | float]

PATH_OF_C = tuple(float(f"{C:.3g}") for C in np.logspace(-6, 5, 45))
"""What logistic regression's C is chosen from, the strongest penalty first: the 45 values of DINOv2's linear evaluation."""
_PATH: dict[str, Any] = {"max_iter": 100, "tol": 1e-5}
"""Steps of L-BFGS at most with each C, which begins where the one before ended, and the largest slope that ends them."""
_FINAL: dict[str, Any] = {"max_iter": 1000, "tol": 1e-6}
"""The same of the final fit, which begins at 0: weak penalties are met only within so small a slope."""
_STRIDE = 4
"""Every fourth value, a power of ten, is tried first, then those between the best of them and its neighbours."""
_PATIENCE = 2
"""The first pass ends after so many values without a higher accuracy or a lower loss."""

NEIGHBOURS = (1, 5, 10, 20, 50, 100, 200)
"""What k is chosen from."""
TEMPERATURES = (0.02, 0.07, 0.2)
"""What the temperature of weighted votes is chosen from; DINO's is 0.07."""


@dataclass(frozen=True)
class Question:
    """What a baseline is trained on, and which rows it predicts."""

    data: TrialData
    """It learns from the training rows alone."""
    rows: Rows
    """Float32, shape (n, features). The rows to predict."""
    trial: Trial | None = None
    """The settings of the network that it is compared with."""
    seed: int = 0
    held_out: Positions = field(default_factory=lambda: np.arange(0))
    """Int64, shape (m,). Positions of training rows that settings are chosen on, kept out of training while they
    are; without any, nothing is chosen."""


@dataclass(frozen=True)
class Choice:
    """Settings as chosen among `tried`; `at_end` names those whose value ends its path, so that a better may lie beyond."""

    settings: Settings
    tried: int = 1
    at_end: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a baseline predicts."""

    probabilities: Probabilities
    """Float64, shape (n, classes)."""
    choice: Choice
    choosing_seconds: float
    seconds: float
    """How long choosing the settings took, and then training on all training rows and predicting."""


@dataclass(frozen=True)
class Baseline:
    """A model to compare with."""

    title: str
    predict: Callable[[Question, Settings], tuple[npt.NDArray[np.floating], Settings]]
    """Trains with such settings; probabilities of the rows for all classes, and the settings as they were."""
    choose: Callable[[Question], Choice] | None = None
    """Chooses settings on held-out rows, where there are settings to choose."""
    usual: Settings = field(default_factory=dict)
    """The settings where none are chosen."""
    per_trial: bool = False
    """Whether it depends on the trial and the seed; if not, one answer serves all seeds."""
    hidden: Callable[[Trial | None], Sequence[int]] | None = None
    """Units of its hidden layers, none of a linear model; None where it has no trainable weights."""

    def parameters(self, features: int, classes: int, trial: Trial | None) -> int | None:
        """How many weights and biases it has; scikit-learn's models decide between two classes by one output."""
        if self.hidden is None:
            return None
        sizes = (features, *self.hidden(trial), 1 if classes == 2 else classes)
        return sum((below + 1) * above for below, above in pairwise(sizes))

    def answer(self, question: Question) -> Answer:
        choice, choosing, data = Choice(self.usual), 0.0, question.data
        started = time.perf_counter()
        if self.choose is not None and 0 < len(question.held_out) < len(data.y_train) and not _one_class(data):
            choice = self.choose(question)
            choosing = time.perf_counter() - started
        probabilities, settings = self.predict(question, choice.settings)
        seconds = time.perf_counter() - started - choosing
        return Answer(probabilities.astype(np.float64), replace(choice, settings=settings), choosing, seconds)


def majority(question: Question, settings: Settings) -> tuple[Probabilities, Settings]:
    """The most frequent class of the training rows, always; its probabilities are the classes' shares."""
    data = question.data
    shares = np.bincount(data.y_train, minlength=data.n_classes) / len(data.y_train)
    return np.tile(shares, (len(question.rows), 1)), {}


def logistic_regression(question: Question, settings: Settings) -> tuple[npt.NDArray[np.floating], Settings]:
    """scikit-learn's multinomial logistic regression, by L-BFGS, with an L2 penalty of strength 1 / C."""
    from sklearn.linear_model import LogisticRegression

    data = question.data
    if _one_class(data):
        return majority(question, settings)
    with _any_convergence():
        model = LogisticRegression(C=float(settings["C"]), **_FINAL).fit(data.X_train, data.y_train)
    return _all_classes(model, question.rows, data.n_classes), settings


def choose_penalty(question: Question) -> Choice:
    """The C of highest accuracy on held-out rows; of equals, that of lowest log loss, then of the strongest penalty.

    Held-out rows stay where they are, with weight 0, for features of many rows should not be in memory twice.
    """
    from sklearn.linear_model import LogisticRegression

    data, held_out = question.data, question.held_out
    weights = np.ones(len(data.y_train), data.X_train.dtype)
    weights[held_out] = 0
    rows, labels = data.X_train[held_out], data.y_train[held_out]
    model = LogisticRegression(**_PATH, warm_start=True)
    scores: dict[int, tuple[float, float]] = {}
    start: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | None = None  # the best so far

    def score(place: int) -> None:
        nonlocal start
        with _any_convergence():
            model.set_params(C=PATH_OF_C[place]).fit(data.X_train, data.y_train, weights)
        scores[place] = _score(_all_classes(model, rows, data.n_classes), labels)
        if scores[place] >= max(scores.values()):
            start = model.coef_, model.intercept_

    for place in range(0, len(PATH_OF_C), _STRIDE):
        score(place)
        if len(scores) - 1 - max(np.argmax(list(scores.values()), axis=0)) >= _PATIENCE:
            break
    step = _STRIDE
    while step := step // 2:
        best = max(scores, key=lambda place: (scores[place], -place))
        for place in sorted({best - step, best + step} & set(range(len(PATH_OF_C))) - set(scores)):
            model.coef_, model.intercept_ = start  # type: ignore[misc]
            score(place)
    tried = sorted(scores)
    settings: list[Settings] = [{"C": PATH_OF_C[place]} for place in tried]
    return _best([scores[place] for place in tried], settings, {"C": (PATH_OF_C[0], PATH_OF_C[-1])})


def nearest_neighbours(question: Question, settings: Settings) -> tuple[Probabilities, Settings]:
    """Votes of the k nearest training rows, by Euclidean distance or cosine similarity.

    Votes count alike, or with a temperature T by softmax(similarity / T), as DINO's do (Caron et al. 2021). One neighbour
    more counts, spread evenly over all classes, so that no probability is 0 and every loss is finite.
    """
    data, metric, k = question.data, str(settings["metric"]), int(settings["k"])
    near, similarity = nearest(data.X_train, question.rows, k, (metric,))[metric]
    temperature = settings.get("temperature")
    return _votes(data.y_train[near], similarity, None if temperature is None else float(temperature), data), settings


def choose_neighbours(question: Question) -> Choice:
    """k, the metric and the weights of votes of highest accuracy on held-out rows.

    Of equals, those of lowest log loss; then Euclidean distance before cosine similarity, and the smallest k.
    """
    data, held_out = question.data, question.held_out
    labels, most = data.y_train[held_out], len(data.y_train) - len(held_out)
    known = [k for k in NEIGHBOURS if k <= most]
    every: list[Settings] = []
    scores = []
    every_near = nearest(data.X_train, data.X_train[held_out], known[-1], ("euclidean", "cosine"), held_out)
    for metric, (near, similarity) in every_near.items():
        for temperature in (None, *TEMPERATURES) if metric == "cosine" else (None,):
            for k in known if temperature is None else [k for k in known if k > 1]:
                votes = _votes(data.y_train[near[:, :k]], similarity[:, :k], temperature, data)
                scores.append(_score(votes, labels))
                settings: Settings = {"metric": metric, "k": k}
                every.append(settings if temperature is None else settings | {"temperature": temperature})
    return _best(scores, every, {"k": NEIGHBOURS[-1:]})


def sklearn_mlp(question: Question, settings: Settings) -> tuple[npt.NDArray[np.floating], Settings]:
    """scikit-learn's MLPClassifier at the trial's settings and the seed, for exactly as many epochs.

    Its initialisation (Glorot's) cannot be chosen, and the trial's optional settings it does not have: its own settings
    name these. Adam is trained in AdamW's place. Everything else follows the trial, including the activation, which is read
    back from the trained model so that no row can carry another's name. One that diverges gives equal shares.
    """
    from sklearn.neural_network import MLPClassifier

    data, trial = question.data, question.trial
    if trial is None:
        raise ValueError("the baseline sklearn-mlp needs a trial, whose settings it has")
    if _one_class(data):
        return majority(question, settings)
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
    with _any_convergence(), np.errstate(over="ignore", invalid="ignore"):
        try:
            probabilities = _all_classes(model.fit(data.X_train, data.y_train), question.rows, data.n_classes)
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
    with one_blas_thread(), subnormals_as_zero():
        return baseline.answer(question)


BASELINES: dict[str, Baseline] = {
    "majority": Baseline("majority class", majority),
    "logistic": Baseline(
        "logistic regression", logistic_regression, choose_penalty, {"C": 1.0}, hidden=lambda trial: ()
    ),
    "knn": Baseline("k nearest neighbours", nearest_neighbours, choose_neighbours, {"metric": "euclidean", "k": 1}),
    "sklearn-mlp": Baseline(
        "scikit-learn MLPClassifier", sklearn_mlp, per_trial=True, hidden=lambda trial: trial.hidden if trial else ()
    ),
}
"""By the names that profiles give."""


def _one_class(data: TrialData) -> bool:
    """Whether there is nothing to learn, which scikit-learn's models refuse or answer in another shape."""
    return bool((data.y_train == data.y_train[0]).all())


@contextmanager
def _any_convergence() -> Iterator[None]:
    """Steps and epochs are counted, and as many are near enough for a baseline."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _all_classes(model: Any, rows: Rows, classes: int) -> npt.NDArray[np.floating]:
    """Probabilities with a column for each class; scikit-learn leaves out those that have no training row."""
    probabilities = model.predict_proba(rows)
    whole = np.zeros((len(probabilities), classes), probabilities.dtype)
    whole[:, model.classes_] = probabilities
    return whole


def _score(probabilities: npt.NDArray[np.floating], labels: Positions) -> tuple[float, float]:
    """Accuracy, and log loss below 0: the higher, the better."""
    of_true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.maximum(of_true, np.finfo(np.float32).tiny)).mean()
    return float((probabilities.argmax(axis=1) == labels).mean()), -float(loss)


def _best(
    scores: Sequence[tuple[float, float]], settings: Sequence[Settings], ends: Mapping[str, Collection[float]]
) -> Choice:
    """The settings of the highest score, of equals the first; where no row was wrong, nothing better lies beyond an end."""
    best = max(range(len(scores)), key=scores.__getitem__)
    chosen = settings[best]
    at_end = tuple(name for name, values in ends.items() if chosen[name] in values and scores[best][0] < 1)
    return Choice(chosen, len(scores), at_end)


def _votes(labels: Positions, similarity: Rows, temperature: float | None, data: TrialData) -> Probabilities:
    """Classes' shares of the neighbours' votes, and one neighbour's spread over all; labels and similarity: shape (n, k)."""
    (rows, k), classes = labels.shape, data.n_classes
    weights = np.ones((rows, k))
    if temperature is not None:
        weights = np.exp((similarity - similarity[:, :1]).astype(np.float64) / temperature)
        weights *= k / weights.sum(axis=1, keepdims=True)
    places = (labels + classes * np.arange(rows)[:, None]).ravel()
    counts = np.bincount(places, weights.ravel(), minlength=rows * classes)
    shares: Probabilities = (counts.reshape(rows, classes) + 1 / classes) / (k + 1)
    return shares
