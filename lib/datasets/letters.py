"""OCR letters: 8x16 binary pixels, ten classes; the study's CSV pair, or the public archive it was drawn from.

The CSVs have no header: label 0-9, then 128 pixels, as any spreadsheet writes them. The study's own code took the first row for a
header and lost it; here a header is refused, and a file that looks as if it had lost a row is warned of.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.download import RemoteFile, fetch
from lib.datasets.formats import require_no_pointer
from lib.datasets.sources import Letters
from lib.errors import DataError
from lib.files import digest_file
from lib.machine import from_home

CLASSES = ("a", "e", "g", "i", "l", "n", "o", "r", "t", "u")
ARCHIVE = RemoteFile("letters/letter.data.gz", [Letters.published])
_ARCHIVE_ROWS = 52_152
_HEIGHT, _WIDTH = 16, 8
_PIXELS = _HEIGHT * _WIDTH
_DELIMITERS = ",;\t "
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NO_TEXT = {
    b"\x1f\x8b": "packed by gzip: unpack it (gunzip)",
    b"PK": "an Excel workbook or a zip: save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save it as CSV",
}
_LONGEST_NUMBER, _SHOWN = 9, 40
_TRAIN_A_CLASS, _VALIDATION_A_CLASS = 900, 100


def load(source: Letters, raw: Path, mirror: str | None) -> Dataset:
    if source.origin == "archive":
        return _from_archive(raw / "letters", mirror)
    splits, warnings, words = {}, [], []
    for split, name in (("train", source.train_csv), ("validation", source.validation_csv)):
        path = _find(name, raw / "letters", mirror)
        splits[split] = read_csv(path)
        words.append(f"{Path(name).name} ({len(splits[split]):,} rows)")
        warnings += _lost_row(splits[split], Path(name).name)
    return build("letters", CLASSES, splits, f"OCR letters, {' and '.join(words)}", maximum=1, warnings=warnings)


def read_csv(path: Path) -> Split:
    """Read a file of 129 columns: label 0-9, pixels 0 or 1. Raises DataError naming file, row (from 1) and fault."""
    lines = list(_lines(path))
    if not lines:
        raise DataError(f"{path.name} is empty; it should hold rows of a label and {_PIXELS} pixels")
    number, first = lines[0]
    if (
        not (_is_number(first[0]) and any(map(_is_number, first[1:])))
        and len(lines) > 1
        and all(map(_is_number, lines[1][1]))
    ):
        raise DataError(
            f"{path.name} row {number} looks like a header ({first[0][:_SHOWN]!r}, …), but these files have none: "
            f"delete that line; {len(lines) - 1:,} data rows follow it"
        )
    rows = np.array([_row(path, number, cells) for number, cells in lines], np.uint8)
    return Split(rows[:, 1:].reshape(-1, _HEIGHT, _WIDTH), rows[:, 0].astype(np.int64))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not blank, and its cells without quotes, spaces and trailing delimiters."""
    data = path.read_bytes()
    require_no_pointer(path, data)
    other = next((told for magic, told in _NO_TEXT.items() if data.startswith(magic)), None)
    if other is not None:
        raise DataError(f"{path.name} is {other}")
    text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig", "replace")
    first = text.lstrip().partition("\n")[0].rstrip()
    delimiter = next((each for each in _DELIMITERS if each in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    number = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            while len(cells) > _PIXELS + 1 and not cells[-1]:
                cells.pop()
            if any(cells):
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path.name} row {number} is no CSV ({error}); write the file again") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _row(path: Path, number: int, cells: list[str]) -> list[int]:
    if len(cells) != _PIXELS + 1:
        raise DataError(f"{path.name} row {number} has {len(cells)} columns; {_PIXELS + 1} are needed (label, pixels)")
    for column, cell in enumerate(cells, 1):
        if not (cell.isascii() and cell.isdigit() and len(cell) <= _LONGEST_NUMBER):
            raise DataError(
                f"{path.name} row {number}, column {column} holds {cell[:_SHOWN]!r}; a whole number is needed"
            )
    values = [int(cell) for cell in cells]
    if values[0] >= len(CLASSES):
        raise DataError(f"{path.name} row {number} has label {values[0]}; labels are 0 to {len(CLASSES) - 1}")
    wrong = next((column for column, value in enumerate(values[1:], 2) if value > 1), None)
    if wrong is not None:
        raise DataError(f"{path.name} row {number}, column {wrong} holds pixel {values[wrong - 1]}; pixels are 0 or 1")
    return values


def _lost_row(split: Split, name: str) -> list[str]:
    """Warn when all classes have one size but for one class that is a row short: a row was taken for a header."""
    counts = np.bincount(split.labels, minlength=len(CLASSES))
    most = counts.max()
    if most > 1 and (counts < most).sum() == 1 and counts.min() == most - 1:
        lost = CLASSES[int(counts.argmin())]
        return [
            f"{name}: {len(split):,} rows, and class {lost!r} is one row short of the others: "
            "the first row may have been lost as a header"
        ]
    return []


def _find(name: str, folder: Path, mirror: str | None) -> Path:
    local = from_home(name)
    if local.is_file():
        return local
    if mirror is None:
        raise DataError(
            f"letters file {name!r} not found and it has no public address: give its path, set PROBEFLOW_MIRROR, "
            "or use origin: archive"
        )
    return fetch(RemoteFile(name), folder, mirror)


def _from_archive(folder: Path, mirror: str | None) -> Dataset:
    """A fixed draw of 900 + 100 letters of each class from the 52,152 of the public archive (Kassel's, MIT)."""
    import pandas as pd

    path = fetch(ARCHIVE, folder, mirror)
    types = {1: "str"} | dict.fromkeys(range(6, 6 + _PIXELS), "uint8")  # id, letter, next, word, position, fold, pixels
    try:
        table = pd.read_csv(path, sep="\t", header=None, usecols=list(types), dtype=types, compression="gzip")
        letters, pixels = table[1].to_numpy(), table.drop(columns=1).to_numpy()
    except (OSError, EOFError, zlib.error, ValueError) as error:  # pandas' own are ValueErrors
        path.unlink(missing_ok=True)
        raise DataError(f"{path.name} is damaged ({error}); fetch it again or replace it in the mirror") from None
    if len(letters) != _ARCHIVE_ROWS or pixels.max() > 1:
        path.unlink()
        raise DataError(
            f"{path.name} holds {len(letters):,} letters, not {_ARCHIVE_ROWS:,} of {_PIXELS} pixels of 0 or 1: it is cut or "
            "altered; fetch it again"
        )
    return _draw(letters, pixels, f"OCR letters, drawn from the public archive (sha256 {digest_file(path)[:16]}…)")


def _draw(letters: npt.NDArray[Any], pixels: npt.NDArray[np.uint8], origin: str) -> Dataset:
    rng = np.random.default_rng(0)
    rows: dict[str, list[npt.NDArray[np.int64]]] = {"train": [], "validation": []}
    for letter in CLASSES:
        found, wanted = np.flatnonzero(letters == letter), _TRAIN_A_CLASS + _VALIDATION_A_CLASS
        if len(found) < wanted:
            raise DataError(f"the letter archive has {len(found)} of {letter!r}; {wanted} are needed")
        drawn = found[rng.choice(len(found), wanted, replace=False)]
        rows["train"].append(drawn[:_TRAIN_A_CLASS])
        rows["validation"].append(drawn[_TRAIN_A_CLASS:])
    splits = {}
    for split, of_class in rows.items():
        order = rng.permutation(sum(map(len, of_class)))
        labels = np.repeat(np.arange(len(CLASSES)), len(of_class[0]))
        splits[split] = Split(pixels[np.concatenate(of_class)[order]].reshape(-1, _HEIGHT, _WIDTH), labels[order])
    return build("letters", CLASSES, splits, origin, maximum=1)
