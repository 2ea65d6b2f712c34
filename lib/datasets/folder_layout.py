"""How a folder of images is laid out: where its splits and classes lie, or which two readings it has.

Splits are folders in the root, or below folders that hold nothing else (`data/train/…`), or in each class folder
(`cat/train/…`). What could as well be classes is refused with both readings and how to say each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.datasets.catalogue import shown
from lib.datasets.class_names import matching
from lib.datasets.places import Place
from lib.datasets.recognition import is_hidden, named_as_image
from lib.datasets.split_names import HOW_TO_SAY, SPLITS, Told, read_names
from lib.datasets.understood import SplitsBy, Tally, Why
from lib.errors import DataError

_DEEPEST = 3
"""Folders that may lie around everything, each in the one before."""

_LISTED = 10
"""Names that an error spells out."""


@dataclass(frozen=True)
class Contents:
    """What lies in a folder: the folders, the files that are called as images, others, and hidden folders with images."""

    folders: list[bytes]
    images: list[bytes]
    others: list[bytes]
    hidden: list[bytes]

    @property
    def named(self) -> dict[str, bytes]:
        return {shown(name): name for name in self.folders}


def contents(place: Place, folder: bytes, hidden: Tally) -> Contents:
    """What lies in a folder of a place; what else is hidden is counted."""
    folders: list[bytes] = []
    images: list[bytes] = []
    others: list[bytes] = []
    aside: list[bytes] = []
    for entry in place.scan(folder):
        own = place.is_own(entry)
        if own or is_hidden(entry.name):
            if not own and entry.is_folder and _holds_images(place, folder + entry.name + b"/"):
                aside.append(entry.name)
                continue
            hidden.add(shown(folder + entry.name) + "/" * entry.is_folder)
        else:
            (folders if entry.is_folder else images if named_as_image(entry.name) else others).append(entry.name)
    return Contents(sorted(folders), sorted(images), sorted(others), sorted(aside))


def _holds_images(place: Place, folder: bytes) -> bool:
    try:
        return any(
            named_as_image(entry.name) and not is_hidden(entry.name) and not entry.is_folder
            for entry in place.scan(folder)
        )
    except (DataError, FileNotFoundError):  # what is hidden need not be readable
        return False


@dataclass(frozen=True)
class Layout:
    """Where the splits lie.

    `base`: the folder in which everything lies, "" or ending in a slash.
    `root`: what lies in it.
    `parts`: folder, ending in a slash or the base itself -> its split, train first.
    `inside`: what lies in each of these.
    `beside`: folders beside those of splits, which are not taken.
    `around`: images beside lone folders that hold all others, which are not taken.
    """

    base: bytes
    root: Contents
    parts: Mapping[bytes, str]
    inside: Mapping[bytes, Contents]
    by: SplitsBy
    beside: list[str]
    around: list[str]


def layout_of(place: Place, classes: Sequence[str] | None, hidden: Tally) -> Layout:
    """Where the splits lie, by the names of folders; a folder that is listed in `classes` is a class.

    Raises DataError when names have two readings, two folders are of one split, or there is none of train.
    """
    base, around = b"", []
    root = contents(place, base, hidden)
    for _ in range(_DEEPEST):
        if len(root.folders) != 1:
            break
        counted = Tally(Why.HIDDEN)
        inner = contents(place, base + root.folders[0] + b"/", counted)
        if not inner.folders or (_says_splits(root, classes) and not read_names(list(inner.named)).whole):
            break
        around += [shown(base + name) for name in root.images]
        base, root = base + root.folders[0] + b"/", inner
        hidden.take(counted)
    if not _says_splits(root, classes):
        return Layout(base, root, {base: "train"}, {base: root}, SplitsBy.NOTHING, [], around)
    told = read_names(list(root.named))
    inside = {name: contents(place, base + root.named[name] + b"/", hidden) for name in told.splits}
    _require_splits(place, base, root, told, inside)
    folders = {split: name for name, split in told.splits.items()}
    parts: dict[bytes, str] = {}
    taken: dict[bytes, Contents] = {}
    for split in (each for each in SPLITS if each in folders):
        prefix, found = base + root.named[folders[split]] + b"/", inside[folders[split]]
        train = next(iter(taken.values())).folders if taken else []
        if len(found.folders) == 1 and found.folders[0] not in train:
            prefix, found = _innermost(place, prefix, found, hidden, around)
        parts[prefix], taken[prefix] = split, found
    if classes is None:
        _require_no_splits_within(f"{place.shown}/{shown(base)}".rstrip("/"), parts, taken)
    return Layout(base, root, parts, taken, SplitsBy.NAMES, [shown(base) + name for name in told.others], around)


def _innermost(
    place: Place, prefix: bytes, found: Contents, hidden: Tally, around: list[str]
) -> tuple[bytes, Contents]:
    """The folder of classes within a split's folder, which may be doubled (`train/train/cat`); itself where there is none."""
    inner, within, counted, images = prefix, found, Tally(Why.HIDDEN), []
    for _ in range(_DEEPEST):
        if len(within.folders) != 1:
            break
        images += [shown(inner + name) for name in within.images]
        inner += within.folders[0] + b"/"
        within = contents(place, inner, counted)
    if len(within.folders) < 2:
        return prefix, found
    hidden.take(counted)
    around += images
    return inner, within


def _require_no_splits_within(root: str, parts: Mapping[bytes, str], inside: Mapping[bytes, Contents]) -> None:
    """Raise DataError when the folders in a split's folder are splits again (`train/train/cat`, `train/val/cat`)."""
    told = {prefix: read_names(list(found.named)) for prefix, found in inside.items()}
    double = [prefix for prefix, each in told.items() if each.whole]
    if not double:
        return
    names: dict[str, list[str]] = {}
    for prefix, split in parts.items():
        above = glob(shown(prefix).rstrip("/"))
        if prefix not in double:
            names.setdefault(split, []).append(above)
        for name, each in told[prefix].splits.items() if prefix in double else ():
            names.setdefault(each, []).append(f"{above}/{glob(name)}")
    raise DataError(
        f"{root}/{shown(double[0]).rstrip('/')} is of {parts[double[0]]} and holds folders of splits in turn "
        f"({', '.join(told[double[0]].splits)}); set {how_to_say(_joined(names))}"
    )


_TABLES = (b".csv", b".tsv", b".json", b".jsonl", b".xlsx", b".xls")
_PACKED = (b".zip", b".tar", b".gz", b".tgz", b".bz2", b".xz", b".zst", b".7z", b".rar", b".parquet")


def is_table(name: bytes) -> bool:
    return name.lower().endswith(_TABLES)


def no_labels_from(found: Contents) -> str:
    """What is to be done where labels may be in a table beside images; empty where there is none."""
    tables = [shown(name) for name in found.others if is_table(name)]
    return f"labels in a table ({listed(tables)}) are not read: {OWN_FOLDERS}" if tables else ""


def packed(found: Contents) -> str:
    """What is to be done where there are archives in the place of images; empty where there is none."""
    names = [shown(name) for name in found.others if name.lower().endswith(_PACKED)]
    if not names:
        return ""
    kinds = [kind for kind, end in (("webdataset", ".tar"), ("parquet", ".parquet")) if names[0].lower().endswith(end)]
    return f"it holds archives ({listed(names)}): unpack them" + "".join(f", or set source: {kind}" for kind in kinds)


def instead_of_classes(root: str, found: Contents) -> str:
    """What lies in a folder that should have a folder for each class, and what to do."""
    told = [packed(found), no_labels_from(found)]
    if found.hidden:
        told.insert(
            0, f"{len(found.hidden)} folder(s) are hidden ({listed(list(map(shown, found.hidden)))}): rename them"
        )
    if found.images:
        told.append(f"{len(found.images):,} image(s) lie there in no folder, e.g. {shown(found.images[0])}")
    if not any(told):
        told = [OWN_FOLDERS if found.folders else "there is no image"]
    if len(found.folders) == 1:
        told.append(f"images without labels are taken by path: {root}/{shown(found.folders[0])}")
    return "; ".join(filter(None, told))


OWN_FOLDERS = "put the images of each class into a folder called as the class (cat/0.jpg)"


def _says_splits(root: Contents, classes: Sequence[str] | None) -> bool:
    if classes is not None and all(matching(name, root.named) for name in classes):  # a class may be called so
        return False
    return bool(read_names(list(root.named)).splits)


def _require_splits(place: Place, base: bytes, root: Contents, told: Told, inside: Mapping[str, Contents]) -> None:
    where = f"{place.shown}/{shown(base)}".rstrip("/")
    beside = {name: contents(place, base + root.named[name] + b"/", Tally(Why.HIDDEN)) for name in told.others}
    deep = all(each.folders for each in inside.values())
    if any(each.folders or each.images for each in beside.values()):
        clear = deep and told.whole and not told.weak
    else:
        clear = deep or (told.alike and not told.weak)
    names = ", ".join(map(repr, told.splits))
    if not clear:
        raise DataError(
            f"{where}: {names} may be {_of(told)} or classes; for splits set {_patterns(glob(shown(base)), told)}, for classes "
            f"set classes: [{listed(list(root.named))}]"
        )
    if "train" not in told.splits.values():
        raise DataError(
            f"{where} has {', '.join(told.splits)} but no folder of train; add it, or {HOW_TO_SAY}; if that is a class, list "
            "all classes in the setting classes"
        )
    seen: dict[str, str] = {}
    for name, split in told.splits.items():
        if split in seen:
            raise DataError(
                f"{where} has two folders of {split}, {seen[split]!r} and {name!r}; make them one, or {HOW_TO_SAY}"
            )
        seen[split] = name


@dataclass(frozen=True)
class ClassFolder:
    """What lies in a class folder: each sub-folder, and whether that holds more folders; and whether images lie beside."""

    folders: Mapping[str, bool]
    images: bool


def splits_in_classes(
    shown_root: str, inside: Mapping[str, ClassFolder], classes: Sequence[str] | None
) -> dict[str, dict[str, str]]:
    """Class -> sub-folder -> split, where each class folder is parted (`cat/train/…`); empty where none is.

    Raises DataError when only some are, or the sub-folders may be something else, unless all `classes` are listed.
    """
    told = {name: read_names(list(found.folders)) for name, found in inside.items()}
    parted = [name for name, each in told.items() if each.splits]
    if not parted:
        return {}
    clear = all(
        each.splits
        and not each.others
        and not inside[name].images
        and not any(inside[name].folders.values())
        and "train" in each.splits.values()
        and len(set(each.splits.values())) == len(each.splits)
        for name, each in told.items()
    )
    if clear:
        return {name: dict(each.splits) for name, each in told.items()}
    if classes is not None:
        return {}
    deep = [name for name in parted if any(inside[name].folders[folder] for folder in told[name].splits)]
    if deep:
        raise DataError(
            f"{shown_root}/{deep[0]} holds folders of splits ({', '.join(told[deep[0]].splits)}), which hold folders in turn; "
            f"if these are the classes, set path: {shown_root}/{deep[0]}"
        )
    folder, split = next(iter(told[parted[0]].splits.items()))
    raise DataError(
        f"{shown_root}/{parted[0]}/{folder} may be the split {split} or only a part of class {parted[0]!r}; for the split "
        f"set {_patterns('*/', told[parted[0]])}, to take all below a class folder as of it set "
        f"classes: [{listed(list(inside))}]"
    )


def how_to_say(patterns: Mapping[str, str]) -> str:
    """The setting `splits` as a profile has it."""
    given = {"train": "…", **patterns}
    told = ", ".join(f'{split}: "{given[split]}"' for split in SPLITS if split in given)
    return f"splits: {{{told}}}"


def _patterns(above: str, told: Told) -> str:
    """The setting by which these folders are splits."""
    names: dict[str, list[str]] = {}
    for name, split in told.splits.items():
        names.setdefault(split, []).append(glob(name))
    return how_to_say(_joined(names, above))


def _joined(names: Mapping[str, Sequence[str]], above: str = "") -> dict[str, str]:
    """Split -> the pattern of all that is in any of some folders."""
    one = {split: each[0] if len(each) == 1 else f"{{{','.join(each)}}}" for split, each in names.items()}
    return {split: f"{above}{name}/**" for split, name in one.items()}


def glob(name: str) -> str:
    """A pattern that stands for this name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _of(told: Told) -> str:
    splits = [split for split in SPLITS if split in told.splits.values()]
    return f"the split{'s' if len(splits) > 1 else ''} {' and '.join(splits)}"
