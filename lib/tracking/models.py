"""Networks in MLflow: safetensors and the code that reads them, never pickle; and the registry's alias."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import mlflow
import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.types import Schema, TensorSpec
from numpy import dtype
from safetensors.numpy import load_file

from lib.studies.record import StudyRecord
from lib.tracking.store import Tracking

CHAMPION = "champion"
_NONE_YET = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}
"""How MLflow says that there is no such model, and that it has no such alias; anything else is no answer."""

_LIBRARY = Path(__file__).resolve().parent.parent
_CODE = Path(__file__).with_name("network_model.py")


def log_network(tracking: Tracking, run_id: str, record: StudyRecord) -> str:
    """Log the record's network as a pyfunc model of the run and return its URI; a second call finds the first's.

    The model takes float32 rows and returns class probabilities; it carries the code it needs, so
    `mlflow.pyfunc.load_model` loads it where probeflow is not installed.
    """
    assert record.model is not None
    run = tracking.client.get_run(run_id)
    for output in run.outputs.model_outputs if run.outputs else []:
        return f"models:/{output.model_id}"
    example = load_file(record.folder / record.model.example)
    inputs, outputs = example["inputs"], example["probabilities"]
    signature = ModelSignature(
        Schema([TensorSpec(dtype("float32"), (-1, inputs.shape[1]))]),
        Schema([TensorSpec(outputs.dtype, (-1, outputs.shape[1]))]),
    )
    level = logging.getLogger("mlflow").level
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name=record.study.replace("_", "-"),
            python_model=str(_CODE),
            artifacts={"network": str(record.folder / record.model.network)},
            code_paths=[str(_LIBRARY)],
            signature=signature,
            input_example=inputs,
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pydantic", "safetensors", "scikit-learn")
            ],
            metadata={"description": record.model.description},
        )
    logging.getLogger("mlflow").setLevel(level)
    return str(logged.model_uri)


@dataclass(frozen=True)
class Champion:
    """The registered version that the alias names."""

    name: str
    version: str
    run_id: str


def champion(tracking: Tracking, name: str) -> Champion | None:
    """The registered model's current champion, if there is one. Raises MlflowException when that cannot be known."""
    try:
        found = tracking.client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in _NONE_YET:
            raise
        return None
    return Champion(name, str(found.version), str(found.run_id))


def promote(tracking: Tracking, name: str, run_id: str, note: str) -> Champion:
    """Register the run's model under `name`, unless it already is, and move the champion alias to it."""
    client = tracking.client
    try:
        client.create_registered_model(name, description="Image classifier on frozen AlexNet features, by probeflow.")
    except MlflowException:
        client.get_registered_model(name)  # it is there already; any other fault shows itself here
    versions = client.search_model_versions(f"name = '{name}'")
    registered = next((each for each in versions if each.run_id == run_id), None)
    if registered is None:
        model = client.get_run(run_id).outputs.model_outputs[0].model_id
        # A server takes this source only beside the model's id, which it checks the caller's right to.
        registered = client.create_model_version(name, f"models:/{model}", run_id, description=note, model_id=model)
    client.set_registered_model_alias(name, CHAMPION, registered.version)
    return Champion(name, str(registered.version), run_id)
