"""Models in MLflow: safetensors and the code that reads them, never pickle.

A study's run has the network that it keeps, which takes rows; once it stands for promotion also the whole classifier,
which takes images and is what is registered.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import mlflow.pyfunc
import pandas as pd
from mlflow.entities import LoggedModelStatus
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from numpy import dtype

from lib.features.config import FeatureSettings
from lib.files import digest_file, sealed, write_bytes, write_json
from lib.mlp.tensor_files import read_tensors
from lib.prediction import Recipe, weights_name
from lib.studies.study import Record
from lib.text import listed
from lib.tracking.card import FILE as CARD
from lib.tracking.store import Tracking, quieten

IMAGE_CLASSIFIER = "image-classifier"
"""Name of the logged model that takes images."""

_LIBRARY = Path(__file__).resolve().parent.parent
_NETWORK_NEEDS = ("mlflow", "numpy", "pydantic", "safetensors", "scikit-learn")
_IMAGES_NEED = (*_NETWORK_NEEDS, "fsspec", "pandas", "pillow", "pyarrow", "scipy", "torch", "torchvision")


def log_network(tracking: Tracking, run_id: str, record: Record[Any]) -> str:
    """Log the record's network as a pyfunc model of the run and return its URI; a second call finds the first's.

    The model takes float32 rows and returns class probabilities; it carries the code it needs, so
    `mlflow.pyfunc.load_model` loads it where probeflow is not installed.
    """
    assert record.model is not None
    name = record.name.replace("_", "-")
    if (found := _logged(tracking, run_id, name)) is not None:
        return f"models:/{found}"
    example, _ = read_tensors(record.folder / record.model.example)
    inputs, outputs = example["inputs"], example["probabilities"]
    signature = ModelSignature(
        Schema([TensorSpec(dtype("float32"), (-1, inputs.shape[1]))]),
        Schema([TensorSpec(outputs.dtype, (-1, outputs.shape[1]))]),
    )
    logged = _log(
        run_id,
        name=name,
        python_model=str(Path(__file__).with_name("network_model.py")),
        artifacts={"network": _address(record.folder / record.model.network)},
        signature=signature,
        input_example=inputs,
        pip_requirements=_pinned(_NETWORK_NEEDS),
        metadata={"description": record.model.description},
    )
    return str(logged.model_uri)


def log_image_classifier(
    tracking: Tracking,
    run_id: str,
    record: Record[Any],
    recipe: Recipe,
    settings: FeatureSettings | None,
    cache: Path,
    mirror: str | None,
    examples: Sequence[bytes],
    card: str,
) -> str:
    """Log the record's network with all that leads from an image to its label; returns the model's id, also a second time.

    Random weights are drawn again from their seed; ImageNet's go with the model, as far as the layer needs them. Raises
    WeightsError when ImageNet weights cannot be had.

    `settings`: those of the extraction, by which its weights are found here; None for a classifier of raw pixels.
    `examples`: image files, which MLflow keeps as the input example. `card`: the model card, kept beside the networks.
    """
    assert record.model is not None
    if (found := _logged(tracking, run_id, IMAGE_CLASSIFIER)) is not None:
        return found
    with TemporaryDirectory(prefix="probeflow-model-") as folder:
        artifacts = {"network": _address(record.folder / record.model.network)}
        if recipe.features is not None and settings is not None and (name := weights_name(settings)) is not None:
            from lib.backbones.network import save_weights

            weights = Path(folder) / name
            save_weights(settings, cache, mirror, weights)
            features = recipe.features.model_copy(update={"weights_file_sha256": digest_file(weights)})
            recipe = recipe.model_copy(update={"features": features})
            artifacts["weights"] = _address(weights)
        recipe_file, card_file = Path(folder) / "recipe.json", Path(folder) / CARD
        artifacts |= {"recipe": _address(recipe_file), "card": _address(card_file)}
        write_json(recipe_file, sealed(recipe.model_dump(mode="json")))
        write_bytes(card_file, card.encode())
        logged = _log(
            run_id,
            name=IMAGE_CLASSIFIER,
            python_model=str(Path(__file__).with_name("image_model.py")),
            artifacts=artifacts,
            signature=ModelSignature(
                Schema([ColSpec(DataType.binary, "image")]),
                Schema(
                    [
                        ColSpec(DataType.string, "label", required=False),
                        ColSpec(DataType.double, "probability", required=False),
                        ColSpec(DataType.string, "error", required=False),
                    ]
                ),
            ),
            input_example=pd.DataFrame({"image": list(examples)}),
            pip_requirements=_pinned(_IMAGES_NEED),
            metadata={"description": f"Images of {listed(recipe.class_names)} to labels. {record.model.description}"},
        )
    return str(logged.model_id)


def _address(file: Path) -> str:
    """A file's address: in a plain path MLflow takes "#" and "%" for marks."""
    return file.absolute().as_uri()


def _log(run_id: str, **options: Any) -> Any:
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(code_paths=[str(_LIBRARY)], **options)
    quieten()  # MLflow leaves its logger at another level
    return logged


def _logged(tracking: Tracking, run_id: str, name: str) -> str | None:
    """Id of the run's model of this name."""
    run = tracking.client.get_run(run_id)
    for output in run.outputs.model_outputs if run.outputs else []:
        model = tracking.client.get_logged_model(output.model_id)
        if model.name == name and model.status == LoggedModelStatus.READY:  # a crash leaves one that is not
            return str(output.model_id)
    return None


def _pinned(packages: tuple[str, ...]) -> list[str]:
    return [f"{name}=={version(name)}" for name in packages]
