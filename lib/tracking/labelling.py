"""Image files through a registered model, as MLflow loads it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc

from lib.datasets.decoding import NO_FILE
from lib.errors import command
from lib.prediction import ImageClassifier
from lib.progress import Advance, silent
from lib.tracking.past_runs import newest_whole_run
from lib.tracking.registry import Registry, Version
from lib.tracking.store import DATA_TAG, Tracking


@dataclass(frozen=True)
class Labelled:
    """What the model says of one file: its most probable classes with their probabilities, or why there are none."""

    file: Path
    best: tuple[tuple[str, float], ...]
    error: str | None = None


@dataclass(frozen=True)
class LoadedVersion:
    """A registered version, ready to label images, as MLflow loaded it."""

    version: Version
    model: Any

    @property
    def title(self) -> str:
        """Its name and number."""
        return f"{self.version.name} version {self.version.number}"

    @property
    def classifier(self) -> ImageClassifier:
        """The classifier itself, which has the probabilities of all classes."""
        classifier: ImageClassifier = self.model.unwrap_python_model().classifier
        return classifier

    @property
    def examples(self) -> list[bytes]:
        """Some of its test images, encoded."""
        return [bytes(image) for image in self.model.input_example["image"]]


def load_version(tracking: Tracking, name: str, wanted: str) -> LoadedVersion:
    """Load the version of a registered model with this number or alias.

    Raises ConfigError when there is none; WeightsError when a frozen network's weights are not those that it was
    trained with.
    """
    version = Registry(tracking, name).version(wanted)
    path, level = list(sys.path), logging.getLogger("mlflow").level
    try:
        model = mlflow.pyfunc.load_model(version.uri)
    finally:
        sys.path[:] = path  # MLflow puts the model's copy of this library there, which is loaded already
        logging.getLogger("mlflow").setLevel(level)
    return LoadedVersion(version, model)


def newer_than_champion(tracking: Tracking, name: str, *, named: bool) -> str | None:
    """A warning where what was trained last is not the champion that labels: it was refused, or is of other data.

    `named`: whether the user named the model; else it is the only one, whatever data the newest run is of.
    """
    registry = Registry(tracking, name)
    champion, newest = registry.champion(), registry.versions()[-1]
    if champion is not None and int(newest.number) > int(champion.number):
        return (
            f"warning: version {newest.number} of this model is newer and not champion; {command('promote')} says why, and "
            f"--version {newest.number} labels with it"
        )
    run = None if named else newest_whole_run(tracking)
    data = "" if run is None else run.data.tags.get(DATA_TAG, "")
    if champion is None or run is None or data.endswith(champion.data_digest[:12]):
        return None
    return f"warning: the newest run, {run.info.run_name}, is of other data ({data}), of which there is no champion"


def label_images(
    classifier: ImageClassifier, paths: Sequence[Path], most: int = 1, advance: Advance = silent
) -> list[Labelled]:
    """Label some files, in order, with at most so many classes each; one that cannot be read says why."""
    contents: list[bytes] = []
    unread: dict[int, str] = {}
    for row, path in enumerate(paths):
        try:
            if path.is_file():
                contents.append(path.read_bytes())
            else:  # reading a pipe would wait for ever
                unread[row] = NO_FILE
        except OSError as error:
            unread[row] = f"cannot be read: {error.strerror}"
    advance(len(unread))
    answers = classifier.classify(contents, advance)
    told = ((best, answers.problems.get(row)) for row, best in enumerate(answers.top(most)))
    return [
        Labelled(path, (), unread[row]) if row in unread else Labelled(path, *next(told))
        for row, path in enumerate(paths)
    ]
