"""Your own images: a folder of one folder a class, or an archive of one; decoded on access, verified once.

Layouts: `train/<class>/…` with `test/<class>/…` (and `validation/…`, also called `val` or `valid`), or `<class>/…` (or
`train/` alone), which is split by class with identical images kept on one side. Images without any class folder have no
labels. Hidden files and folders are ignored.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from lib.datasets import catalogue as catalogues
from lib.datasets.archives import SUFFIXES, is_archive, unpack
from lib.datasets.catalogue import SPLIT_NAMES, SPLITS, WHOLE, Catalogue, CatalogueBuilder, shown, split_names
from lib.datasets.collection import Collection, dataset_of
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import IMAGE_ENDINGS, UnreadableError
from lib.datasets.download import RemoteFile, digest_of, fetch
from lib.datasets.places import (
    Entry,
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
from lib.datasets.sources import ImageFolder
from lib.errors import DataError
from lib.files import atomic_path, digest_file

_NAMED = 5
"""What a warning names of images or folders that are not taken."""


class FileStore:
    """A file an image."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        """The content of each row's file."""
        return self._place.fetch((catalogue.names[row].as_py(), 0, None) for row in rows)


def load(source: ImageFolder, raw: Path, mirror: str | None) -> Dataset:
    """Find, verify and split the images.

    Raises
    ------
    DataError
        When the folder, a class or an image is not usable; it names it.
    """
    folder = raw / "folder"
    place = _place(source.path, folder, mirror)
    root = _contents(place, b"")
    parts = _parts(source, place, root)
    inside = {prefix: _contents(place, prefix) if prefix else root for _, prefix in parts}
    flat = _is_flat(source, inside)
    class_names = [""] if flat else _classes(source, place, inside)
    decoder = source.decoder
    file = folder / f"catalogue-{digest_of(place.shown, *(source.classes or ()))}.parquet"
    catalogue = catalogues.join_rows([_listing(place, prefix, position, class_names) for position, prefix in parts])
    notes = _not_taken(root, {} if flat else inside, [prefix for _, prefix in parts])
    if source.classes is None:
        notes += _nested(place, catalogue, parts[0][0], class_names)
    catalogue, is_new = catalogues.compared(catalogue, catalogues.read(file, decoder.identity))
    return dataset_of(
        Collection(
            name=root_name(without_secrets(source.path)),
            shown=place.shown,
            origin=f"image folder {without_secrets(source.path)}",
            class_names=class_names,
            classes=np.arange(len(class_names), dtype=np.int32),
            catalogue=catalogue,
            store=FileStore(place),
            decoder=decoder,
            file=file,
            is_new=is_new,
            notes=notes,
        ),
        source,
    )


def splits_ahead(source: ImageFolder, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    """The splits of a folder on this machine; None for an archive or a URL.

    Raises
    ------
    DataError
        When the folder's layout cannot be read.
    """
    local = os.path.expanduser(source.path)  # noqa: PTH111 - Path's raises for homes of nobody
    if is_url(source.path) or not os.path.isdir(local):  # noqa: PTH112 - and this for names too long
        return None
    place = LocalPlace(Path(local).resolve())
    return split_names(position for position, _ in _parts(source, place, _contents(place, b"")))


def root_name(path: str) -> str:
    """The folder's or archive's own name, fit for run names and paths."""
    name = Path(path).name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        name = name.removesuffix(suffix)
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name) or "folder"


def _place(path: str, folder: Path, mirror: str | None) -> Place:
    if not is_url(path):
        return LocalPlace(_root(path, folder, mirror))
    filesystem, inner = open_filesystem(path, mirror)
    shown_path = without_secrets(path)
    with remote_errors(shown_path):
        try:
            info = filesystem.info(inner)
        except FileNotFoundError:
            raise DataError(f"image folder {shown_path} not found; give an existing folder or archive") from None
        if is_local(filesystem):
            return LocalPlace(_root(inner, folder, mirror))
        if not is_archive(Path(inner)):
            return RemotePlace(filesystem, inner, path)
        copy = folder / digest_of(shown_path, inner, str(stamp_of(info))) / Path(inner).name
        if not copy.exists():
            with atomic_path(copy) as temporary:
                filesystem.get_file(inner, str(temporary))
    return LocalPlace(_root(str(copy), folder, mirror))


def _root(name: str, folder: Path, mirror: str | None) -> Path:
    # Path's own raise for names too long, and for homes of nobody.
    local = Path(os.path.expanduser(name))  # noqa: PTH111
    if os.path.isdir(local):  # noqa: PTH112
        return local.resolve()
    if os.path.isfile(local):  # noqa: PTH113
        archive = local.resolve()
    elif mirror is not None and is_archive(local):
        archive = fetch(RemoteFile(name), folder / digest_of(mirror, name) / local.name, mirror)
    else:
        raise DataError(f"image folder {name!r} not found; give an existing folder or archive, or set PROBEFLOW_MIRROR")
    if not is_archive(archive):
        raise DataError(f"{name!r} is a file but no archive; give a folder, or one of: {', '.join(SUFFIXES)}")
    target = folder / digest_file(archive)[:16]
    unpack(archive, target)
    inside = [item for item in target.iterdir() if not item.name.startswith(".")]
    # An archive often holds one folder that holds everything.
    wraps = len(inside) == 1 and inside[0].is_dir() and inside[0].name.lower() not in SPLIT_NAMES
    return inside[0] if wraps else target


@dataclass(frozen=True)
class _Contents:
    """What lies in a folder and is not hidden: the folders, and the image files beside them."""

    folders: list[bytes]
    images: list[bytes]


def _contents(place: Place, folder: bytes) -> _Contents:
    found = _Contents([], [])
    for entry in place.scan(folder):
        if entry.name.startswith(b"."):
            continue
        if entry.is_folder:
            found.folders.append(entry.name)
        elif _is_image(entry.name):
            found.images.append(entry.name)
    found.folders.sort()
    return found


def _is_image(name: bytes) -> bool:
    return shown(name).lower().rpartition(".")[2] in IMAGE_ENDINGS


def _parts(source: ImageFolder, place: Place, root: _Contents) -> list[tuple[int, bytes]]:
    """Each split and where it lies; of images that are all of train, or of none, some are held out for test.

    Raises
    ------
    DataError
        When a folder is named nearly as a split, two are of one split, or there is none of train.
    """
    names = [shown(name) for name in root.folders]
    found = [name for name in names if name.lower() in SPLIT_NAMES]
    if not found or (source.classes and set(source.classes) <= set(names)):  # a class may be called so
        return [(WHOLE, b"")]
    or_class = "or, if that is a class, list all classes in the setting classes"
    splits: dict[str, str] = {}
    for name in found:
        split = SPLIT_NAMES[name.lower()]
        if name != name.lower():
            raise DataError(
                f"folder {name!r} in {place.shown} is called nearly as a split; rename it to {split!r}, {or_class}"
            )
        if split in splits:
            raise DataError(f"{place.shown} has two folders of {split}, {splits[split]!r} and {name!r}; make them one")
        splits[split] = name
    if "train" not in splits:
        raise DataError(f"{place.shown} has {', '.join(found)} but no folder 'train'; add it, {or_class}")
    if len(splits) == 1:
        return [(WHOLE, b"train/")]
    return [(number, f"{splits[split]}/".encode()) for number, split in enumerate(SPLITS) if split in splits]


def _is_flat(source: ImageFolder, inside: Mapping[bytes, _Contents]) -> bool:
    """Whether the images lie in no class folders, so that they have no labels."""
    return source.classes is None and all(found.images and not found.folders for found in inside.values())


def _classes(source: ImageFolder, place: Place, inside: Mapping[bytes, _Contents]) -> list[str]:
    """The class names: those asked for, else the folders of the first part, beyond which others may have none."""
    train, *others = inside
    found = _class_folders(place, train, inside[train])
    root = f"{place.shown}/{train.decode()}".rstrip("/")
    missing = [name for name in source.classes or () if name not in found]
    if missing:
        raise DataError(f"class {missing[0]!r} is not in {root}; it has: {', '.join(found) or 'no folders'}")
    names = list(source.classes or found)
    if len(names) < 2:
        raise DataError(f"{root} has {len(names)} class folder(s); at least two are needed, one folder a class")
    for other in () if source.classes else others:
        more = [name for name in _class_folders(place, other, inside[other]) if name not in found]
        if more:
            raise DataError(
                f"class {more[0]!r} of {place.shown}/{other.decode()[:-1]} is not in {root}; "
                "add it there, or leave it out by listing the others in the setting classes"
            )
    return names


def _class_folders(place: Place, prefix: bytes, contents: _Contents) -> list[str]:
    try:
        return sorted(name.decode() for name in contents.folders)
    except UnicodeDecodeError as error:
        root = f"{place.shown}/{prefix.decode()}".rstrip("/")
        raise DataError(f"class folder {shown(error.object)} in {root} is not named in UTF-8; rename it") from None


def _not_taken(root: _Contents, labelled: Mapping[bytes, _Contents], prefixes: Sequence[bytes]) -> list[str]:
    """Warnings of images that are in no class of `labelled` folders, and of folders that are no split."""
    looked_at = labelled if b"" in prefixes else {b"": root, **labelled}
    images = [shown(prefix + name) for prefix, found in looked_at.items() for name in sorted(found.images)]
    folders = [] if b"" in prefixes else [shown(name) for name in root.folders if name + b"/" not in prefixes]
    notes = []
    for names, what in ((images, "image file(s) beside the class folders"), (folders, "folder(s) beside the splits")):
        if names:
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            notes.append(f"{len(names):,} {what} are not taken: {', '.join(names[:_NAMED])}{more}")
    return notes


def _nested(place: Place, catalogue: Catalogue, split: int, class_names: Sequence[str]) -> list[str]:
    """A warning of class folders of a split whose images all lie in sub-folders: these may be the classes."""
    labels = catalogue.columns["label"][catalogue.columns["split"] == split]  # the first rows, class by class
    bounds = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)] if len(labels) else []
    found: dict[str, tuple[str, list[str]]] = {}
    for start, stop in itertools.pairwise(bounds):
        names = catalogue.names.slice(start, stop - start)
        # Names are sorted by the parts of their paths, so that what the first and the last share is shared by all.
        shared = os.path.commonprefix([names[0].as_py(), names[-1].as_py()])  # noqa: RUF071 - bytes, not paths
        inner = shared[: shared.rfind(b"/") + 1]
        if pc.min(pc.count_substring(names, b"/")).as_py() > inner.count(b"/"):
            heads = (name.as_py()[len(inner) :].partition(b"/")[0] for name in names)
            folders = [shown(head) for head, _ in itertools.islice(itertools.groupby(heads), _NAMED + 1)]
            found[class_names[labels[start]]] = (shown(inner[:-1]), folders)
    if not found:
        return []
    listed = [
        f"{name}: {', '.join(folders[:_NAMED])}{' …' if len(folders) > _NAMED else ''}"
        for name, (_, folders) in itertools.islice(found.items(), _NAMED)
    ]
    best, _ = max(found.values(), key=lambda each: len(each[1]))
    return [
        f"{len(found):,} class folder(s) hold only sub-folders ({'; '.join(listed)}{' …' if len(found) > _NAMED else ''}), "
        "and all images below a class folder are of its class; if the sub-folders are the classes, set "
        f"path: {place.shown}/{best}"
    ]


def _listing(place: Place, prefix: bytes, split: int, class_names: Sequence[str]) -> Catalogue:
    """The files of a split, class by class, sorted by their paths, whatever order the file system has.

    The one class "" is that of the image files in the split's own folder.
    """
    parts = []
    for label in class_names:
        rows = CatalogueBuilder(class_names)
        for name, entry in _files(place, prefix + label.encode() + b"/" if label else prefix, ()):
            if label or _is_image(entry.name):
                rows.add(name, label, entry.size, entry.stamp)
        parts.append(rows.catalogue().sorted_by_path())
        catalogues.give_back()
    listed = catalogues.join_rows(parts)
    listed.columns["split"][:] = split
    return listed


def _files(place: Place, folder: bytes, above: tuple[int, ...]) -> Iterator[tuple[bytes, Entry]]:
    """All files under a folder; links to folders are followed unless they lead back."""
    try:
        here = (*above, place.identity(folder))
    except FileNotFoundError:  # a class without a folder in this split
        return
    for entry in place.scan(folder):
        if entry.name.startswith(b"."):
            continue
        if not entry.is_folder:
            yield folder + entry.name, entry
        elif entry.stamp not in here:
            yield from _files(place, folder + entry.name + b"/", here)
