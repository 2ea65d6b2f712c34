"""Image files through a registered model, as MLflow loads it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd

from lib.datasets.decoding import NO_FILE
from lib.errors import command
from lib.tracking.past_runs import newest_whole_run
from lib.tracking.registry import Registry
from lib.tracking.store import DATA_TAG, Tracking


@dataclass(frozen=True)
class Labelled:
    """What the model says of one file: a label and its probability, or why there is none."""

    image: str
    label: str | None
    probability: float | None
    error: str | None


@dataclass(frozen=True)
class LoadedVersion:
    """A registered version, ready to label images: its name and number, what it was trained on, and the model."""

    title: str
    data: str
    model: Any


def load_version(tracking: Tracking, name: str, wanted: str) -> LoadedVersion:
    """Load the version of a registered model with this number or alias.

    Raises ConfigError when there is none; WeightsError when a frozen network's weights are not those that it was
    trained with.
    """
    version = Registry(tracking, name).version(wanted)
    title = f"{name} version {version.number}"
    path, level = list(sys.path), logging.getLogger("mlflow").level
    try:
        model = mlflow.pyfunc.load_model(version.uri)
    finally:
        sys.path[:] = path  # MLflow puts the model's copy of this library there, which is loaded already
        logging.getLogger("mlflow").setLevel(level)
    return LoadedVersion(title, version.data, model)


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


def label_images(classifier: LoadedVersion, paths: Sequence[Path]) -> list[Labelled]:
    """Label some files, in order; one that cannot be read says why."""
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
    answers = iter(())
    if contents:
        answers = classifier.model.predict(pd.DataFrame({"image": contents})).itertuples(index=False)
    return [
        Labelled(str(path), None, None, unread[row]) if row in unread else Labelled(str(path), *next(answers))
        for row, path in enumerate(paths)
    ]
