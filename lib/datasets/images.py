"""Sequences of uint8 images, in one array or decoded on access; only what one does not know of its images is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lib.datasets.shrinking import Shrink

Image = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
RowRange = TypeVar("RowRange", range, Rows)

Digests = npt.NDArray[np.bytes_]
"""16 bytes an image, dtype S16. An item loses trailing NULs, so digests are compared as arrays or by `tobytes`."""


class Images(Protocol):
    """A sequence of uint8 images, (height, width) or (height, width, 3). An ndarray of them is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image: ...


class Subset:
    """Some images of another sequence, decoded on access; what that one knows of its images, this one knows too."""

    def __init__(self, images: Images, rows: Rows) -> None:
        self._images = images
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Image:
        return self._images[int(self._rows[index])]

    @property
    def digests(self) -> Digests | None:
        """Content digest of each image, shape (n,), dtype S16; None when they are not known."""
        known: Digests | None = getattr(self._images, "digests", None)
        return None if known is None else known[self._rows]

    @property
    def shapes(self) -> npt.NDArray[np.int32] | None:
        """Shape of each image, (n, 2) or (n, 3); None when they are not known."""
        known: npt.NDArray[np.int32] | None = getattr(self._images, "shapes", None)
        return None if known is None else known[self._rows]


def take_images(images: Images, rows: Rows) -> Images:
    if hasattr(images, "take") and not isinstance(images, np.ndarray):
        taken: Images = images.take(rows)
    else:
        taken = images[rows] if isinstance(images, np.ndarray) else Subset(images, rows)
    return taken


def image_name(images: Images, row: int) -> str:
    """What an image is called in its source; its position where nothing has a name."""
    return str(images.name(row)) if hasattr(images, "name") else str(row)


def read_images(images: Images, rows: range | Rows) -> Image | Sequence[Image]:
    """Images in order: an array (n, height, width[, 3]) where they lie in one (of a range a view), else a list."""
    if isinstance(images, np.ndarray):
        return images[rows.start : rows.stop] if isinstance(rows, range) else images[rows]
    if hasattr(images, "read"):
        read: Sequence[Image] = images.read(rows)
        return read
    return [images[int(row)] for row in rows]


def read_shrunk(images: Images, rows: range | Rows, shrink: Shrink) -> Image | Sequence[Image]:
    """What `shrink` makes of several images in order; an array where they lie in one."""
    if hasattr(images, "shrunk"):
        found: Sequence[Image] = images.shrunk(rows, shrink)
        return found
    read = read_images(images, rows)
    if isinstance(read, np.ndarray) and not shrink.applies(*read.shape[1:3]):
        return read
    return [shrink(image) for image in read]


def parts_to_read(images: Images, rows: RowRange, most: int, most_bytes: int) -> list[RowRange]:
    """`rows` in parts of at most `most` images that take at most `most_bytes` once decoded, or of one image."""
    if not hasattr(images, "decoded_bytes"):
        return [rows[start : start + most] for start in range(0, len(rows), most)]
    return list(parts_of_bytes(rows, images.decoded_bytes(rows), most, most_bytes))


def parts_of_bytes(rows: RowRange, sizes: npt.NDArray[np.integer], most: int, most_bytes: int) -> Iterator[RowRange]:
    """`rows` in parts of at most `most` rows that have at most `most_bytes` by their `sizes`, shape (n,), or of one row."""
    first, held = 0, 0
    for position, size in enumerate(sizes.tolist()):
        if position > first and (position - first == most or held + size > most_bytes):
            yield rows[first:position]
            first, held = position, 0
        held += size
    if len(rows):
        yield rows[first:]


def digests_of(images: Images) -> Digests:
    """The content digest (decoded pixels and shape) of each image, in order: shape (n,), dtype S16."""
    known: Digests | None = getattr(images, "digests", None)
    return known if known is not None else packed([image_digest(images[row]) for row in range(len(images))])


def shapes_of(images: Images) -> dict[tuple[int, ...], int]:
    if isinstance(images, np.ndarray):
        return {images.shape[1:]: len(images)} if len(images) else {}
    known: npt.NDArray[Any] | None = getattr(images, "shapes", None)
    if known is None:
        known = np.array([images[row].shape for row in range(len(images))], np.int32)
    shapes, counts = np.unique(known, axis=0, return_counts=True)
    return {tuple(shape): count for shape, count in zip(shapes.tolist(), counts.tolist(), strict=True)}


def packed(digests: Sequence[bytes]) -> Digests:
    return np.frombuffer(b"".join(digests), "S16")


def image_digest(image: Image) -> bytes:
    """16-byte BLAKE2b digest of one decoded image: shape, then pixels."""
    content = np.ascontiguousarray(image)
    digest = hashlib.blake2b(repr(content.shape).encode(), digest_size=16)
    digest.update(content.data)
    return digest.digest()
