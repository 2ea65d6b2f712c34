"""Files that hold many images each, such as tar shards: finding them, and telling which split each belongs to.

A container is indexed once; while its size and stamp stay, what the catalogue knows of it is taken over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import SPLIT_NAMES, SPLITS, WHOLE, Catalogue, Container, split_names
from lib.datasets.download import is_offline, offline
from lib.datasets.image_folder import root_name
from lib.datasets.places import (
    LocalPlace,
    Place,
    RemotePlace,
    is_local,
    is_url,
    open_filesystem,
    remote_errors,
    stamp_of,
    without_secrets,
)
from lib.errors import DataError

_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000


def find(path: str, suffix: str, mirror: str | None) -> tuple[Place, list[Container]]:
    """The files of a path: a file, a folder, a pattern with `*`, or a list of them as in `{000..010}` or `{a,b}`.

    Returns the folder that all are in, and the files by name.

    Raises
    ------
    ConfigError
        For a URL whose file system is not known here.
    DataError
        When there is none, or the place cannot be read.
    """
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


def splits_of(containers: Sequence[Container], place: Place) -> list[int]:
    """The split of each container, by a folder `train` or a name `train-…` (test, validation).

    `WHOLE` for all, when none tells it or all are of train: then some images are held out for test.

    Raises
    ------
    DataError
        When only some tell theirs, or there is a test split without a train split.
    """
    found = [_split_of(container.name) for container in containers]
    if set(found) in ({None}, {"train"}):
        return [WHOLE] * len(containers)
    for container, split in zip(containers, found, strict=True):
        if split is None:
            raise DataError(
                f"{place.shown}/{container.name} does not tell its split, as others there do; "
                "name it train-…, validation-… or test-…, or put it into such a folder"
            )
    if "train" not in found:
        raise DataError(
            f"{place.shown} has files of {', '.join(sorted(set(map(str, found))))} but none of train; add them"
        )
    return [SPLITS.index(str(split)) for split in found]


def container_splits(path: str, suffix: str) -> tuple[str, ...] | None:
    """The splits that the files of a path are of; None when they do not lie on this machine.

    Raises
    ------
    DataError
        As `splits_of`.
    """
    if is_url(path):
        return None
    try:
        place, containers = find(path, suffix, offline(None))
    except DataError:
        return None
    return split_names(splits_of(containers, place))


def name_of(path: str, place: Place) -> str:
    """A name for what lies there: the file's or folder's own, or of a pattern the folder's."""
    own = without_secrets(path).rstrip("/").rpartition("/")[2]
    pattern = _MAGIC.search(own) or _BRACES.search(own)
    return root_name(place.shown if pattern else own.removesuffix(".parquet"))


def _split_of(name: str) -> str | None:
    path = PurePosixPath(name.lower())
    words = [*path.parent.parts, re.split(r"[-_.\d]", path.name)[0]]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


def catalogue_of(
    containers: Sequence[Container],
    splits: Sequence[int],
    index: Callable[[Container], Catalogue],
    known: Catalogue | None,
    advance: Callable[[int], None],
) -> tuple[Catalogue, bool]:
    """The images of all containers, indexed where they are not known; and whether anything is new."""
    if known is not None and known.containers == list(containers):
        advance(len(containers))
        return known, False
    at = {container: number for number, container in enumerate(known.containers)} if known is not None else {}
    parts = []
    for container, split in zip(containers, splits, strict=True):
        part = known.part(at[container]) if known is not None and container in at else index(container)
        part.columns["split"] = np.full(
            len(part), split, np.int8
        )  # of a known one too: others may tell it otherwise now
        parts.append(part)
        advance(1)
    return catalogues.join_rows(parts, containers), True


def _patterns(path: str, mirror: str | None) -> tuple[Any, list[str]]:
    """The file system, and the patterns within it that the path stands for."""
    if not is_url(path):
        local = str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111 - Path's raises for homes of nobody
        if os.path.exists(local):  # noqa: PTH110 - and this for names too long; whatever braces its name holds
            return open_filesystem("file:///")[0], [local]
        filesystem, here = open_filesystem("file:///")[0], _expanded(local, path)
        if mirror is None or is_offline(mirror) or filesystem.glob(here[0]):
            return filesystem, here
        path = f"{mirror.rstrip('/')}/{path}"
    each = [open_filesystem(url, mirror) for url in _expanded(path, path)]
    return each[0][0], [inner for _, inner in each]


def _expanded(path: str, shown: str) -> list[str]:
    """The paths that `{000..010}` and `{a,b}` stand for."""
    braces = _BRACES.search(path)
    if braces is None:
        return [path]
    inside = braces.group(1)
    if numbers := _NUMBERS.fullmatch(inside):
        first, last = numbers.groups()
        if int(last) - int(first) >= _MOST:
            raise DataError(f"{without_secrets(shown)}: {{{inside}}} stands for more than {_MOST:,} files")
        choices = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    else:
        choices = inside.split(",")
    return [
        full for choice in choices for full in _expanded(path[: braces.start()] + choice + path[braces.end() :], shown)
    ]


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
            if name.lower().endswith(suffix) and not any(part.startswith(".") for part in name[len(root) :].split("/"))
        }
        return wanted, root
