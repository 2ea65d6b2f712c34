"""Images as small rows of equal width, by which they can be compared whatever their sizes are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lib.datasets.dataset import Dataset
from lib.datasets.images import Rows, read_shrunk
from lib.datasets.shrinking import Shrink

THUMBNAIL = Shrink(32)
_AT_ONCE = 256


def thumbnails(dataset: Dataset, split: str, rows: Rows) -> npt.NDArray[np.float32]:
    """Images of at most 32x32 pixels as rows, in [0, 1]; where a dataset's images differ in shape, all are resized to it."""
    alike, images = len(dataset.shapes) == 1, dataset.splits[split].images
    blocks = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    return np.concatenate(
        [np.stack([_row(image, alike) for image in read_shrunk(images, block, THUMBNAIL)]) for block in blocks]
    )


def _row(image: npt.NDArray[np.uint8], alike: bool) -> npt.NDArray[np.float32]:
    from PIL import Image

    if not alike:
        picture = Image.fromarray(image).convert("RGB")
        image = np.asarray(picture.resize((THUMBNAIL.side, THUMBNAIL.side), Image.Resampling.BILINEAR))
    return image.ravel().astype(np.float32) / np.float32(255)
