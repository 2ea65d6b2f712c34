"""Your own images: a folder of one folder a class, or an archive of one; decoded on access, verified once.

Layouts: `train/<class>/…` with `test/<class>/…` (and `validation/…`), or `<class>/…`, which is split by class with
identical images kept on one side. Hidden files and folders are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.datasets import catalogue as catalogues
from lib.datasets.archives import SUFFIXES, is_archive, unpack
from lib.datasets.catalogue import SPLITS, WHOLE, Catalogue, shown
from lib.datasets.collection import Collection, dataset_of
from lib.datasets.dataset import Dataset
from lib.datasets.decoding import Decoder, UnreadableError
from lib.datasets.download import RemoteFile, digest_of, fetch
from lib.datasets.places import Entry, LocalPlace, Place
from lib.datasets.sources import ImageFolder
from lib.errors import DataError
from lib.files import digest_file

_WINDOW = 1 << 11
"""Files listed as Python objects at a time."""


class FileStore:
    """A file an image."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def fetch(self, catalogue: Catalogue, rows: Sequence[int]) -> Iterator[bytes | UnreadableError]:
        """The content of each row's file."""
        return self._place.fetch(catalogue.names[row].as_py() for row in rows)


def load(source: ImageFolder, raw: Path, mirror: str | None) -> Dataset:
    """Find, verify and split the images.

    Raises
    ------
    DataError
        When the folder, a class or an image is not usable; it names it.
    """
    folder = raw / "folder"
    place = LocalPlace(_root(source.path, folder, mirror))
    parts = _parts(place)
    class_names = _classes(source, place, b"train/" if parts else b"")
    decoder = Decoder(source.largest_pixels)
    file = folder / f"catalogue-{digest_of(place.shown, *(source.classes or ()))}.parquet"
    catalogue = catalogues.join_rows(
        [
            _listing(place, prefix, position, class_names)
            for position, prefix in ([(SPLITS.index(part), f"{part}/".encode()) for part in parts] or [(WHOLE, b"")])
        ]
    )
    catalogue, is_new = catalogues.compared(catalogue, catalogues.read(file, decoder.identity))
    return dataset_of(
        Collection(
            name=root_name(source.path),
            shown=place.shown,
            origin=f"image folder {source.path}",
            class_names=class_names,
            classes=np.arange(len(class_names), dtype=np.int32),
            catalogue=catalogue,
            store=FileStore(place),
            decoder=decoder,
            file=file,
            is_new=is_new,
        ),
        source,
    )


def root_name(path: str) -> str:
    """The folder's or archive's own name, fit for run names and paths."""
    name = Path(path).name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        name = name.removesuffix(suffix)
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name) or "folder"


def _root(name: str, folder: Path, mirror: str | None) -> Path:
    local = Path(name).expanduser()
    if local.is_dir():
        return local.resolve()
    if local.is_file():
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
    wraps = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in SPLITS
    return inside[0] if wraps else target


def _parts(place: Place) -> list[str]:
    """The splits that have a folder of their own; none without train/."""
    found = {entry.name for entry in place.scan(b"") if entry.is_folder}
    return [part for part in SPLITS if part.encode() in found] if b"train" in found else []


def _classes(source: ImageFolder, place: Place, folder: bytes) -> list[str]:
    root = f"{place.shown}/{folder.decode()}".rstrip("/")
    found = []
    for entry in place.scan(folder):
        if entry.is_folder and not entry.name.startswith(b"."):
            try:
                found.append(entry.name.decode())
            except UnicodeDecodeError:
                raise DataError(
                    f"class folder {shown(entry.name)} in {root} is not named in UTF-8; rename it"
                ) from None
    found.sort()
    missing = [name for name in source.classes or () if name not in found]
    if missing:
        raise DataError(f"class {missing[0]!r} is not in {root}; it has: {', '.join(found) or 'no folders'}")
    names = list(source.classes or found)
    if len(names) < 2:
        raise DataError(f"{root} has {len(names)} class folder(s); at least two are needed, one folder a class")
    return names


def _listing(place: Place, prefix: bytes, split: int, class_names: Sequence[str]) -> Catalogue:
    """The files of a split, class by class, sorted by the parts of their paths, whatever order the file system has."""
    parts = []
    for label, name in enumerate(class_names):
        rows = _sorted_files(place, prefix + name.encode() + b"/")
        names, sizes, stamps = rows["name"], rows["size"].to_numpy(), rows["stamp"].to_numpy()
        parts.append(Catalogue.listed(names.chunk(0), class_names, split=split, label=label, size=sizes, stamp=stamps))
    return catalogues.join_rows(parts)


def _sorted_files(place: Place, folder: bytes) -> pa.Table:
    """The files under a folder as a table of name, size and stamp, in one chunk."""
    windows = []
    names: list[bytes] = []
    sizes: list[int] = []
    stamps: list[int] = []

    def close() -> None:
        windows.append(
            pa.table(
                {
                    "name": pa.array(names, pa.large_binary()),
                    "size": pa.array(sizes, pa.int64()),
                    "stamp": pa.array(stamps, pa.int64()),
                }
            )
        )
        for column in (names, sizes, stamps):
            column.clear()

    for name, entry in _files(place, folder, ()):
        names.append(name)
        sizes.append(entry.size)
        stamps.append(entry.stamp)
        if len(names) == _WINDOW:
            close()
    close()
    table = pa.concat_tables(windows).combine_chunks()
    # As the separator, NUL is before every other byte: "a/b" comes before "a-b", as it does by the parts of the paths.
    keys = pc.replace_substring(table["name"], b"/", b"\0")
    table = table.take(pc.sort_indices(keys)).combine_chunks()
    catalogues.give_back()
    return table


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
