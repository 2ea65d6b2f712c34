"""The files of an image folder that may be images, with their classes and splits, by the layout of folders or by patterns."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import Catalogue, CatalogueBuilder, positions_of, shown
from lib.datasets.class_names import looks, matching
from lib.datasets.folder_layout import (
    OWN_FOLDERS,
    ClassFolder,
    Layout,
    glob,
    how_to_say,
    instead_of_classes,
    layout_of,
    listed,
    no_labels_from,
    packed,
    splits_in_classes,
)
from lib.datasets.places import Entry, Place
from lib.datasets.recognition import is_hidden, named_as_image, named_as_images
from lib.datasets.sources import ImageFolder
from lib.datasets.split_names import HOW_TO_SAY, SPLITS, require_no_words
from lib.datasets.understood import EXAMPLES, LeftOut, Reading, SplitsBy, Tally, Why, left_out, words
from lib.errors import DataError


@dataclass(frozen=True)
class Listing:
    """The files that may be images, with their classes and splits, and what a reader should know of them."""

    catalogue: Catalogue
    class_names: list[str]
    reading: Reading
    notes: list[str]


def list_files(source: ImageFolder, place: Place) -> Listing:
    """The files of a folder, by patterns or layout. Raises DataError naming the folder, or a class, that is not usable."""
    return _by_layout(source, place) if source.splits is None else _by_patterns(source, place)


def _by_layout(source: ImageFolder, place: Place) -> Listing:
    hidden = Tally(Why.HIDDEN)
    layout = layout_of(place, source.classes, hidden)
    flat = source.classes is None and all(
        not found.folders and (found.images or found.others) for found in layout.inside.values()
    )
    first = next(iter(layout.inside.values()))
    if flat and not any(found.images for found in layout.inside.values()) and packed(first):
        raise DataError(f"{_joined(place, layout.base)} holds no images: {packed(first)}")
    class_names, folders = ([""], {}) if flat else _classes_by_layout(source, place, layout)
    positions = positions_of(layout.parts.values())
    catalogue = catalogues.join_rows(
        [
            _listed(place, prefix, positions[split], class_names, folders.get(split, {}), hidden)
            for prefix, split in layout.parts.items()
        ]
    )
    by, splits, root = layout.by, set(layout.parts.values()), _joined(place, layout.base)
    inside = {} if flat else _class_folders_of(catalogue, positions["train"], next(iter(layout.parts)), class_names)
    parted = {}
    if by is SplitsBy.NOTHING:
        looked = {
            name: ClassFolder({shown(folder): folder in each.deep for folder in each.folders}, each.images)
            for name, each in inside.items()
        }
        parted = splits_in_classes(root, looked, source.classes)
        if not parted:
            require_no_words(map(catalogue.name, range(len(catalogue))), root, HOW_TO_SAY)
    if parted:
        by, catalogue = SplitsBy.NAMES, _parted(catalogue, inside, parted)
        splits = {split for folders in parted.values() for split in folders.values()}
    if not flat:
        _require_no_detection(catalogue, root)
    aside = [
        prefix + name for prefix, found in {layout.base: layout.root, **layout.inside}.items() for name in found.hidden
    ]
    beside = (
        *_beside(layout, flat),
        *left_out(Why.BESIDE_SPLITS, len(layout.beside), layout.beside),
        *left_out(Why.HIDDEN_FOLDERS, len(aside), map(shown, aside)),
    )
    notes = _beside_words(beside)
    if flat and (tables := no_labels_from(first) or no_labels_from(layout.root)):
        notes.append(tables)
    if source.classes is None and not parted:
        notes += _nested(place, catalogue, inside)
    return Listing(catalogue, class_names, Reading(by, _held_out(splits), left_out=(*hidden.notes, *beside)), notes)


def _held_out(splits: Iterable[str]) -> tuple[str, ...]:
    return () if "test" in splits else ("test",)


_BESIDE = {
    Why.BESIDE_CLASSES: "file(s) beside the class folders are not taken",
    Why.BESIDE_SPLITS: "folder(s) beside the splits are not taken",
    Why.HIDDEN_FOLDERS: "folder(s) of images are hidden and not taken; rename them to have them",
}


def _require_no_detection(catalogue: Catalogue, root: str) -> None:
    """Raise DataError when the classes are folders of images and of boxes drawn in them."""
    names = {name.lower(): code for code, name in enumerate(catalogue.values)}
    images = [name for name in ("images", "jpegimages", "imgs") if name in names]
    boxes = [name for name in ("labels", "annotations") if name in names]
    if images and boxes:
        rows = np.flatnonzero(catalogue.columns["label"] == names[boxes[0]])
        if not named_as_images(catalogue.names.take(pa.array(rows))).any():
            folder = catalogue.values[names[boxes[0]]]
            raise DataError(
                f"{root} is laid out for detection ({folder}/ holds no images), which has no classes; {OWN_FOLDERS}"
            )


def _beside_words(beside: Iterable[LeftOut]) -> list[str]:
    return [f"{each.count:,} {_BESIDE[each.why]}: {words(each)}" for each in beside]


def _beside(layout: Layout, flat: bool) -> tuple[LeftOut, ...]:
    looked_at = {} if flat else dict(layout.inside)
    if layout.by is SplitsBy.NAMES:
        looked_at = {layout.base: layout.root, **looked_at}
    names = [shown(prefix + name) for prefix, found in looked_at.items() for name in (*found.images, *found.others)]
    return left_out(Why.BESIDE_CLASSES, len(layout.around) + len(names), (*layout.around, *names))


def _classes_by_layout(source: ImageFolder, place: Place, layout: Layout) -> _Classes:
    found = {
        split: (_joined(place, prefix), _utf8(layout.inside[prefix].folders, _joined(place, prefix)))
        for prefix, split in layout.parts.items()
    }
    patterns = {split: f"{glob(shown(prefix).rstrip('/'))}/**" for prefix, split in layout.parts.items()}
    train, inside = next(iter(layout.inside.items()))
    return _classes(source.classes, found, patterns, instead_of_classes(_joined(place, train), inside))


_Classes = tuple[list[str], dict[str, dict[str, str]]]
"""The class names, and of each split the folder of each class that has one there."""


def _classes(
    asked: Sequence[str] | None,
    found: Mapping[str, tuple[str, Sequence[str]]],
    patterns: Mapping[str, str],
    instead: str = OWN_FOLDERS,
) -> _Classes:
    """The classes: those asked for, else the folders of the training images, beyond which others may have none.

    A folder is that of a class if the names are one text to Unicode; the class is called as the training folder is.

    `found`: split -> where it lies, and the class folders there.
    `patterns`: split -> the pattern of its files.
    `instead`: what lies there where there are no classes, and what to do.
    """
    root, folders = found["train"][0], dict.fromkeys(found["train"][1])
    wanted = {name: matching(name, folders) for name in asked or ()}
    missing = [name for name, there in wanted.items() if there is None]
    if missing:
        raise DataError(f"class {missing[0]!r} is not in {root}; it has: {listed(list(folders)) or 'no folders'}")
    names = list(dict.fromkeys(filter(None, wanted.values()))) or list(folders)
    if len(names) < 2:
        told = f" ({names[0]})" if names else ""
        raise DataError(f"{root} has {len(names)} class folder(s){told}; at least two are needed: {instead}")
    places = {
        split: {name: there for name in names if (there := matching(name, known)) is not None}
        for split, known in ((split, dict.fromkeys(others)) for split, (_, others) in found.items())
    }
    for split, (where, others) in found.items() if not asked else ():
        if not places[split]:
            taken = {each: pattern for each, pattern in patterns.items() if places[each]}
            without = " and ".join(each for each in found if not places[each])
            raise DataError(
                f"{where} has none of the class folders of {root} (it has: {listed(others) or 'no folders'}); "
                f"to leave {without} out set {how_to_say(taken)}"
            )
        if more := sorted(set(others) - set(places[split].values())):
            near = [name for name in folders if looks(name) == looks(more[0])]
            like = f", where {near[0]!a} looks like {more[0]!a}: give both one name; or" if near else ";"
            raise DataError(
                f"class {more[0]!r} of {where} is not in {root}{like} "
                "add it there, or leave it out by listing the others in the setting classes"
            )
    return names, places


def _utf8(folders: Iterable[bytes], root: str) -> list[str]:
    """The names of class folders, sorted. Raises DataError for one that is no text."""
    try:
        return sorted(name.decode() for name in folders)
    except UnicodeDecodeError as error:
        raise DataError(f"class folder {shown(error.object)} in {root} is not named in UTF-8; rename it") from None


def _joined(place: Place, prefix: bytes) -> str:
    return f"{place.shown}/{shown(prefix)}".rstrip("/")


def _listed(
    place: Place, prefix: bytes, split: int, class_names: Sequence[str], folders: Mapping[str, str], hidden: Tally
) -> Catalogue:
    """The files of a split, class by class, sorted by their paths, whatever order the file system has.

    The one class "" is that of the files in the split's own folder.
    """
    parts = []
    for label in class_names:
        rows = CatalogueBuilder(class_names)
        # What is hidden beside files without a class was counted with the layout.
        inside, tally = (
            (prefix + folders.get(label, label).encode() + b"/", hidden) if label else (prefix, Tally(Why.HIDDEN))
        )
        for name, entry in files_below(place, inside, tally.add):
            rows.add(name, label, entry.size, entry.stamp)
        parts.append(_sorted(rows))
    joined = catalogues.join_rows(parts)
    joined.columns["split"][:] = split
    return joined


def _sorted(rows: CatalogueBuilder) -> Catalogue:
    found = rows.catalogue().sorted_by_path()
    catalogues.give_back()
    return found


def files_below(place: Place, folder: bytes, hidden: Callable[[str], object]) -> Iterator[tuple[bytes, Entry]]:
    """All files under a folder, however deep; links to folders are followed unless they lead back. `hidden` is told the rest."""
    waiting: list[tuple[bytes, tuple[int, ...]]] = [(folder, ())]
    while waiting:
        inside, above = waiting.pop()
        try:
            here = (*above, place.identity(inside))
        except FileNotFoundError:  # a class without a folder in this split
            continue
        for entry in place.scan(inside):
            if is_hidden(entry.name) or place.is_own(entry):
                hidden(shown(inside + entry.name) + "/" * entry.is_folder)
            elif not entry.is_folder:
                yield inside + entry.name, entry
            elif entry.stamp not in here:
                waiting.append((inside + entry.name + b"/", here))


@dataclass(frozen=True)
class _Inside:
    """What the listing has in a folder: the rows of each sub-folder, those that hold folders in turn, and of the files."""

    prefix: bytes
    folders: dict[bytes, range]
    deep: frozenset[bytes]
    images: bool


def _inside(catalogue: Catalogue, rows: range, prefix: bytes) -> _Inside:
    """What lies in a folder, by the sorted names of the files in it."""
    names = catalogue.names
    if _depth(names, rows) == prefix.count(b"/"):
        return _Inside(prefix, {}, frozenset(), len(rows) > 0)
    folders: dict[bytes, range] = {}
    deep, images = set(), False
    for row in rows:
        name, slash, rest = names[row].as_py()[len(prefix) :].partition(b"/")
        if not slash:
            images = images or named_as_image(name)
            continue
        folders[name] = range(folders.get(name, range(row, row)).start, row + 1)
        if b"/" in rest:
            deep.add(name)
    return _Inside(prefix, folders, frozenset(deep), images)


def _depth(names: Any, rows: range) -> int:
    return pc.max(pc.count_substring(names.slice(rows.start, len(rows)), b"/")).as_py() or 0


def _class_folders_of(
    catalogue: Catalogue, split: int, prefix: bytes, class_names: Sequence[str]
) -> dict[str, _Inside]:
    """What the listing has in each class folder of a split, the first of the catalogue."""
    labels = catalogue.columns["label"][: np.count_nonzero(catalogue.columns["split"] == split)]
    starts = np.searchsorted(labels, np.arange(len(class_names) + 1)).tolist()
    return {
        name: _inside(catalogue, range(*bounds), prefix + name.encode() + b"/")
        for name, bounds in zip(class_names, itertools.pairwise(starts), strict=True)
    }


def _parted(catalogue: Catalogue, inside: Mapping[str, _Inside], parted: Mapping[str, Mapping[str, str]]) -> Catalogue:
    """The images in the splits' folders within class folders; what lies beside these folders goes."""
    positions = positions_of(split for folders in parted.values() for split in folders.values())
    kept = np.zeros(len(catalogue), bool)
    for name, splits in parted.items():
        for folder, rows in inside[name].folders.items():
            kept[rows.start : rows.stop] = True
            catalogue.columns["split"][rows.start : rows.stop] = positions[splits[shown(folder)]]
    return catalogue if kept.all() else catalogue.taken(np.flatnonzero(kept))


def _nested(place: Place, catalogue: Catalogue, inside: Mapping[str, _Inside]) -> list[str]:
    """A warning of class folders whose images all lie in sub-folders: these may be the classes."""
    found: dict[str, _Inside] = {}
    for name, within in inside.items():
        while len(within.folders) == 1 and not within.images:
            ((folder, rows),) = within.folders.items()
            within = _inside(catalogue, rows, within.prefix + folder + b"/")
        if within.folders and not within.images:
            found[name] = within
    if not found:
        return []
    told = [
        f"{name}: {', '.join(map(shown, itertools.islice(within.folders, EXAMPLES)))}"
        f"{' …' if len(within.folders) > EXAMPLES else ''}"
        for name, within in itertools.islice(found.items(), EXAMPLES)
    ]
    best = max(found.values(), key=lambda within: len(within.folders))
    return [
        f"{len(found):,} class folder(s) hold only sub-folders ({'; '.join(told)}{' …' if len(found) > EXAMPLES else ''}), "
        "and all images below a class folder are of its class; if the sub-folders are the classes, set "
        f"path: {_joined(place, best.prefix)}"
    ]


def _by_patterns(source: ImageFolder, place: Place) -> Listing:
    """The files by the patterns of the setting `splits`, in the same order as by layout."""
    assert source.splits is not None
    given = source.splits.model_dump(exclude_none=True)
    patterns, positions = source.splits.compiled(), positions_of(given)
    hidden, unmatched, beside = Tally(Why.HIDDEN), Tally(Why.NO_PATTERN), Tally(Why.BESIDE_CLASSES)
    found: dict[str, dict[str, CatalogueBuilder]] = {split: {} for split in SPLITS if split in given}
    example = ""
    for name, entry in files_below(place, b"", hidden.add):
        match = patterns.match(os.fsdecode(name))
        example = example or shown(name)
        if match is None:
            unmatched.add(shown(name))
        else:
            folder = match.folder or ""
            rows = found[match.split].setdefault(folder, CatalogueBuilder([folder]))
            rows.add(name, folder, entry.size, entry.stamp)
    patterns.require_all_matched(place.shown, example)
    class_names = [""]
    places: dict[str, dict[str, str]] = {}
    if source.classes is not None or any(folder for folders in found.values() for folder in folders):
        for folders in found.values():
            names = _sorted(folders.pop("", CatalogueBuilder())).names
            for row in range(len(names)):
                beside.add(shown(names[row].as_py()))
        within = {
            split: (f"{split} ({given[split]}) of {place.shown}", _utf8(map(os.fsencode, folders), place.shown))
            for split, folders in found.items()
        }
        class_names, places = _classes(source.classes, within, given)
    parts = []
    for split, folders in found.items():
        for label in class_names:
            part = _sorted(folders.pop(places.get(split, {}).get(label, label), CatalogueBuilder([label])))
            part.values = [label]
            part.columns["split"][:] = positions[split]
            parts.append(part)
    reading = Reading(SplitsBy.PATTERNS, _held_out(given), left_out=(*hidden.notes, *unmatched.notes, *beside.notes))
    return Listing(catalogues.join_rows(parts), class_names, reading, _beside_words(beside.notes))
