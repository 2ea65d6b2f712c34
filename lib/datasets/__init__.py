"""Data sources: each yields a verified Dataset with a content digest, downloaded once or taken from a mirror.

A new source is one module with `load`, one settings class in `sources.py`, and one entry in `_SOURCES`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from lib.datasets.dataset import Dataset, Split
from lib.datasets.download import NOWHERE
from lib.datasets.leakage import leakage_warnings, require_no_leakage, shared_images
from lib.datasets.places import is_url
from lib.datasets.splits import hold_out, hold_out_rows, take
from lib.errors import AbsentError

__all__ = [
    "Dataset",
    "Split",
    "acquire",
    "hold_out",
    "hold_out_rows",
    "leakage_warnings",
    "on_disk",
    "require_no_leakage",
    "shared_images",
    "take",
]

_EMBEDDED = {"digits": "digits", "photo-patches": "photo_patches"}
_FETCHED = {
    "mnist": "mnist",
    "letters": "letters",
    "cifar10": "cifar10",
    "folder": "image_folder",
    "webdataset": "web_dataset",
    "parquet": "parquet_images",
}


def acquire(source: Any, data_dir: Path, mirror: str | None = None) -> Dataset:
    """Fetch what is missing, verify, and load; a second call downloads nothing.

    Parameters
    ----------
    source : Source
        Settings of one source, see `lib.datasets.sources`.
    data_dir : Path
        Files land under `<data_dir>/raw`.
    mirror : str, optional
        "file:///…" or "https://…": taken instead of the public addresses, same relative names.

    Raises
    ------
    DataError
        When the data is missing, damaged, or not what it claims to be.
    StorageError
        When `data_dir` cannot be written.
    """
    source = _found_from_anywhere(source)
    # The modules import scikit-learn or torchvision, which not every source needs.
    dataset: Dataset
    if source.source in _EMBEDDED:
        dataset = import_module(f"lib.datasets.{_EMBEDDED[source.source]}").load(source)
    else:
        dataset = import_module(f"lib.datasets.{_FETCHED[source.source]}").load(source, data_dir / "raw", mirror)
    return replace(dataset, source=source.model_dump(mode="json"))


def _found_from_anywhere(source: Any) -> Any:
    """The source with the absolute path of what lies here, so that its settings hold in another folder too."""
    path = getattr(source, "path", None)
    if path is None or is_url(path) or not os.path.exists(path):  # noqa: PTH110 - Path's raises for some names
        return source
    return source.model_copy(update={"path": str(Path(path).absolute())})


def on_disk(source: Any, data_dir: Path) -> Dataset | None:
    """The dataset if nothing of it has to be fetched, else None. Raises what `acquire` raises, for bad data."""
    try:
        return acquire(source, data_dir, NOWHERE)
    except AbsentError:
        return None
