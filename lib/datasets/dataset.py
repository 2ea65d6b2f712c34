"""What every source yields: named splits of uint8 images with labels, and a digest of their content.

Digits, letters and photographs are all images here; `pixels` is the view an MLP trains on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Digests = npt.NDArray[np.bytes_]
"""16 bytes an image, dtype S16. An item loses trailing NULs, so digests are compared as arrays or by `tobytes`."""

_READ_AT_ONCE = 256


class Images(Protocol):
    """A sequence of uint8 images, (height, width) or (height, width, 3). An ndarray of them is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> npt.NDArray[np.uint8]: ...


class ReadsMany(Images, Protocol):
    """Images that are cheaper to read several at a time."""

    def read(self, rows: Sequence[int]) -> Sequence[npt.NDArray[np.uint8]]:
        """The images at these rows, in that order."""
        ...

    def decoded_bytes(self, rows: range) -> npt.NDArray[np.int64]:
        """Bytes of each of these images once decoded, without reading any."""
        ...


def read_images(images: Images, rows: range) -> npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]:
    """Several images in order: a view (n, height, width[, 3]) where they lie in one array, else a list."""
    if isinstance(images, np.ndarray):
        return images[rows.start : rows.stop]
    if hasattr(images, "read"):
        found: Sequence[npt.NDArray[np.uint8]] = images.read(rows)
        return found
    return [images[row] for row in rows]


def parts_to_read(images: Images, rows: range, most: int, most_bytes: int) -> list[range]:
    """`rows` in parts of at most `most` images that take at most `most_bytes` once decoded, or of one image."""
    if not hasattr(images, "decoded_bytes"):
        return [rows[start : start + most] for start in range(0, len(rows), most)]
    parts, first, held = [], 0, 0
    for position, size in enumerate(images.decoded_bytes(rows).tolist()):
        if position > first and (position - first == most or held + size > most_bytes):
            parts.append(rows[first:position])
            first, held = position, 0
        held += size
    return [*parts, rows[first:]]


@dataclass(frozen=True)
class Split:
    """One split of a dataset.

    Attributes
    ----------
    images : Images
        n images; a (n, height, width[, 3]) uint8 array, or files decoded on access.
    labels : ndarray of int64, shape (n,)
        Index into the dataset's class names.
    groups : ndarray of int64, shape (n,), or None
        Images of one group (overlapping patches of one block) must never be parted between splits.
    """

    images: Images
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def image_digests(self) -> Digests:
        """The content digest (decoded pixels and shape) of each image, in order: shape (n,), dtype S16."""
        known = getattr(self.images, "digests", None)
        if known is not None:  # taken when the images were verified
            digests: Digests = known
            return digests
        return packed([image_digest(self.images[index]) for index in range(len(self))])


@dataclass(frozen=True)
class Dataset:
    """A verified dataset in memory or on disk.

    Attributes
    ----------
    name : str
        The source's name, e.g. "mnist".
    class_names : tuple of str
        One per label value.
    splits : mapping of str to Split
        "train" always; "validation" and "test" where the source has them.
    digest : str
        SHA-256 over class names and every split's images and labels in order.
    origin : str
        Where the data came from, in words.
    maximum : int
        The largest pixel value the source uses (255, or 16 for scikit-learn's digits, 1 for binary letters).
    warnings : tuple of str
        What a reader of results should know, e.g. unreadable files that were set aside.
    quarantined : pyarrow.Table, or None
        The images that were set aside: name, split (null when not dealt yet), label (the class's name), bytes, reason.
    source : dict, or None
        The settings that it was acquired with.
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
    _digests: dict[str, Digests] = field(default_factory=dict, repr=False, compare=False)

    def digests(self, split: str) -> Digests:
        """Content digest of each image of a split, shape (n,), dtype S16; computed once, for it may read every image."""
        if split not in self._digests:
            self._digests[split] = self.splits[split].image_digests()
        return self._digests[split]

    def require(self, split: str, reason: str) -> Split:
        """The split of that name.

        Raises
        ------
        DataError
            When the dataset has none; `reason` says who needs it.
        """
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f"dataset {self.name!r} has no {split} split (it has: {known}), but {reason}")
        return self.splits[split]

    def pixels(self, split: str) -> npt.NDArray[np.float32]:
        """The images of one named split as an MLP's input; see `pixels_of`."""
        return self.pixels_of(self.splits[split])

    def pixels_of(self, split: Split) -> npt.NDArray[np.float32]:
        """A split's images as float32 rows in [0, 1], shape (n, height * width * channels).

        Raises
        ------
        DataError
            When the images are not all of one size.
        """
        images = split.images
        if isinstance(images, np.ndarray):
            return images.reshape(len(images), -1).astype(np.float32) / np.float32(self.maximum)
        shapes = _shapes(images)
        if len(shapes) > 1:
            sizes = ", ".join(sorted(str(shape[:2]) for shape in shapes)[:3])
            raise DataError(f"dataset {self.name!r} has images of several sizes ({sizes} …): pixels need one size")
        pixels = np.empty((len(images), int(np.prod(next(iter(shapes), ())))), np.float32)
        for start in range(0, len(images), _READ_AT_ONCE):
            rows = range(start, min(start + _READ_AT_ONCE, len(images)))
            for row, image in zip(rows, read_images(images, rows), strict=True):
                pixels[row] = image.reshape(-1)
        pixels /= np.float32(self.maximum)
        return pixels


def _shapes(images: Images) -> set[tuple[int, ...]]:
    """The different shapes of some images; decodes them only when they do not know."""
    known: npt.NDArray[Any] | None = getattr(images, "shapes", None)
    if known is not None:
        return {tuple(int(side) for side in shape) for shape in np.unique(known, axis=0)}
    return {images[index].shape for index in range(len(images))}


def packed(digests: Sequence[bytes]) -> Digests:
    """Digests of 16 bytes each as one array, shape (n,), dtype S16."""
    return np.frombuffer(b"".join(digests), "S16")


def image_digest(image: npt.NDArray[np.uint8]) -> bytes:
    """16-byte BLAKE2b digest of one decoded image: shape, then pixels."""
    content = np.ascontiguousarray(image)
    digest = hashlib.blake2b(repr(content.shape).encode(), digest_size=16)
    digest.update(content.data)
    return digest.digest()


def build(
    name: str,
    class_names: Sequence[str],
    splits: Mapping[str, Split],
    origin: str,
    maximum: int = 255,
    warnings: Sequence[str] = (),
    quarantined: pa.Table | None = None,
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
        _digests=digests,
    )
