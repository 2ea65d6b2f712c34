"""What a classifier answered for each test image: two models' answers to the same images can be compared in pairs.

One small file, `predictions.safetensors`: tensors "labels" and "predicted", int32 of shape (n,), in the order of the
dataset's test split; the metadata holds the dataset's digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save as to_bytes

from lib.files import write_bytes
from lib.mlp.store import read_tensors

NAME = "predictions.safetensors"


@dataclass(frozen=True)
class Predictions:
    """True and predicted classes of the test images of a dataset: two int arrays of shape (n,)."""

    data_digest: str
    labels: npt.NDArray[np.integer]
    predicted: npt.NDArray[np.integer]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which images were recognised, shape (n,)."""
        found: npt.NDArray[np.bool_] = self.labels == self.predicted
        return found

    def same_images(self, other: Predictions) -> bool:
        """Whether both are of the same images in the same order."""
        return self.data_digest == other.data_digest and np.array_equal(self.labels, other.labels)


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Keep the predictions in a study's folder."""
    tensors = {"labels": predictions.labels.astype(np.int32), "predicted": predictions.predicted.astype(np.int32)}
    write_bytes(folder / NAME, to_bytes(tensors, {"data": predictions.data_digest}))


def read_predictions(path: Path) -> Predictions | None:
    """The predictions in a file; None when there are none, or they are damaged."""
    try:
        tensors, metadata = read_tensors(path)
        return Predictions(metadata["data"], tensors["labels"], tensors["predicted"])
    except (OSError, SafetensorError, KeyError):
        return None
