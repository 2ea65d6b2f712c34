"""What every source yields: splits of uint8 images with labels, and a digest of their content."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lib.datasets.images import Digests, Images, Rows, digests_of, parts_to_read, read_images, shapes_of, take_images
from lib.datasets.splits import Shortage, all_folds, different_images, hold_out_rows, shortages, too_few
from lib.datasets.understood import Reading, Understood, sizes_of
from lib.errors import DataError
from lib.machine import cores
from lib.progress import bar
from lib.text import size_words

if TYPE_CHECKING:
    import pyarrow as pa

Shape = tuple[int, ...]
"""Of an image: (height, width) or (height, width, 3)."""

_PART_IMAGES, _PART_BYTES = 32, 16 << 20
"""What a thread that decodes images reads at once."""

_PART_ROWS = 4096
"""What is copied at once of images in one array."""

_SIZES_SHOWN = 3


@dataclass(frozen=True)
class Split:
    """One split of a dataset.

    `images`: n images; a (n, height, width[, 3]) uint8 array, or files decoded on access.
    `labels` (int64, shape (n,)): index into the dataset's class names.
    `groups` (int64, shape (n,), or None): images of one group (overlapping patches of one block) must never be parted
    between splits.
    """

    images: Images
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def image_digests(self) -> Digests:
        """The content digest (decoded pixels and shape) of each image, in order: shape (n,), dtype S16."""
        return digests_of(self.images)


@dataclass(frozen=True)
class Dataset:
    """A verified dataset in memory or on disk.

    `name`: the source's name, e.g. "mnist".
    `class_names`: one per label value.
    `splits`: "train" always; "validation" and "test" where the source has them.
    `digest`: SHA-256 over class names and every split's images and labels in order.
    `origin`: where the data came from, in words.
    `maximum`: the largest pixel value the source uses (255, or 16 for scikit-learn's digits, 1 for binary letters).
    `warnings`: what a reader of results should know, e.g. unreadable files that were set aside.
    `quarantined`: the images that were set aside: name, split (null when not dealt yet), label (the class's name),
    bytes, reason.
    `source`: the settings that it was acquired with.
    `address`: where its files lie, a path or a URL without secrets; None when they come with a package, or are drawn.
    `reading`: how the source was read: what tells the splits, formats, and what was left out. See `understood`.
    `mirror`: the mirror under which paths of `source` are names, perhaps with credentials; None when none is.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    digest: str
    origin: str
    maximum: int = 255
    warnings: tuple[str, ...] = ()
    quarantined: pa.Table | None = field(default=None, repr=False, compare=False)
    source: dict[str, Any] | None = None
    address: str | None = None
    reading: Reading = field(default_factory=Reading, repr=False, compare=False)
    mirror: str | None = field(default=None, repr=False, compare=False)
    _digests: dict[str, Digests] = field(default_factory=dict, repr=False, compare=False)

    @property
    def labelled(self) -> bool:
        """Whether there is anything to predict: two or more classes. Images without labels are all of the class ""."""
        return len(self.class_names) >= 2

    def digests(self, split: str) -> Digests:
        """Content digest of each image of a split, shape (n,), dtype S16; computed once, for it may read every image."""
        if split not in self._digests:
            self._digests[split] = self.splits[split].image_digests()
        return self._digests[split]

    def hold_out(self, fraction: float, seed: int) -> tuple[Rows, Rows]:
        """Training rows kept and held out, sorted; groups and duplicates whole. Raises DataError as `hold_out_rows`."""
        train = self.splits["train"]
        digests, where = self.digests("train"), f"train of {self.name!r}"
        return hold_out_rows(train.labels, fraction, seed, train.groups, digests, self.class_names, where)

    def fold(self, fold: int, folds: int) -> tuple[Rows, Rows]:
        """Training rows kept, and held out in the fold of this place, sorted. Raises DataError as `all_folds`."""
        train = self.splits["train"]
        digests, where = self.digests("train"), f"train of {self.name!r}"
        return all_folds(train.labels, folds, train.groups, digests, self.class_names, where)[fold]

    def shortages(self, split: str, needed: int) -> tuple[Shortage, ...]:
        """The classes of a split with fewer different images (or groups of them) than `needed`; nothing is read for it."""
        content = self.splits[split]
        counts = different_images(content.labels, len(self.class_names), content.groups, self.digests(split))
        return shortages(counts, needed)

    def require_different(self, split: str, needed: int, reason: str) -> None:
        """Raise DataError naming the classes that have too few different images in a split; `reason` says for what."""
        if short := self.shortages(split, needed):
            raise too_few(short, self.class_names, f"{split} of {self.name!r}", reason)

    def require(self, split: str, reason: str) -> Split:
        """The split of that name. Raises DataError when the dataset has none; `reason` says who needs it."""
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f"dataset {self.name!r} has no {split} split (it has: {known}), but {reason}")
        return self.splits[split]

    @cached_property
    def shapes(self) -> Mapping[Shape, int]:
        """How many images of all splits have each shape, the most frequent first; verified images are not decoded."""
        counts: Counter[Shape] = Counter()
        for split in self.splits.values():
            counts.update(shapes_of(split.images))
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def understood(self) -> Understood:
        """What the dataset was understood to be, for people: nothing is read or decoded for it."""
        counts = {
            name: np.bincount(split.labels, minlength=len(self.class_names)).tolist()
            for name, split in self.splits.items()
        }
        classes = {
            label: {split: counts[split][code] for split in self.splits} for code, label in enumerate(self.class_names)
        }
        return Understood(
            {name: len(split) for name, split in self.splits.items()}, classes, sizes_of(self.shapes), self.reading
        )

    def pixel_shape(self) -> Shape | None:
        """The shape that all images of all splits have; None when there are several."""
        return next(iter(self.shapes)) if len(self.shapes) == 1 else None

    def require_pixel_shape(self) -> Shape:
        """The shape that all images have. Raises DataError when there are several; it names the most frequent ones."""
        if len(self.shapes) == 1:
            return next(iter(self.shapes))
        if not self.shapes:
            raise DataError(f"dataset {self.name!r} has no images; add some")
        shown = [f"{size_words(shape)}: {count:,}" for shape, count in list(self.shapes.items())[:_SIZES_SHOWN]]
        more = " …" if len(self.shapes) > _SIZES_SHOWN else ""
        raise DataError(
            f"dataset {self.name!r} has images of several sizes ({', '.join(shown)}{more}) and pixels need one; "
            "resize them to one size, or use features"
        )

    def fill(self, out: npt.NDArray[np.float32], split: str, rows: Rows) -> None:
        """Write the pixels of some rows of a split to `out`, scaled to [0, 1], reading a few megabytes at a time.

        `out` (float32, shape (n, height * width * channels)): all of it is written: value / `maximum` in float32.
        `rows` (int64, shape (n,)): positions in the split, in any order, also repeated.

        Raises ChangedError when an image is no longer the one that was verified; DataError when the images are of
        several sizes, or one cannot be read.
        """
        expected = (len(rows), math.prod(self.require_pixel_shape()))
        if out.shape != expected or out.dtype != np.float32:
            raise ValueError(f"out is {out.dtype} {out.shape}, not float32 {expected}")
        self._fill(out, self.splits[split].images, rows)

    def pixels(self, split: str) -> npt.NDArray[np.float32]:
        """A split as float32 rows in [0, 1], (n, height * width * channels). Raises DataError for several sizes."""
        rows = np.arange(len(self.splits[split]))
        pixels = np.empty((len(rows), math.prod(self.require_pixel_shape())), np.float32)
        self.fill(pixels, split, rows)
        return pixels

    def _fill(self, out: npt.NDArray[np.float32], images: Images, rows: Rows) -> None:
        maximum = np.float32(self.maximum)

        def write(at: Rows) -> int:
            read = read_images(images, rows[at])
            out[at] = np.asarray(read).reshape(len(at), out.shape[1]).astype(np.float32) / maximum
            return len(at)

        if isinstance(images, np.ndarray):
            for start in range(0, len(rows), _PART_ROWS):
                write(np.arange(start, min(start + _PART_ROWS, len(rows))))
            return
        order = np.argsort(rows, kind="stable")  # tables and tars are read fast from front to back alone
        parts = parts_to_read(images, rows[order], _PART_IMAGES, _PART_BYTES)
        positions = np.split(order, np.cumsum([len(part) for part in parts])[:-1])
        workers = cores() if hasattr(images, "read") else 1  # any other sequence need not be safe in threads
        with ThreadPoolExecutor(workers, "pixels") as pool, bar(f"read {self.name}", len(rows), "image") as advance:
            for count in pool.map(write, positions):
                advance(count)


def take(split: Split, rows: Rows) -> Split:
    groups = None if split.groups is None else split.groups[rows]
    return Split(take_images(split.images, rows), split.labels[rows], groups)


def hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """The split without its held-out rows, and those; groups and exact duplicates stay whole."""
    kept, held = hold_out_rows(split.labels, fraction, seed, split.groups, split.image_digests())
    return take(split, kept), take(split, held)


def build(
    name: str,
    class_names: Sequence[str],
    splits: Mapping[str, Split],
    origin: str,
    maximum: int = 255,
    warnings: Sequence[str] = (),
    quarantined: pa.Table | None = None,
    reading: Reading | None = None,
) -> Dataset:
    """A dataset with its digest: SHA-256 over class names and, for each split in name order, images and labels."""
    digests = {split: content.image_digests() for split, content in splits.items()}
    total = hashlib.sha256(repr(tuple(class_names)).encode())
    for split in sorted(splits):
        total.update(f"{split}:{len(splits[split])}".encode())
        total.update(np.ascontiguousarray(splits[split].labels, dtype="<i8").tobytes())
        total.update(digests[split].tobytes())
    return Dataset(
        name,
        tuple(class_names),
        splits,
        total.hexdigest(),
        origin,
        maximum,
        tuple(warnings),
        quarantined,
        reading=reading or Reading(),
        _digests=digests,
    )
