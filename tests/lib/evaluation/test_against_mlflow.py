"""Our measures against those of MLflow's own evaluator, which loads a logged model and asks it itself."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from lib.evaluation.measures import weighted_measures

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(keyword-only|inplace keyword)"),  # MLflow's own
    pytest.mark.filterwarnings("ignore:Hint. Inferred schema"),  # the same
]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """An experiment in a store of its own, which MLflow's functions mean meanwhile."""
    folder = tmp_path_factory.mktemp("mlflow")
    before, uri = mlflow.get_tracking_uri(), f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)  # which MLflow sets too
        mlflow.set_tracking_uri(uri)
        yield mlflow.create_experiment("measures", (folder / "artifacts").as_uri())
        mlflow.set_tracking_uri(before)


def judged(experiment: str, classes: int, weights: np.ndarray | None):
    """What MLflow says of a weak model on 300 digits, and the labels and probabilities that we judge."""
    pixels, labels = load_digits(n_class=classes, return_X_y=True)
    pixels = pixels[:, 20:28] / 16  # one row of an image, so that it errs
    table = pd.DataFrame(pixels, columns=[f"pixel_{place}" for place in range(8)])
    model = LogisticRegression().fit(table[:-300], labels[:-300])
    rows = table[-300:].reset_index(drop=True)
    settings = {"log_model_explainability": False, "average": "macro", "sample_weights": weights}
    with mlflow.start_run(experiment_id=experiment):
        logged = mlflow.sklearn.log_model(model, name="model", pip_requirements=[], serialization_format="skops")
        evaluated = mlflow.models.evaluate(
            logged.model_uri,
            rows.assign(label=labels[-300:]),
            targets="label",
            model_type="classifier",
            evaluators="default",
            evaluator_config=settings,
        )
    return evaluated, labels[-300:], model.predict_proba(rows)


def ours(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None) -> dict[str, float]:
    every = np.ones((1, len(labels))) if weights is None else weights[None]
    return {name: values[0] for name, values in weighted_measures(labels, probabilities, every).items()}


def require_equal(found, theirs, names):
    """`names`: our name of each measure that is compared, and theirs."""
    assert {name: found[name] for name in names} == pytest.approx(
        {name: theirs[each] for name, each in names.items()}, abs=1e-9
    )


@pytest.fixture(params=[None, 1], ids=["plain", "weighted"])
def weights(request):
    return None if request.param is None else np.random.default_rng(request.param).uniform(0.5, 2, 300)


def test_of_two_classes_the_two_agree(experiment, weights):
    evaluated, labels, probabilities = judged(experiment, 2, weights)
    found, theirs = ours(labels, probabilities, weights), evaluated.metrics
    assert 0.6 < found["accuracy"] < 0.99
    names = {
        "accuracy": "accuracy_score",
        "f1": "f1_score",
        "loss": "log_loss",
        "roc_auc": "roc_auc",
        "average_precision": "precision_recall_auc",
    }
    require_equal(found, theirs, names)


def test_of_ten_classes_the_two_agree_over_all_and_on_each_class_against_the_rest(experiment, weights):
    evaluated, labels, probabilities = judged(experiment, 10, weights)
    found, theirs = ours(labels, probabilities, weights), evaluated.metrics
    names = {
        "accuracy": "accuracy_score",
        "balanced_accuracy": "recall_score",
        "f1_macro": "f1_score",
        "loss": "log_loss",
    }
    require_equal(found, theirs, names)
    table = evaluated.artifacts["per_class_metrics"].content.set_index("positive_class")
    for label, row in table.iterrows():
        score = probabilities[:, label]
        alone = ours((labels == label).astype(int), np.stack([1 - score, score], axis=1), weights)
        assert alone["roc_auc"] == pytest.approx(row["roc_auc"], abs=1e-9)
        assert alone["average_precision"] == pytest.approx(row["precision_recall_auc"], abs=1e-9)
