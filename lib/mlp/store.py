"""Networks and trial results on disk: safetensors and JSON, never pickle, so loading a file runs no code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError

from lib.errors import DataError
from lib.files import atomic_path, digest_json, sealed, unsealed, write_json
from lib.mlp.estimator import MLPClassifier
from lib.mlp.network import Network
from lib.mlp.tensor_files import read_tensors, write_tensors
from lib.mlp.training import TrialResult
from lib.mlp.trial import Trial, stated

ENGINE = 4
"""Raised when the arithmetic of training changes, so that stored results are not taken for the new engine's."""

_FORMAT = "probeflow-network-2"


def trial_key(trial: Trial, data_digest: str) -> str:
    """Digest of all that decides a trial's result: settings, rows, engine."""
    return digest_json([ENGINE, trial.model_dump(mode="json"), data_digest])


def save_network(path: Path, model: MLPClassifier) -> None:
    """Write a fitted classifier to `path`, atomically.

    Parameters are tensors "weights.k" and "biases.k"; settings, classes, history and optional input standardisation
    go into the file's metadata and tensors.
    """
    tensors = {"classes": np.asarray(model.classes_)} if model.classes_.dtype.kind in "iu" else {}
    for index, (weights, biases) in enumerate(zip(model.network_.weights, model.network_.biases, strict=True)):
        tensors[f"weights.{index}"] = weights
        tensors[f"biases.{index}"] = biases
    settings = stated({name: value for name, value in model.get_params().items() if name != "random_state"})
    description = {
        "settings": settings | {"hidden": list(model.hidden)},
        "sizes": model.network_.sizes,
        "classes": None if tensors.get("classes") is not None else [str(name) for name in model.classes_],
        "seed": model.random_state if isinstance(model.random_state, int) else None,
    }
    write_tensors(path, tensors, {"format": _FORMAT, "network": json.dumps(description)})


def write_vectors(
    path: Path,
    sizes: Mapping[str, int],
    vectors: Iterable[npt.NDArray[np.floating]],
    dtype: np.dtype[Any],
    metadata: Mapping[str, str],
) -> None:
    """Write vectors as a safetensors file, atomically; they are taken one by one, so they need not be in memory together.

    `sizes`: length of each vector by name, in the order of `vectors`. `dtype`: float32 or float64.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    stop = 0
    for name, size in sizes.items():
        start, stop = stop, stop + size * dtype.itemsize
        header[name] = {"dtype": f"F{8 * dtype.itemsize}", "shape": [size], "data_offsets": [start, stop]}
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)  # data begins at a multiple of eight bytes
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(content).to_bytes(8, "little") + content)
        for vector in vectors:
            file.write(np.ascontiguousarray(vector, dtype.newbyteorder("<")).data)


def load_network(path: str | Path) -> MLPClassifier:
    """Read a classifier that predicts exactly as the saved one did; its history and optimiser are not kept.

    Raises DataError when the file is missing, damaged, or not a probeflow network.
    """
    try:
        tensors, metadata = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"network file {path} cannot be read ({error}); train it again") from None
    if metadata.get("format") != _FORMAT:
        raise DataError(f"network file {path} was not written by probeflow (format {metadata.get('format')!r})")
    if set(metadata) != {"format", "network"}:
        raise DataError(f"network file {path} is damaged (its metadata is not what was written); train it again")
    description = json.loads(metadata["network"])
    settings = description["settings"]
    model = MLPClassifier(**settings | {"hidden": tuple(settings["hidden"])}, random_state=description["seed"])
    network = Network(description["sizes"], settings["activation"], tensors["weights.0"].dtype)
    for index in range(len(network.weights)):
        network.weights[index][...] = tensors[f"weights.{index}"]
        network.biases[index][...] = tensors[f"biases.{index}"]
    model.adopt(network, tensors.get("classes", np.array(description["classes"] or [])))
    return model


def save_result(folder: Path, result: TrialResult, key: str) -> None:
    """Keep a result as `<key>.safetensors` and `<key>.json`; the JSON lands last and is the mark that both are whole."""
    save_network(folder / f"{key}.safetensors", result.network)
    history = [{name: value if math.isfinite(value) else None for name, value in row.items()} for row in result.history]
    content = {
        "trial": result.trial.model_dump(mode="json"),
        "diverged_epoch": result.diverged_epoch,
        "ended": result.ended,
        "history": history,
    }
    write_json(folder / f"{key}.json", sealed(content))


def load_result(folder: Path, key: str) -> TrialResult | None:
    """The result kept under `key`, or None when there is none or it is damaged (it is then trained again)."""
    path = folder / f"{key}.json"
    if not path.exists():
        return None
    try:
        content = unsealed(json.loads(path.read_text(encoding="utf-8")), must=True)
        network = load_network(folder / f"{key}.safetensors")
        history = tuple(
            {name: math.nan if value is None else value for name, value in record.items()}
            for record in content["history"]
        )
        trial = Trial.model_validate(content["trial"])
        return TrialResult(trial, history, content["diverged_epoch"], network, content["ended"])
    except (DataError, ValidationError, ValueError, KeyError, TypeError):
        return None
