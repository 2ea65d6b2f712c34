"""The code MLflow stores with a network (models-from-code): read the safetensors file, return probabilities."""

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext

from lib.mlp.store import load_network


class NetworkModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """Class probabilities, shape (n, classes), of float32 rows, shape (n, features)."""

    def load_context(self, context: PythonModelContext) -> None:
        self.network = load_network(context.artifacts["network"])

    # A plain array as the hint: MLflow warns of none, and would infer a signature from one with more to it.
    def predict(self, context: PythonModelContext, model_input: np.ndarray, params=None):  # type: ignore
        return self.network.predict_proba(np.asarray(model_input, dtype=np.float32))


mlflow.models.set_model(NetworkModel())
