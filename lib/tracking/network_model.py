"""The code MLflow stores with a network (models-from-code): read the safetensors file, return probabilities."""

from __future__ import annotations

import warnings

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext

from lib.mlp.store import load_network

# The signature is logged with the model; hints on `predict` would make MLflow infer another.
warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method")


class NetworkModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Class probabilities, shape (n, classes), of float32 rows, shape (n, features)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the network once."""
        self.network = load_network(context.artifacts["network"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Score rows given as an array or a frame."""
        return self.network.predict_proba(np.asarray(model_input, dtype=np.float32))


mlflow.models.set_model(NetworkModel())
