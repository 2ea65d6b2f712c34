"""Labels of image files by the champion, from a terminal."""

from __future__ import annotations

import glob
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from lib.datasets.decoding import IMAGE_ENDINGS
from lib.errors import ConfigError, StorageError
from lib.places import Places
from lib.progress import bar, silent
from lib.studies.record.folder import write_csv
from lib.text import visible
from lib.tracking.labelling import Labelled, label_images, load_version
from lib.tracking.registry import CHAMPION, registered_name
from lib.tracking.store import connect

_AT_ONCE = 2048
_BYTES_AT_ONCE = 256 << 20


def predict(names: Sequence[str], csv: Path | None, model: str | None, version: str | None, where: Places) -> int:
    """Print the top label and its probability for each image; the status is 1 when one could not be read.

    Parameters
    ----------
    names : sequence of str
        Files, folders (with all below) and patterns.
    csv : Path, optional
        A file for the answers, instead of the terminal.

    Raises
    ------
    ConfigError
        When a name means no image, or there is no champion.
    """
    paths = find_images(names)
    if csv is not None and csv.is_dir():
        raise StorageError(f"cannot write {csv}: a folder of that name is in its place; give a file")
    tracking = connect(where)
    classifier = load_version(tracking, registered_name(tracking, model), version or CHAMPION)
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
        write_csv(csv, [vars(answer) for answer in answers])
    bad = sum(answer.error is not None for answer in answers)
    told = (
        f"{len(answers):,} image(s) in {seconds:.1f} s, {len(answers) / seconds:,.0f} a second, by {classifier.title}"
    )
    sys.stderr.write(f"{told}{f'; {bad:,} could not be read' if bad else ''}\n")
    return 1 if bad else 0


def find_images(names: Sequence[str]) -> list[Path]:
    """The files that the names mean, each once, in their order; a folder's are sorted.

    Raises
    ------
    ConfigError
        For a name that means none.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            inside = [each for each in sorted(path.rglob("*")) if each.suffix.lower()[1:] in IMAGE_ENDINGS]
            files = [each for each in inside if each.is_file()]
        elif path.exists():
            files = [path]
        else:
            matching = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path's takes no absolute pattern
            files = [Path(each) for each in matching if Path(each).is_file()]
        if not files:
            what = "holds no image file" if path.is_dir() else "is no file, no folder and no pattern of files"
            raise ConfigError(f"{name!r} {what}; check the path")
        found |= dict.fromkeys(files)
    return list(found)


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
