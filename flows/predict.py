"""Labels of image files by the champion, from a terminal."""

from __future__ import annotations

import glob
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from csv import writer as csv_writer
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lib.datasets.decoding import Decoder
from lib.datasets.folder_files import files_below
from lib.datasets.places import LocalPlace
from lib.datasets.recognition import is_hidden, is_image, named_as_image
from lib.errors import ConfigError
from lib.files import atomic_path, require_no_folder
from lib.machine import from_home
from lib.places import Places
from lib.progress import bar, silent
from lib.text import not_utf8, visible
from lib.tracking.labelling import Labelled, label_images, load_version, newer_than_champion
from lib.tracking.registry import CHAMPION, registered_name
from lib.tracking.store import connect

_AT_ONCE = 2048
_BYTES_AT_ONCE = 256 << 20
_LISTED = 100
"""Images that could not be read which are named at the end; the table has all."""


def predict(
    names: Sequence[str], csv: Path | None, model: str | None, version: str | None, where: Places, top: int = 1
) -> int:
    """Write a row for each image: file, label, confidence; the status is 1 when one could not be read.

    Which model labels them, what it was trained on, and what came of newer ones, comes first on standard error; images that
    could not be read come last. Rows are written as they come, so memory holds no more of an image than its name.

    Parameters
    ----------
    names : sequence of str
        Files, folders (with all below) and patterns.
    csv : Path, optional
        A file for the rows, written atomically, instead of standard output.
    top : int
        Classes of each image, the most probable first.

    Raises
    ------
    ConfigError
        When a name means no image, there is no champion, or several models and none was named, or fewer classes.
    """
    found = find_images(names)
    if csv is not None:
        require_no_folder(csv)
    tracking = connect(where)
    name = registered_name(tracking, model)
    loaded = load_version(tracking, name, version or CHAMPION)
    classifier = loaded.classifier
    classes = len(classifier.recipe.class_names)
    if not 1 <= top <= classes:
        raise ConfigError(f"--top {top} does not fit {loaded.title}, which has {classes} classes; give 1 to {classes}")
    sys.stderr.write(f"by {loaded.title}, trained on {loaded.version.data}\n")
    if (error := loaded.version.calibration_error) is not None:
        sys.stderr.write(
            f"confidence: expected calibration error {error.estimate:.4f} ({error.low:.4f} to {error.high:.4f}) on its test "
            "images\n"
        )
    if version is None and (newer := newer_than_champion(tracking, name, named=model is not None)):
        sys.stderr.write(f"probeflow: {visible(newer)}\n")
    started = time.perf_counter()
    unread: list[Labelled] = []
    # Rows on a terminal show how far it is.
    shown = csv is None and sys.stdout.isatty()
    with (
        _table(csv, top) as write,
        nullcontext(silent) if shown else bar("predict", len(found.images), "image") as advance,
    ):
        for some in _batches(found.images):
            for each in label_images(classifier, some, top, advance):
                write(each)
                if each.error is not None:
                    unread.append(each)
    seconds = time.perf_counter() - started
    for each in unread[:_LISTED]:
        sys.stderr.write(f"probeflow: {visible(str(each.file))}: {each.error}\n")
    if len(unread) > _LISTED:
        sys.stderr.write(f"probeflow: {len(unread) - _LISTED:,} more, in the column error\n")
    count = len(found.images)
    told = f"{count:,} image(s) in {seconds:.1f} s, {count / seconds:,.0f} a second, by {loaded.title}"
    told += f"; {len(unread):,} could not be read" if unread else ""
    if found.left_out:
        told += f"; {len(found.left_out):,} file(s) are no images and were left out, e.g. {found.left_out[0]}"
    if csv is not None:
        told += f"; written to {csv}"
    sys.stderr.write(f"{told}\n")
    return 1 if unread else 0


@contextmanager
def _table(file: Path | None, top: int) -> Iterator[Callable[[Labelled], None]]:
    """What writes a row; a file has its name once the block ends well."""
    more = [f"{name}_{place}" for place in range(2, top + 1) for name in ("label", "confidence")]
    head = ("file", "label", "confidence", *more, "error")

    def begun(stream: TextIO, plain: Callable[[str], str]) -> Callable[[Labelled], None]:
        rows = csv_writer(stream, lineterminator="\n")
        rows.writerow(head)

        def write(each: Labelled) -> None:
            best = [cell for label, probability in each.best for cell in (plain(label), probability)]
            rows.writerow([plain(str(each.file)), *(best or [""] * (2 * top)), each.error or ""])

        return write

    if file is None:
        yield begun(sys.stdout, visible)
    else:
        with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            yield begun(stream, _utf8)


def _utf8(name: str) -> str:
    return visible(name) if not_utf8(name) else name


@dataclass(frozen=True)
class Found:
    """Image files, and what lies among them in folders and patterns but is none, as training leaves it out."""

    images: list[Path]
    left_out: list[Path]


def find_images(names: Sequence[str]) -> Found:
    """The images that the names mean, each once, in their order; a folder's are sorted. A file that is named is meant.

    What is called an image and is no regular file (a broken link, a pipe) is one that cannot be read, as in training.

    Raises
    ------
    ConfigError
        For a name that means none.
    """
    images: dict[Path, None] = {}
    others: dict[Path, None] = {}
    decoder = Decoder()
    for name in names:
        path = from_home(name)
        if path.is_dir():
            hidden: list[str] = []
            files = sorted(path / os.fsdecode(each) for each, _ in files_below(LocalPlace(path), b"", hidden.append))
            found, rest = _parted(files, decoder)
            rest = sorted([*rest, *(path / each for each in hidden)])
        elif os.path.lexists(path):
            found, rest = [path], []
        else:
            matching = map(Path, sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - Path's takes no absolute pattern
            found, rest = _parted([each for each in matching if not each.is_dir()], decoder)
        if not found:
            what = "holds no image" if path.is_dir() or rest else "is no file, no folder and no pattern of files"
            raise ConfigError(f"{name!r} {what}; check the path")
        images |= dict.fromkeys(found)
        others |= dict.fromkeys(rest)
    return Found(list(images), [each for each in others if each not in images])


def _parted(files: Sequence[Path], decoder: Decoder) -> tuple[list[Path], list[Path]]:
    """The files that are taken for images, and the others."""
    images: list[Path] = []
    others: list[Path] = []
    for file in files:
        is_one = not is_hidden(os.fsencode(file.name)) and _is_image(file, decoder)
        (images if is_one else others).append(file)
    return images, others


def _is_image(file: Path, decoder: Decoder) -> bool:
    """The rule of training: by content, and by ending where content does not tell; what cannot be read is an image's fault."""
    name = os.fsencode(file.name)
    try:
        if named_as_image(name):
            return True
        if not file.is_file() or file.stat().st_size > decoder.largest_bytes:
            return False
        return is_image(name, file.read_bytes(), decoder)
    except OSError:
        return True


def _batches(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Paths in groups of bounded number and size, as many as fit into memory with ease."""
    batch: list[Path] = []
    held = 0
    for path in paths:
        size = path.stat().st_size if path.is_file() else 0
        if batch and (len(batch) == _AT_ONCE or held + size > _BYTES_AT_ONCE):
            yield batch
            batch, held = [], 0
        batch.append(path)
        held += size
    if batch:
        yield batch
