"""Your own images: a folder of one folder a class, or an archive of one; decoded on access, verified once.

Layouts: `train/<class>/…` with `test/<class>/…` (and `validation/…`), or `<class>/…`, which is split by class with
identical images kept on one side.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lib.datasets.archives import SUFFIXES, is_archive, unpack
from lib.datasets.dataset import Dataset, Split, build, image_digest
from lib.datasets.download import RemoteFile, digest_of, fetch
from lib.datasets.sources import ImageFolder
from lib.datasets.splits import hold_out_rows
from lib.errors import DataError
from lib.files import digest_file, write_json
from lib.progress import bar

_PARTS = ("train", "validation", "test")
_LISTED = 5


class UnreadableError(Exception):
    """Why one file is not a usable image."""


class ImageFiles:
    """Image files, decoded to RGB on access; `digests` are of the decoded pixels."""

    def __init__(self, paths: Sequence[Path], digests: Sequence[bytes]) -> None:
        self.paths = list(paths)
        self.digests = list(digests)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        try:
            return decode(self.paths[index])
        except UnreadableError as problem:
            raise DataError(f"image {self.paths[index]} is unreadable ({problem}); restore it or remove it") from None


class FolderSplit(Split):
    """A split of image files; its digests were taken when the files were verified."""

    def image_digests(self) -> list[bytes]:
        assert isinstance(self.images, ImageFiles)
        return self.images.digests


def decode(path: Path) -> npt.NDArray[np.uint8]:
    """One file as uint8 RGB, shape (height, width, 3): EXIF orientation applied, alpha laid on white, 16 bits cut to 8.

    Raises
    ------
    UnreadableError
        When it is empty, no image, damaged, or so large that it may be a decompression bomb.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if path.stat().st_size == 0:
        raise UnreadableError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened)
                if picture.mode.startswith("I;16") or picture.mode == "I":
                    high = np.asarray(picture, dtype=np.uint32) >> 8
                    picture = Image.fromarray(np.minimum(high, 255).astype(np.uint8))
                if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
                    picture = picture.convert("RGBA")
                    white = Image.new("RGBA", picture.size, "white")
                    picture = Image.alpha_composite(white, picture)
                return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError:
        raise UnreadableError("not an image that Pillow knows") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError("so many pixels that it may be a decompression bomb") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from None


def load(source: ImageFolder, raw: Path, mirror: str | None) -> Dataset:
    """Find, verify and split the images.

    Raises
    ------
    DataError
        When the folder, a class or an image is not usable; it names it.
    """
    root = _root(source.path, raw / "folder", mirror)
    parts = [part for part in _PARTS if (root / part).is_dir()]
    class_names = _classes(source, root / "train" if "train" in parts else root)
    listing = {part: _listing(root / part, class_names) for part in (parts if "train" in parts else [])} or {
        "": _listing(root, class_names)
    }
    checked = _verify([path for files in listing.values() for path, _ in files], root, raw / "folder")
    bad = {path: note for path, note in checked.items() if isinstance(note, str)}
    if bad and not source.skip_unreadable:
        path, note = next(iter(bad.items()))
        raise DataError(
            f"{len(bad)} unreadable image(s) in {root}, e.g. {path.relative_to(root)} ({note}); "
            "repair or remove them, or skip them with --skip-unreadable (images.skip_unreadable=true)"
        )
    splits = {part: _split(files, checked) for part, files in listing.items()}
    if "" in splits:
        whole = splits.pop("")
        keys = [digest.hex() for digest in whole.image_digests()]
        kept, held = hold_out_rows(whole.labels, source.test_fraction, source.seed, keys)
        splits = {"train": _take(whole, kept), "test": _take(whole, held)}
    for part, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(class_names))
        if not counts.all():
            raise DataError(
                f"class {class_names[int(counts.argmin())]!r} has no readable image in {part or root}; add some"
            )
    notes = [_skipped(bad, root)] if bad else []
    return build(root_name(source.path), class_names, splits, f"image folder {source.path}", warnings=notes)


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
    wraps = len(inside) == 1 and inside[0].is_dir() and inside[0].name not in _PARTS
    return inside[0] if wraps else target


def _classes(source: ImageFolder, root: Path) -> list[str]:
    found = sorted(item.name for item in root.iterdir() if item.is_dir() and not item.name.startswith("."))
    missing = [name for name in source.classes or () if name not in found]
    if missing:
        raise DataError(f"class {missing[0]!r} is not in {root}; it has: {', '.join(found) or 'no folders'}")
    names = list(source.classes or found)
    if len(names) < 2:
        raise DataError(f"{root} has {len(names)} class folder(s); at least two are needed, one folder a class")
    return names


def _listing(root: Path, class_names: Sequence[str]) -> list[tuple[Path, int]]:
    return [
        (path, label)
        for label, name in enumerate(class_names)
        for path in sorted((root / name).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def _verify(paths: Sequence[Path], root: Path, folder: Path) -> dict[Path, bytes | str]:
    """Content digest of each image, or why it is unreadable; what is known of unchanged files is not read again."""
    ledger = folder / f"verified-{digest_of(str(root))}.json"
    try:
        known = json.loads(ledger.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    notes: dict[Path, bytes | str] = {}
    kept = {}
    with bar(f"verify {root.name}", len(paths), "image") as advance:
        for path in paths:
            name, status = str(path.relative_to(root)), path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
            entry = known.get(name)
            if entry and entry[:2] == stamp:
                notes[path] = bytes.fromhex(entry[2])
                kept[name] = entry
            else:
                try:
                    digest = image_digest(decode(path))
                    notes[path] = digest
                    kept[name] = [*stamp, digest.hex()]
                except UnreadableError as problem:
                    notes[path] = str(problem)
            advance(1)
    if kept != known:
        write_json(ledger, kept)
    return notes


def _split(files: Sequence[tuple[Path, int]], checked: dict[Path, bytes | str]) -> FolderSplit:
    good = [(path, label, note) for path, label in files if isinstance(note := checked[path], bytes)]
    images = ImageFiles([path for path, _, _ in good], [note for _, _, note in good])
    return FolderSplit(images, np.array([label for _, label, _ in good], np.int64))


def _take(split: FolderSplit, rows: npt.NDArray[np.int64]) -> FolderSplit:
    assert isinstance(split.images, ImageFiles)
    images = ImageFiles([split.images.paths[row] for row in rows], [split.images.digests[row] for row in rows])
    return FolderSplit(images, split.labels[rows])


def _skipped(bad: dict[Path, str], root: Path) -> str:
    listed = [f"{path.relative_to(root)} ({note})" for path, note in list(bad.items())[:_LISTED]]
    more = f" and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
    return f"{len(bad)} unreadable image(s) skipped: {', '.join(listed)}{more}"
