"""Your own images: a folder of one folder a class, or an archive of one; decoded on access, verified once.

Layouts: `train/<class>/…` with `test/<class>/…` and `validation/<class>/…`, or `<class>/…`, which is split with identical images
on one side; see `folder_layout`. Or any other, by the setting `splits`. Images without any class folder have no labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lib.addresses import without_secrets
from lib.datasets import catalogue as catalogues
from lib.datasets.archives import SUFFIXES, begins_as_archive, is_archive
from lib.datasets.catalogue import Catalogue, names_of, positions_of, shown
from lib.datasets.collection import Collection, catalogue_file, dataset_of
from lib.datasets.copies import is_offline, keep, known_sha256, online
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import UnreadableError
from lib.datasets.download import RemoteFile, fetch, file_name
from lib.datasets.folder_files import list_files
from lib.datasets.folder_layout import ClassFolder, is_table, layout_of, splits_in_classes
from lib.datasets.origins import UnavailableError, UrlOrigin, digest_of
from lib.datasets.places import LocalPlace, Place, RemotePlace, is_local, is_url, open_filesystem, remote_errors
from lib.datasets.recognition import is_hidden, named_as_image
from lib.datasets.sources import ImageFolder
from lib.datasets.split_names import read_name
from lib.datasets.understood import SplitsBy, Tally, Why
from lib.datasets.unpacked import unpacked
from lib.errors import DataError
from lib.machine import from_home
from lib.places import places


class FileStore:
    def __init__(self, place: Place) -> None:
        self._place = place

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        return self._place.fetch((catalogue.names[row].as_py(), 0, None) for row in rows)


def load(source: ImageFolder, raw: Path, mirror: str | None) -> Dataset:
    """Find, verify and split the images. Raises DataError naming the folder, a class or an image that is not usable."""
    folder = raw / "folder"
    place, copy = _place(source.path, folder, mirror)
    listing = list_files(source, place)
    decoder = source.decoder
    asked = "" if source.splits is None else source.splits.model_dump_json()
    file = catalogue_file(folder, decoder, place.shown, asked, *(source.classes or ()))
    catalogue, is_new = catalogues.compared(listing.catalogue, catalogues.read(file, decoder.identity))
    return dataset_of(
        Collection(
            name=root_name(without_secrets(source.path)),
            shown=place.shown,
            origin=f"image folder {without_secrets(source.path)}",
            class_names=listing.class_names,
            classes=np.arange(len(listing.class_names), dtype=np.int32),
            catalogue=catalogue,
            store=FileStore(place),
            decoder=decoder,
            file=file,
            is_new=is_new,
            reading=listing.reading,
            notes=listing.notes,
            files=True,
            copy=copy,
        ),
        source,
    )


def splits_ahead(source: ImageFolder, raw: Path, mirror: str | None) -> tuple[str, ...] | None:
    """The splits of a folder on this machine; None of an archive or URL.

    Raises DataError when it is not there or cannot be read.
    """
    local = from_home(source.path)
    if is_url(source.path):
        return None
    if not os.path.isdir(local):  # noqa: PTH112 - Path's raises for names too long
        if not (os.path.isfile(local) or (is_archive(local) and online(mirror))):  # noqa: PTH113
            raise _not_found(source.path, mirror)
        return None
    if source.splits is not None:
        return names_of(positions_of(source.splits.model_dump(exclude_none=True)).values())
    root = local.resolve()
    place = LocalPlace(root, _own_folders())
    layout = layout_of(place, source.classes, Tally(Why.HIDDEN))
    splits = set(layout.parts.values())
    if layout.by is SplitsBy.NOTHING:
        base = os.fsencode(root) + b"/" + layout.base
        inside = {shown(name): _peeked(base + name) for name in layout.root.folders}
        parted = splits_in_classes(f"{place.shown}/{shown(layout.base)}".rstrip("/"), inside, source.classes)
        splits.update(split for folders in parted.values() for split in folders.values())
    return names_of(positions_of(splits).values())


def _peeked(folder: bytes) -> ClassFolder:
    """What lies in a class folder on this machine, without the size and time of each file."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not is_hidden(entry.name)]
            folders = [entry for entry in entries if entry.is_dir()]
            files = len(entries) > len(folders)
            images = files and any(named_as_image(entry.name) for entry in entries if not entry.is_dir())
        return ClassFolder({shown(each.name): _holds_folders(each.path) for each in folders}, images)
    except OSError as error:
        raise DataError(
            f"folder {shown(folder)} cannot be listed ({error.strerror}); fix that or move it away"
        ) from None


def _holds_folders(folder: bytes) -> bool:
    with os.scandir(folder) as found:
        return any(entry.is_dir() and not is_hidden(entry.name) for entry in found)


def root_name(path: str) -> str:
    """The folder's or archive's own name, fit for run names and paths."""
    name = Path(path).name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        name = name.removesuffix(suffix)
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name) or "folder"


def _place(path: str, folder: Path, mirror: str | None) -> tuple[Place, Path | None]:
    """Where the images lie; of an archive also the folder that it was unpacked to."""
    if not is_url(path):
        return _local_place(path, folder, mirror)
    shown_path = without_secrets(path)
    try:
        if is_archive(Path(shown_path)) and not path.startswith("file://"):
            copy = keep(folder / digest_of(path) / file_name(shown_path), UrlOrigin(path), is_offline(mirror))
            return _unpacked_place(copy, folder, known_sha256(copy))
        filesystem, inner = open_filesystem(path, mirror)
        with remote_errors(shown_path):
            filesystem.info(inner)
    except (FileNotFoundError, UnavailableError):
        raise DataError(f"image folder {shown_path} not found; give an existing folder or archive") from None
    if is_local(filesystem):
        return _local_place(inner, folder, mirror)
    return RemotePlace(filesystem, inner, path), None


def _local_place(name: str, folder: Path, mirror: str | None) -> tuple[Place, Path | None]:
    local = from_home(name)  # Path's own tests raise for names too long
    if os.path.isdir(local):  # noqa: PTH112
        root, own = local.resolve(), _own_folders()
        if root in own:
            raise DataError(
                f"image folder {name!r} is where probeflow writes: give a folder in it, or point PROBEFLOW_DATA and "
                "PROBEFLOW_MLRUNS elsewhere"
            )
        return LocalPlace(root, own), None
    if os.path.isfile(local):  # noqa: PTH113
        if not (is_archive(local) or begins_as_archive(local)):
            raise DataError(f"{name!r} is a file but no archive; give a folder, or one of: {', '.join(SUFFIXES)}")
        return _unpacked_place(local.resolve(), folder)
    if mirror is None or not is_archive(local):
        raise _not_found(name, mirror)
    copy = fetch(RemoteFile(name), folder, mirror)
    return _unpacked_place(copy, folder, known_sha256(copy))


def _not_found(name: str, mirror: str | None) -> DataError:
    by_mirror = "" if online(mirror) else ", or set PROBEFLOW_MIRROR" if is_archive(Path(name)) else ""
    return DataError(f"image folder {name!r} not found; give an existing folder or archive{by_mirror}")


def _own_folders() -> tuple[Path, Path]:
    """Where this command writes, which may be in a folder of images."""
    where = places()
    return where.data, where.mlruns


def _unpacked_place(archive: Path, folder: Path, sha256: str | None = None) -> tuple[Place, Path]:
    target = unpacked(archive, folder, sha256)
    # An archive often holds one folder that holds everything, or one in one; the last one may be a class.
    root, only = target, _only_folder(target)
    while only is not None:
        root, only = only, _only_folder(only)
        if only is not None and not any(item.is_dir() for item in only.iterdir()):
            break
    return LocalPlace(root), target


def _only_folder(folder: Path) -> Path | None:
    """The one folder within, if there is no other, no image or table of labels beside it, and it is no split."""
    inside = [item for item in folder.iterdir() if not is_hidden(os.fsencode(item.name))]
    folders = [item for item in inside if item.is_dir()]
    if len(folders) != 1 or read_name(folders[0].name).splits:
        return None
    names = [os.fsencode(item.name) for item in inside if item != folders[0]]
    return None if any(named_as_image(name) or is_table(name) for name in names) else folders[0]
