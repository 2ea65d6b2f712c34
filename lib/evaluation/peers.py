"""The peer: scikit-learn's MLPClassifier trained at a trial's settings on the same rows."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lib.mlp.training import TrialData
from lib.mlp.trial import Trial
from lib.progress import Advance, silent

_ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh", "linear": "identity"}


@dataclass(frozen=True)
class PeerResult:
    """What scikit-learn's network predicts: probabilities, shape (n, classes), and the seconds it trained."""

    activation: str
    probabilities: npt.NDArray[np.floating]
    seconds: float


def train_sklearn(
    trial: Trial, data: TrialData, rows: npt.NDArray[np.float32], advance: Advance = silent
) -> PeerResult:
    """Train scikit-learn's MLPClassifier for exactly `trial.epochs` epochs and predict `rows`.

    Its initialisation (Glorot's) cannot be chosen; everything else follows the trial, including the activation,
    which is read back from the trained model so that no row can carry another's name. One that diverges gives equal shares.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        hidden_layer_sizes=trial.hidden,
        activation=_ACTIVATIONS[trial.activation],
        solver=trial.optimizer,
        alpha=trial.l2,
        batch_size=min(trial.batch_size, len(data.X_train)),
        learning_rate_init=trial.learning_rate,
        momentum=trial.momentum,
        nesterovs_momentum=False,
        max_iter=trial.epochs,
        n_iter_no_change=trial.epochs + 1,
        tol=0.0,
        random_state=trial.seed,
    )
    started = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are wanted, not convergence
        try:
            probabilities = model.fit(data.X_train, data.y_train).predict_proba(rows)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            known = len(np.unique(data.y_train))
            probabilities = np.full((len(rows), known), 1 / known)
    seconds = time.perf_counter() - started
    advance(trial.epochs)
    return PeerResult(model.activation, probabilities, seconds)
