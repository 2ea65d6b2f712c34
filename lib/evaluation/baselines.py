"""scikit-learn's models that a network has to stand beside, trained and asked on the very rows that it was."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.evaluation.peers import train_sklearn
from lib.mlp.training import TrialData
from lib.mlp.trial import Trial

Rows = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.floating]
MAJORITY = "majority class"

LOGISTIC = "logistic regression"
PEER = "scikit-learn MLPClassifier"

_LOGISTIC_STEPS, _MANY_VALUES, _FEWER_STEPS = 1000, 25_000_000, 100
"""Steps of L-BFGS at most; of training rows with so many values (MNIST has 47 million), fewer: its accuracy on MNIST is
then 0.926 after 13 s."""


def same_network(trial: Trial, data: TrialData, rows: Rows) -> Probabilities:
    """scikit-learn's MLPClassifier at the trial's settings and seed, for as many epochs; diverged, it says nothing."""
    return _all_classes(np.unique(data.y_train), train_sklearn(trial, data, rows).probabilities, data.n_classes)


def logistic_regression(trial: Trial, data: TrialData, rows: Rows) -> Probabilities:
    """Multinomial logistic regression with scikit-learn's own penalty (L2, C = 1): no setting of it is searched."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    steps = _LOGISTIC_STEPS if data.X_train.size < _MANY_VALUES else _FEWER_STEPS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # so many steps are near enough for a baseline
        model = LogisticRegression(max_iter=steps, random_state=trial.seed).fit(data.X_train, data.y_train)
    return _predicted(model, data, rows)


def majority_class(trial: Trial, data: TrialData, rows: Rows) -> Probabilities:
    """The most frequent class of the training rows, always; its probabilities are the classes' shares."""
    from sklearn.dummy import DummyClassifier

    return _predicted(DummyClassifier(strategy="prior").fit(data.X_train, data.y_train), data, rows)


BASELINES: dict[str, Callable[[Trial, TrialData, Rows], Probabilities]] = {
    PEER: same_network,
    LOGISTIC: logistic_regression,
    MAJORITY: majority_class,
}
"""Name -> probabilities, shape (n, classes), of `rows` by a model trained on the training rows of `data` alone."""


def _predicted(model: Any, data: TrialData, rows: Rows) -> Probabilities:
    return _all_classes(model.classes_, model.predict_proba(rows), data.n_classes)


def _all_classes(known: npt.NDArray[np.int64], probabilities: Probabilities, classes: int) -> Probabilities:
    """Probabilities with a column for each class; scikit-learn leaves out those that have no training row."""
    whole = np.zeros((len(probabilities), classes), probabilities.dtype)
    whole[:, known] = probabilities
    return whole
