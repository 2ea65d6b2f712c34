"""The test probabilities of every model that a study compared, kept so that any two can be compared again later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError

from lib.errors import DataError
from lib.evaluation.paired import PairedPredictions, compare_predictions
from lib.mlp.tensor_files import read_tensors, write_tensors
from lib.storage.copies import fetch_file

FILE = "predictions.safetensors"
_FORMAT = "probeflow-predictions-1"


@dataclass(frozen=True)
class Predictions:
    """What models said of one dataset's test rows."""

    dataset_digest: str
    """The dataset whose test rows these are, in its order."""
    labels: npt.NDArray[np.int64]
    """Int64, shape (n,)."""
    probabilities: Mapping[str, npt.NDArray[np.floating]]
    """Mapping of str to ndarray, shape (n, classes). Name of a model -> its probabilities, as they were scored."""
    groups: npt.NDArray[np.int64] | None = None
    """Int64, shape (n,), or None. Rows that are not independent, as the dataset's split has them."""
    chosen: str | None = None
    """The model that the study is about."""

    def of(self, name: str) -> npt.NDArray[np.int64]:
        """The classes that a model predicted, shape (n,).

        Raises DataError when no model of that name was compared; it names those that were.
        """
        if name not in self.probabilities:
            raise DataError(f"no predictions of {name!r} were kept (there are: {', '.join(self.probabilities)})")
        predicted: npt.NDArray[np.int64] = self.probabilities[name].argmax(axis=1)
        return predicted

    def same_rows(self, other: Predictions) -> bool:
        """Whether both are of the same test rows, in one order."""
        return self.dataset_digest == other.dataset_digest and np.array_equal(self.labels, other.labels)

    def compare(self, name: str, other: Predictions, other_name: str) -> PairedPredictions:
        """A model here less one of another study, or of this one, on the test rows that both answered.

        Raises DataError when the two were tested on different rows, or a name is unknown.
        """
        if not self.same_rows(other):
            raise DataError(
                f"predictions on dataset {self.dataset_digest[:12]} and on {other.dataset_digest[:12]} cannot be compared: "
                "run both models on the same test images"
            )
        return compare_predictions(self.of(name), other.of(other_name), self.labels, self.groups)


def compare_chosen(ours: Predictions | None, theirs: Predictions | None) -> PairedPredictions | None:
    """Accuracy of the one study's network less the other's; None where not both predicted the same images."""
    if ours is None or theirs is None or not ours.chosen or not theirs.chosen or not ours.same_rows(theirs):
        return None
    return ours.compare(ours.chosen, theirs, theirs.chosen)


def save_predictions(folder: Path, predictions: Predictions) -> None:
    tensors: dict[str, npt.NDArray[Any]] = {f"of {name}": each for name, each in predictions.probabilities.items()}
    metadata = {"format": _FORMAT, "dataset": predictions.dataset_digest}
    if predictions.chosen is not None:
        metadata["chosen"] = predictions.chosen
    tensors["labels"] = predictions.labels.astype(np.int64)
    if predictions.groups is not None:
        tensors["groups"] = predictions.groups.astype(np.int64)
    write_tensors(folder / FILE, tensors, metadata)


def read_predictions(folder: Path) -> Predictions:
    """The predictions kept in a study's folder. Raises DataError when there are none, or the file is damaged."""
    path = folder / FILE
    fetch_file(path)
    try:
        tensors, metadata = read_tensors(path, must=True)
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"format {metadata.get('format')!r}")
        labels, groups = tensors.pop("labels"), tensors.pop("groups", None)
        probabilities = {name.removeprefix("of "): values for name, values in sorted(tensors.items())}
        return Predictions(metadata["dataset"], labels, probabilities, groups, metadata.get("chosen"))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise DataError(
            f"predictions {path} cannot be read ({error}); delete its folder and run the study again"
        ) from None
