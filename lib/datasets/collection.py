"""From a listed catalogue to a dataset: verify, refuse or set aside what is unreadable, hold out, and describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.datasets import catalogue as catalogues
from lib.datasets.catalogue import FINE, UNVERIFIED, WHOLE, Catalogue, shown
from lib.datasets.class_names import alike, matching
from lib.datasets.dataset import Dataset, Split, build
from lib.datasets.decoding import ASKED_AGAIN, CANNOT_READ, Decoder
from lib.datasets.encoded import ByteStore, EncodedImages
from lib.datasets.origins import digest_of
from lib.datasets.recognition import FORMATS, named_as_images
from lib.datasets.shrinking import Shrink
from lib.datasets.small_copies import keeping
from lib.datasets.sources import EncodedSource
from lib.datasets.split_names import SPLITS
from lib.datasets.splits import TO_VALIDATE, different_images, hold_out_rows, shortages, too_few
from lib.datasets.understood import LeftOut, Reading, Why, left_out, words
from lib.datasets.verification import verify
from lib.errors import DataError
from lib.text import cut

_LISTED = 5
_CLASSES_LISTED = 20

_WINDOW = 1 << 16

NO_SAMPLE = "no sample: neither an image nor a label"
"""Why a row that a listing found is no image: no fault of it."""

_TO_DEAL = "to part train and test"
_QUARANTINE = pa.schema(
    [*((name, pa.string()) for name in ("name", "split", "label")), ("bytes", pa.int64()), ("reason", pa.string())]
)


@dataclass(frozen=True)
class Collection:
    """A source's images before they are a dataset.

    `shown`: where it lies, to be shown.
    `origin`: the same in words.
    `class_names`: in the order of the dataset's labels.
    `classes` (int32, shape (len(catalogue.values),)): the class of each of the catalogue's label values, or -1 where it
    is not wanted.
    `file`: where the catalogue is kept.
    `is_new`: whether what is kept there lists other images.
    `reading`: what tells the splits, and what the listing left out.
    `notes`: what the listing found that a reader should know.
    `files`: whether rows are whatever files there are, and not what the source itself calls images.
    `copy`: the folder they were unpacked to, of an archive's.
    """

    name: str
    shown: str
    origin: str
    class_names: Sequence[str]
    classes: npt.NDArray[np.int32]
    catalogue: Catalogue
    store: ByteStore
    decoder: Decoder
    file: Path
    is_new: bool
    reading: Reading
    notes: Sequence[str] = ()
    files: bool = False
    copy: Path | None = None


def catalogue_file(folder: Path, decoder: Decoder, *listed: str) -> Path:
    """Where the catalogue of what is `listed` is kept: one for each setting of the decoder, so that none undoes another's."""
    return folder / f"catalogue-{digest_of(decoder.settings, *listed)}.parquet"


def dataset_of(collection: Collection, source: EncodedSource) -> Dataset:
    """Verify what is new. Raises DataError for unreadable images that are refused, or a class with too few usable."""
    catalogue = collection.catalogue
    columns = catalogue.columns
    classes = np.append(collection.classes, np.int32(-1))[columns["label"]]  # label -1 takes the last one
    wanted = (classes >= 0) | (columns["label"] < 0)
    _require_enough(collection, classes, wanted)
    _verify_doubtful(collection, classes, wanted, source.small_copies)
    _verify(collection, wanted, source.small_copies)
    no_image = wanted & _no_images(collection)
    bad = np.flatnonzero(wanted & (columns["state"] > FINE) & ~no_image)
    failed = np.flatnonzero(wanted & catalogue.refused_for(CANNOT_READ))
    if len(failed):
        raise DataError(
            f"{len(failed):,} image(s) of {collection.shown} could not be read, e.g. {_told(catalogue, failed[:1])}; "
            "fix that and run the same command again"
        )
    if len(bad) and source.unreadable == "refuse":
        raise DataError(
            f"{len(bad):,} unreadable image(s) in {collection.shown}, e.g. {_told(catalogue, bad)}; "
            "repair or remove them, or set them aside with --quarantine (unreadable: quarantine)"
        )
    fine = wanted & (columns["state"] == FINE)
    _require_enough(collection, classes, fine)
    splits: dict[str, Split] = {}
    for position in np.unique(columns["split"][fine]).tolist():
        rows = np.flatnonzero(fine & (columns["split"] == position))
        labels = classes[rows].astype(np.int64)
        images = EncodedImages(catalogue, rows, collection.store, collection.decoder, collection.file, collection.copy)
        if position != WHOLE:
            splits[SPLITS[position]] = Split(images, labels)
            continue
        kept, held = hold_out_rows(
            labels, source.test_fraction, source.seed, None, images.digests, collection.class_names, collection.shown
        )
        for name, part in (("train", kept), ("test", held)):
            splits[name] = Split(images.take(part), labels[part])
    listed = collection.reading
    others = _left_out(Why.NO_IMAGE, catalogue, np.flatnonzero(no_image))
    notes = [*collection.notes, *alike(collection.class_names), *_warnings((*others, *listed.left_out))]
    if len(bad):
        notes.append(f"{len(bad):,} unreadable image(s) quarantined: {_told(catalogue, bad)}")
    notes += _in_several_classes(catalogue, np.flatnonzero(fine), classes)
    several = np.flatnonzero(fine & (columns["several"] > 0))
    if len(several):
        notes.append(
            f"{len(several):,} image(s) hold several frames or pages, of which the first is taken: {_told(catalogue, several)}"
        )
    unreadable = _left_out(Why.UNREADABLE, catalogue, bad)
    reading = replace(
        listed,
        formats=_formats(columns["format"][fine]),
        left_out=(*others, *listed.left_out, *unreadable),
        scaled=_may_be_scaled(columns[fine], collection.decoder),
    )
    if "validation" not in splits and (few := _few_to_train(collection, splits["train"])):
        notes.append(few)
    quarantined = _quarantined(collection, bad, classes) if len(bad) else None
    return build(
        collection.name,
        collection.class_names,
        {name: splits[name] for name in SPLITS if name in splits},
        collection.origin,
        warnings=notes,
        quarantined=quarantined,
        reading=reading,
    )


def _require_enough(collection: Collection, classes: npt.NDArray[np.int32], rows: npt.NDArray[np.bool_]) -> None:
    """Raise DataError when a class has no image in a split, or a single one to be dealt to train and test."""
    split = collection.catalogue.columns["split"]
    for position in np.unique(split).tolist() if len(split) else [WHOLE]:
        counts = np.bincount(
            classes[rows & (split == position) & (classes >= 0)], minlength=len(collection.class_names)
        )
        where = collection.shown if position == WHOLE else f"{SPLITS[position]} of {collection.shown}"
        if not counts.all():
            empty = collection.class_names[int(counts.argmin())]
            told = f"class {empty!r} has " if empty else ""
            listed = ", or list the other classes in the setting classes" if empty else ""
            raise DataError(f"{told}no readable image in {where}; add some{listed}")
        if position == WHOLE and (short := shortages(counts, 2)):
            raise too_few(short, collection.class_names, where, _TO_DEAL)


def _in_several_classes(catalogue: Catalogue, rows: npt.NDArray[np.int64], classes: npt.NDArray[np.int32]) -> list[str]:
    """A warning of images whose pixels are in two classes."""
    digests = catalogue.digests[rows].view(np.uint64)
    order = np.lexsort((classes[rows], digests[:, 0], digests[:, 1]))
    ordered, labels = digests[order], classes[rows[order]]
    same = (ordered[1:] == ordered[:-1]).all(axis=1)
    other = same & (labels[1:] != labels[:-1])
    if not other.any():
        return []
    image = np.concatenate([[True], ~same]).cumsum()[1:]  # its number, for each place
    at = np.flatnonzero(other)[np.unique(image[other], return_index=True)[1]]
    at = at[np.argsort(order[at])]
    told = [f"{catalogue.name(rows[order[each]])} and {catalogue.name(rows[order[each + 1]])}" for each in at[:_LISTED]]
    more = f" and {len(at) - _LISTED:,} more" if len(at) > _LISTED else ""
    return [f"{len(at):,} image(s) are in several classes, by their pixels: {', '.join(told)}{more}"]


def _few_to_train(collection: Collection, train: Split) -> str:
    """A warning of classes of which no training image can be held out; empty when there is none, or there are no labels."""
    if len(collection.class_names) < 2:
        return ""
    counts = different_images(train.labels, len(collection.class_names), digests=train.image_digests())
    short = shortages(counts, 2)
    return f"{too_few(short, collection.class_names, 'train', TO_VALIDATE)}" if short else ""


def _no_images(collection: Collection) -> npt.NDArray[np.bool_]:
    """Which rows are no image, by ending and content, so that they are no fault: shape (n,)."""
    catalogue = collection.catalogue
    found = catalogue.refused_for(NO_SAMPLE)
    if collection.files:
        unknown = (catalogue.columns["state"] > FINE) & (catalogue.columns["format"] == 0)
        rows = np.flatnonzero(unknown & ~catalogue.refused_for(ASKED_AGAIN))
        found[rows] = ~named_as_images(catalogue.names.take(pa.array(rows)))
    return found


def _verify_doubtful(
    collection: Collection, classes: npt.NDArray[np.int32], wanted: npt.NDArray[np.bool_], shrinks: Sequence[Shrink]
) -> None:
    """Verify classes first of which no file is called as an image: a folder of notes is told before hours are spent."""
    state = collection.catalogue.columns["state"]
    if not collection.files or not (wanted & (state == UNVERIFIED)).any():
        return
    named = named_as_images(collection.catalogue.names)
    counts = np.bincount(classes[wanted & named & (classes >= 0)], minlength=len(collection.class_names))
    if not counts.all():
        doubtful = wanted & np.isin(classes, np.flatnonzero(counts == 0))
        _verify(collection, doubtful, shrinks)
        _require_enough(collection, classes, ~doubtful & wanted | (state == FINE))


def _left_out(why: Why, catalogue: Catalogue, rows: npt.NDArray[np.int64]) -> tuple[LeftOut, ...]:
    return left_out(why, len(rows), map(catalogue.name, rows.tolist()))


def _warnings(left: Sequence[LeftOut]) -> list[str]:
    """Warnings of what is left out: what is no image in one, whatever else each in its own."""
    found = {each.why: each for each in left}
    no_images = [found[why] for why in (Why.NO_IMAGE, Why.HIDDEN) if why in found]
    told = [
        f"{sum(each.count for each in no_images):,} file(s) are no images and are left out: {'; '.join(map(words, no_images))}"
    ]
    if Why.NO_PATTERN in found:
        each = found[Why.NO_PATTERN]
        told.append(f"{each.count:,} file(s) are matched by no pattern of splits and are left out: {words(each)}")
    return told if no_images else told[1:]


def _may_be_scaled(rows: npt.NDArray[Any], decoder: Decoder) -> bool:
    """Whether there are JPEGs of a size to which larger ones are decoded."""
    if decoder.scaled_side is None:
        return False
    sides = np.minimum(rows["height"], rows["width"])[rows["format"] == FORMATS.index("JPEG")]
    return bool((sides >= decoder.scaled_side).any())


def _formats(codes: npt.NDArray[np.int8]) -> dict[str, int]:
    """Images by format, the most frequent first."""
    counts = np.bincount(codes, minlength=len(FORMATS))
    return {FORMATS[code]: int(counts[code]) for code in np.argsort(-counts, kind="stable") if counts[code]}


def classes_of(
    catalogue: Catalogue, wanted: Sequence[str] | None, order: Sequence[str] | None, shown: str
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The class names, and the class of each of the catalogue's label values (-1 where it is not wanted).

    `wanted`: the classes to take, in this order; else all that occur. Names that are one text to Unicode are one, as
    train has it.
    `order`: their order where the source tells one; else numbers by value, or names by the alphabet.

    Raises DataError when a wanted class does not occur, or there are fewer than two.
    """
    labels, split = catalogue.columns["label"], catalogue.columns["split"]
    train = dict.fromkeys(catalogue.values[code] for code in np.unique(labels[(split <= 0) & (labels >= 0)]))
    every = [catalogue.values[code] for code in np.unique(labels[labels >= 0])]
    same = {value: there for value in every if (there := matching(value, train)) is not None}
    values = list(dict.fromkeys(same.get(value, value) for value in every))
    place = {value: number for number, value in enumerate(order or ())}
    numbers = all(re.fullmatch(r"-?\d+", value) for value in values)
    found = sorted(values, key=lambda value: (place.get(value, len(place)), int(value) if numbers else 0, value))
    known_names = dict.fromkeys(found)
    asked = {name: matching(name, known_names) for name in wanted or ()}
    missing = [name for name, there in asked.items() if there is None]
    if missing:
        known = ", ".join(found[:_CLASSES_LISTED]) + (" …" if len(found) > _CLASSES_LISTED else "")
        why = "" if known else f" ({_why_no_labels(catalogue)})"
        raise DataError(f"class {missing[0]!r} is not in {shown}; it has: {known or 'no labels'}{why}")
    names = list(dict.fromkeys(filter(None, asked.values()))) or found
    if not names:
        raise DataError(f"no image of {shown} has a label: {_why_no_labels(catalogue)}")
    if len(names) < 2:
        raise DataError(f"{shown} has the class {names[0]!r} alone; at least two are needed: add images of another")
    position = {name: number for number, name in enumerate(names)}
    return names, np.array([position.get(same.get(value, value), -1) for value in catalogue.values], np.int32)


def _why_no_labels(catalogue: Catalogue) -> str:
    """Why no row has a label, by the first that is meant as an image."""
    rows = np.flatnonzero((catalogue.columns["state"] > FINE) & ~catalogue.refused_for(NO_SAMPLE))
    if not len(rows):
        return "there is no row that may be one"
    return f"{catalogue.name(rows[0])}: {catalogue.reason(int(rows[0]))}"


def _verify(collection: Collection, wanted: npt.NDArray[np.bool_], shrinks: Sequence[Shrink]) -> None:
    def save() -> None:
        catalogues.save(collection.catalogue, collection.file, collection.decoder.identity)

    catalogue, store, decoder = collection.catalogue, collection.store, collection.decoder
    with keeping(collection.file, shrinks) as keeper:
        any_new = verify(catalogue, wanted, store, decoder, collection.name, save, keeper)
    if collection.is_new and not any_new:
        save()


def _told(catalogue: Catalogue, rows: npt.NDArray[np.int64]) -> str:
    """The first few of some images, with the reasons of unreadable ones."""
    listed = []
    for row in rows[:_LISTED].tolist():
        reason, name = catalogue.reason(row), cut(catalogue.name(row))
        listed.append(f"{name} ({reason})" if reason else name)
    return ", ".join(listed) + (f" and {len(rows) - _LISTED:,} more" if len(rows) > _LISTED else "")


def _quarantined(collection: Collection, rows: npt.NDArray[np.int64], classes: npt.NDArray[np.int32]) -> pa.Table:
    catalogue = collection.catalogue
    columns = catalogue.columns

    def batch(part: Sequence[int]) -> pa.Table:
        splits = [columns["split"][row] for row in part]
        labels = [classes[row] for row in part]
        content = {
            "name": [catalogue.name(row) for row in part],
            "split": [None if split == WHOLE else SPLITS[split] for split in splits],
            "label": [None if label < 0 else collection.class_names[label] or None for label in labels],
            "bytes": np.maximum(columns["size"][part], 0),
            "reason": [shown(catalogue.reason(row).encode("utf-8", "backslashreplace")) for row in part],
        }
        return pa.table(content, schema=_QUARANTINE)

    return pa.concat_tables(batch(rows[start : start + _WINDOW].tolist()) for start in range(0, len(rows), _WINDOW))
