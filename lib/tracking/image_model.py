"""The code MLflow stores with an image classifier (models-from-code): encoded images in, labels and probabilities out."""

from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from lib.prediction import ImageClassifier


class ImageModel(PythonModel):  # type: ignore[misc]  # MLflow is untyped
    """A frame with a column `image` (bytes of an image file) to one with `label`, `probability` and `error`.

    An image that cannot be read has no label and says why in `error`; the others of the frame have theirs.
    """

    def load_context(self, context: PythonModelContext) -> None:
        files = {name: Path(path) for name, path in context.artifacts.items()}
        self.classifier = ImageClassifier.load(files["recipe"], files["network"], files.get("weights"))

    # A frame as the hint: MLflow warns of none, and would infer a signature from one with more to it.
    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params=None):  # type: ignore
        answers = self.classifier.classify([bytes(image) for image in model_input["image"]])
        errors = [answers.problems.get(row) for row in range(len(model_input))]
        answer = {"label": answers.labels, "probability": answers.confidences, "error": errors}
        return pd.DataFrame(answer, index=model_input.index, dtype=object)


mlflow.models.set_model(ImageModel())
