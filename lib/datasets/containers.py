"""Files that hold many images each, such as tar shards: finding them, telling which split each belongs to, their dataset.

A container is indexed once; while its size and stamp stay, what the catalogue knows of it is taken over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lib.addresses import without_secrets
from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import WHOLE, Catalogue, Container, names_of, positions_of, shown
from lib.datasets.collection import Collection, catalogue_file, classes_of, dataset_of
from lib.datasets.copies import is_offline, offline
from lib.datasets.dataset import Dataset
from lib.datasets.encoded import ByteStore
from lib.datasets.image_folder import root_name
from lib.datasets.patterns import expanded, has_braces
from lib.datasets.places import (
    LocalPlace,
    Place,
    RemotePlace,
    is_local,
    is_url,
    open_filesystem,
    remote_errors,
    stamp_of,
)
from lib.datasets.recognition import is_hidden
from lib.datasets.sources import EncodedSource
from lib.datasets.split_names import HOW_TO_SAY, SPLITS, read_paths
from lib.datasets.understood import Reading, SplitsBy, Why, left_out
from lib.errors import DataError
from lib.machine import from_home
from lib.progress import bar

_INDEXED = "2"
"""Raised when the same containers are indexed otherwise than before, so that older catalogues are left."""

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Shards:
    """The files of a source, by name.

    `place`: the folder that all are in.
    `splits`: the split of each; None when they do not tell it, so that each row may.
    `reading`: what tells the splits, and which files are left out.
    """

    place: Place
    containers: list[Container]
    splits: list[str] | None
    reading: Reading


def find(source: EncodedSource, suffix: str, mirror: str | None) -> Shards:
    """The files of a source's path: a file, a folder, a pattern with `*`, or a list of them as in `{000..010}` or `{a,b}`.

    Their splits are those that the setting `splits` says, or else their names or the folders they are in.

    Raises ConfigError for a URL whose file system is not known here; DataError when there is none, the place cannot be read,
    names have two readings, only some tell a split, there is none of train, or patterns do not fit.
    """
    return _by_split(source, *_found(source.path, suffix, mirror))


def _by_split(source: EncodedSource, place: Place, containers: list[Container]) -> Shards:
    names = [container.name for container in containers]
    if source.splits is None:
        splits = read_paths([shown(each.path) for each in containers], place.shown)
        return Shards(place, containers, splits, Reading(SplitsBy.NOTHING if splits is None else SplitsBy.NAMES))
    patterns = source.splits.compiled()
    found = [patterns.match(name) for name in names]
    patterns.require_all_matched(place.shown, shown(containers[0].path))
    others = [shown(each.path) for each, match in zip(containers, found, strict=True) if match is None]
    taken = [(each, match.split) for each, match in zip(containers, found, strict=True) if match is not None]
    reading = Reading(SplitsBy.PATTERNS, left_out=left_out(Why.NO_PATTERN, len(others), others))
    return Shards(place, [each for each, _ in taken], [split for _, split in taken], reading)


def splits_of(
    source: EncodedSource, suffix: str, rows_may_tell: Callable[[Place, Container], bool]
) -> tuple[str, ...] | None:
    """The splits of a source's files; None when not on this machine, or told by rows. Raises DataError for odd names."""
    if is_url(source.path):
        return None
    try:
        place, containers = _found(source.path, suffix, offline(None))
    except DataError:
        return None
    shards = _by_split(source, place, containers)
    if shards.splits is None and rows_may_tell(place, containers[0]):
        return None
    return names_of(positions_of(shards.splits or ["train"]).values())


def kept_at(source: EncodedSource, shards: Shards, folder: Path, *columns: str) -> Path:
    """Where the catalogue of a source's files is kept, read by these columns."""
    return catalogue_file(folder, source.decoder, _INDEXED, shards.place.shown, source.path, *columns)


def load_containers(
    source: EncodedSource,
    shards: Shards,
    file: Path,
    known: Catalogue | None,
    index: Callable[[Container], Catalogue],
    store: ByteStore,
    what: str,
    class_names: Sequence[str] | None = None,
    notes: Callable[[Catalogue, Reading], Sequence[str]] = lambda *_: (),
) -> Dataset:
    """The dataset of the images in some files.

    `file`: where the catalogue is kept; `known` is what it holds.
    `index`: lists the images of a file that is not known.
    `what`: what the files are, in words.
    `class_names`: the order of the classes, where the files tell one.
    `notes`: refuses splits that are not clear, or warns of them.
    """
    place, name = shards.place, _name_of(source.path, shards.place)
    with bar(f"index {name}", len(shards.containers), "file") as advance:
        catalogue, is_new = _catalogue(shards.containers, index, known, advance)
    reading = _set_splits(catalogue, shards)
    told = notes(catalogue, reading)
    names, classes = classes_of(catalogue, source.classes, class_names, place.shown)
    return dataset_of(
        Collection(
            name=name,
            shown=place.shown,
            origin=f"{what} {without_secrets(source.path)}",
            class_names=names,
            classes=classes,
            catalogue=catalogue,
            store=store,
            decoder=source.decoder,
            file=file,
            is_new=is_new,
            reading=reading,
            notes=told,
        ),
        source,
    )


def _name_of(path: str, place: Place) -> str:
    """A name for what lies there: the file's or folder's own, or of a pattern the folder's."""
    own = without_secrets(path).rstrip("/").rpartition("/")[2]
    pattern = _MAGIC.search(own) or has_braces(own)
    return root_name(place.shown if pattern else own.removesuffix(".parquet"))


def _catalogue(
    containers: Sequence[Container],
    index: Callable[[Container], Catalogue],
    known: Catalogue | None,
    advance: Callable[[int], None],
) -> tuple[Catalogue, bool]:
    """The images of all containers, indexed where they are not known; and whether anything is new."""
    if known is not None and known.containers == list(containers):
        return known, False
    at = {container: number for number, container in enumerate(known.containers)} if known is not None else {}
    parts = []
    for container in containers:
        parts.append(known.part(at[container]) if known is not None and container in at else index(container))
        advance(1)
    return catalogues.join_rows(parts, containers), True


def _set_splits(catalogue: Catalogue, shards: Shards) -> Reading:
    """Note each image's split, its container's or its row's; what told it. Raises DataError when only some do, or no train."""
    columns, where = catalogue.columns, shards.place.shown
    told = columns["told"].astype(np.int64)
    if shards.splits is not None:
        of_rows, told = told, np.array([1 + SPLITS.index(split) for split in shards.splits])[columns["container"]]
        other = np.flatnonzero((of_rows > 0) & (of_rows != told))
        if len(other) and shards.reading.splits_by is SplitsBy.NAMES:
            row = int(other[0])
            raise DataError(
                f"{where}/{catalogue.name(row)} is of {SPLITS[told[row] - 1]} by its file's name, and of "
                f"{SPLITS[of_rows[row] - 1]} by what its row or folder tells; {HOW_TO_SAY}"
            )
    usable = told[columns["label"] >= 0]
    if not usable.any():
        columns["split"][:] = WHOLE
        return replace(shards.reading, held_out=("test",))
    found = [split for number, split in enumerate(SPLITS, 1) if (usable == number).any()]
    if not usable.all():
        raise DataError(
            f"{where}: {np.count_nonzero(usable == 0):,} of {len(usable):,} rows do not tell their split, as the others "
            f"do ({', '.join(found)}); either all do or none, or {HOW_TO_SAY}"
        )
    if "train" not in found:
        raise DataError(f"{where} has rows of {', '.join(found)} but none of train; add some, or {HOW_TO_SAY}")
    positions = positions_of(found)
    by_number = np.array([WHOLE, *(positions.get(split, WHOLE) for split in SPLITS)], np.int8)
    columns["split"][:] = by_number[told]
    by = SplitsBy.NAMES if shards.splits is None else shards.reading.splits_by
    return replace(shards.reading, splits_by=by, held_out=() if "test" in found else ("test",))


def _found(path: str, suffix: str, mirror: str | None) -> tuple[Place, list[Container]]:
    """The folder that all files of a path are in, and the files by name."""
    filesystem, patterns = _patterns(path, mirror)
    found: dict[str, Any] = {}
    roots = []
    for pattern in patterns:
        files, root = _matching(filesystem, pattern, suffix, without_secrets(path))
        found |= files
        roots.append(root)
    if not found:
        raise DataError(f"{without_secrets(path)} holds no {suffix} file; give a folder, file or pattern of such")
    root = os.path.commonprefix(roots).rpartition("/")[0]  # noqa: RUF071 - commonpath makes https:/ of https://
    containers = []
    for name in sorted(found, key=lambda each: each.split("/")):
        info = found[name]
        if info.get("size") is None:
            raise DataError(f"{without_secrets(path)}: the server does not tell the size of {name.rpartition('/')[2]}")
        containers.append(Container(name[len(root) + 1 :], int(info["size"]), stamp_of(info)))
    if is_local(filesystem):
        return LocalPlace(Path(root)), containers
    return RemotePlace(filesystem, root, filesystem.unstrip_protocol(root)), containers


def _patterns(path: str, mirror: str | None) -> tuple[Any, list[str]]:
    """The file system, and the patterns within it that the path stands for."""
    if not is_url(path):
        local = str(from_home(path).absolute())
        if os.path.exists(local):  # noqa: PTH110 - and this for names too long; whatever braces its name holds
            return open_filesystem("file:///")[0], [local]
        filesystem, here = open_filesystem("file:///")[0], expanded(local, without_secrets(path))
        if mirror is None or is_offline(mirror) or filesystem.glob(here[0]):
            return filesystem, here
        path = f"{mirror.rstrip('/')}/{path}"
    each = [open_filesystem(url, mirror) for url in expanded(path, without_secrets(path))]
    return each[0][0], [inner for _, inner in each]


def _matching(filesystem: Any, pattern: str, suffix: str, shown: str) -> tuple[dict[str, Any], str]:
    """The files of one pattern with what the file system tells of each, and the folder they are all under."""
    with remote_errors(shown):
        magic = _MAGIC.search(pattern)
        if magic is not None and not filesystem.exists(pattern):
            root = pattern[: magic.start()].rpartition("/")[0] + "/"
            found = filesystem.glob(pattern, detail=True)
            return {name: info for name, info in found.items() if info["type"] == "file"}, root
        try:
            info = filesystem.info(pattern)
        except FileNotFoundError:
            raise DataError(f"{shown}: {without_secrets(pattern)} not found") from None
        if info["type"] != "directory":
            return {pattern: info}, pattern.rpartition("/")[0] + "/"
        root = pattern.rstrip("/") + "/"
        within = filesystem.find(pattern, detail=True)
        wanted = {
            name: info
            for name, info in within.items()
            if name.lower().endswith(suffix)
            and not any(is_hidden(os.fsencode(part)) for part in name[len(root) :].split("/"))
        }
        return wanted, root
