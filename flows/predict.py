"""Labels of image files by the champion, from a terminal."""

from __future__ import annotations

import glob
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from lib.datasets.decoding import Decoder
from lib.datasets.folder_files import files_below
from lib.datasets.places import LocalPlace
from lib.datasets.recognition import is_hidden, is_image, named_as_image
from lib.errors import ConfigError, StorageError
from lib.machine import from_home
from lib.places import Places
from lib.progress import bar, silent
from lib.studies.record import write_csv
from lib.text import not_utf8, visible
from lib.tracking.labelling import Labelled, label_images, load_version, newer_than_champion
from lib.tracking.registry import CHAMPION, registered_name
from lib.tracking.store import connect

_AT_ONCE = 2048
_BYTES_AT_ONCE = 256 << 20


def predict(names: Sequence[str], csv: Path | None, model: str | None, version: str | None, where: Places) -> int:
    """Print the top label and its probability for each image; the status is 1 when one could not be read.

    Which model labels them, what it was trained on, and what came of newer ones, comes first on standard error.

    Parameters
    ----------
    names : sequence of str
        Files, folders (with all below) and patterns.
    csv : Path, optional
        A file for the answers, instead of the terminal.

    Raises
    ------
    ConfigError
        When a name means no image, or there is no champion, or several models and none was named.
    """
    found = find_images(names)
    paths = found.images
    if csv is not None and csv.is_dir():
        raise StorageError(f"cannot write {csv}: a folder of that name is in its place; give a file")
    tracking = connect(where)
    name = registered_name(tracking, model)
    classifier = load_version(tracking, name, version or CHAMPION)
    sys.stderr.write(f"by {classifier.title}, trained on {classifier.data}\n")
    if version is None and (newer := newer_than_champion(tracking, name, named=model is not None)):
        sys.stderr.write(f"probeflow: {visible(newer)}\n")
    started = time.perf_counter()
    answers: list[Labelled] = []
    # The answers themselves, where they are printed, show how far it is.
    with nullcontext(silent) if csv is None else bar("predict", len(paths), "image") as advance:
        for some in _batches(paths):
            for answer in label_images(classifier, some):
                answers.append(answer)
                if answer.error is not None:
                    sys.stderr.write(f"probeflow: {visible(answer.image)}: {answer.error}\n")
                elif csv is None:
                    label, image = visible(str(answer.label)), visible(answer.image)
                    sys.stdout.write(f"{label}\t{answer.probability:.4f}\t{image}\n")
            advance(len(some))
    seconds = time.perf_counter() - started
    if csv is not None:
        write_csv(csv, [vars(answer) | {"image": _utf8(answer.image)} for answer in answers])
    bad = sum(answer.error is not None for answer in answers)
    told = (
        f"{len(answers):,} image(s) in {seconds:.1f} s, {len(answers) / seconds:,.0f} a second, by {classifier.title}"
    )
    told += f"; {bad:,} could not be read" if bad else ""
    if found.left_out:
        told += f"; {len(found.left_out):,} file(s) are no images and were left out, e.g. {found.left_out[0]}"
    if csv is not None:
        told += f"; written to {csv}"
    sys.stderr.write(f"{told}\n")
    return 1 if bad else 0


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
