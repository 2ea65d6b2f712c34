"""Data sources: each yields a verified Dataset with a content digest, downloaded once or taken from a mirror."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lib.addresses import without_secrets
from lib.datasets.copies import offline, online
from lib.datasets.dataset import Dataset, Split, hold_out, take
from lib.datasets.leakage import leakage_warnings, require_no_leakage, shared_images
from lib.datasets.places import is_url
from lib.datasets.shrinking import Shrink
from lib.datasets.sources import EncodedSource, SourceSettings, loader_of, look_ahead
from lib.datasets.splits import hold_out_rows
from lib.datasets.understood import LeftOut, Reading, SplitsBy, Understood, Why
from lib.errors import AbsentError
from lib.machine import from_home

__all__ = [
    "Dataset",
    "LeftOut",
    "Reading",
    "Split",
    "SplitsBy",
    "Understood",
    "Why",
    "acquire",
    "hold_out",
    "hold_out_rows",
    "leakage_warnings",
    "on_disk",
    "require_no_leakage",
    "shared_images",
    "splits_ahead",
    "take",
]


def acquire(
    source: SourceSettings, data_dir: Path, mirror: str | None = None, small_copies: Sequence[Shrink] = ()
) -> Dataset:
    """Fetch what is missing, verify, and load; a second call downloads nothing.

    `source`: settings of a registered kind of source, see `lib.datasets.sources`.
    `data_dir`: files land under `<data_dir>/raw`.
    `mirror`: "file:///…" or "https://…": taken instead of the public addresses, same relative names.
    `small_copies`: of large encoded images these are kept while they are verified, so that who needs them decodes
    nothing again.

    Raises ConfigError when the kind is not registered; DataError when the data is missing, damaged, or not what it
    claims to be; StorageError when `data_dir` cannot be written.
    """
    source = _found_from_anywhere(source, mirror)
    if isinstance(source, EncodedSource):
        source = source.keeping(small_copies)
    dataset = loader_of(source)(source, data_dir / "raw", mirror)
    paths = [getattr(source, name) for name in source.path_fields]
    under = mirror if any(map(_is_name, paths)) else None
    address = source.address and without_secrets(_under(online(mirror), source.address))
    return replace(dataset, source=source.model_dump(mode="json"), mirror=under, address=address)


def splits_ahead(source: SourceSettings, data_dir: Path, mirror: str | None = None) -> tuple[str, ...] | None:
    """The names of the splits that a source will have, as far as they show without fetching or reading an image.

    None when that is not known, as of an archive or a URL. An image folder without a test split gets one.

    Raises DataError when a folder is not there, or is not laid out as a dataset.
    """
    return look_ahead(source, data_dir / "raw", mirror)


def _is_name(path: str) -> bool:
    """Whether it is a name under a mirror."""
    return not is_url(path) and not os.path.isabs(path)  # noqa: PTH117 - as it is given


def _under(mirror: str | None, address: str) -> str:
    return f"{mirror.rstrip('/')}/{address}" if mirror and _is_name(address) else address


def _found_from_anywhere(source: SourceSettings, mirror: str | None) -> SourceSettings:
    """The source with the absolute paths of what lies here, so that its settings hold in another folder too."""
    paths = {name: getattr(source, name) for name in source.path_fields}
    only_here = mirror in (None, offline(None))
    found = {name: _absolute(path, only_here) for name, path in paths.items() if not is_url(path)}
    return source.model_copy(update={name: path for name, path in found.items() if path is not None})


def _absolute(path: str, only_here: bool) -> str | None:
    """A path from the root on; None when nothing lies there, and it may be a name under a mirror.

    One that goes up, as "..", gets the name of where that leads to. With `only_here` it may be a pattern.
    """
    if "\0" in path:
        return None
    if not os.path.exists(path):  # noqa: PTH110 - Path's raises for some names, as do the next ones'
        path = str(from_home(path))
        as_pattern = re.sub(r"\{[^{}]*\}", "*", path)
        if not (os.path.exists(path) or (only_here and any(True for _ in glob.iglob(as_pattern)))):  # noqa: PTH110, PTH207
            return None
    return str(Path(path).resolve() if ".." in Path(path).parts else Path(path).absolute())


def on_disk(
    source: SourceSettings, data_dir: Path, mirror: str | None = None, small_copies: Sequence[Shrink] = ()
) -> Dataset | None:
    """The dataset if nothing of it has to be fetched, else None. Takes, and raises for bad data, what `acquire` does."""
    try:
        return acquire(source, data_dir, offline(mirror), small_copies)
    except AbsentError:
        return None
