"""Large images shrunk to the square that somebody needs of them, rounded to whole pixel values as Pillow does.

Shrinking a shrunk image again changes nothing, so that one can stand for the image wherever it would be shrunk.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Interpolation = Literal["bilinear", "bicubic", "nearest"]


@dataclass(frozen=True)
class Shrink:
    """How an image that is larger than a square in any direction becomes one of (side, side) pixels.

    `side`: of the square, in pixels.
    `crop`: None: the image is squashed into the square. Else its shorter side is resized to `side` and the middle of
    the longer one kept, so placed that the middle `crop` pixels are those of torchvision's `Resize` and `CenterCrop`.
    """

    side: int
    crop: int | None = None
    interpolation: Interpolation = "bilinear"

    @property
    def bytes(self) -> int:
        return 3 * self.side * self.side

    @property
    def name(self) -> str:
        """Fit for the name of a file; of another way of shrinking it is another."""
        return f"{self.side}-{self.interpolation}" + ("" if self.crop is None else f"-crop-{self.crop}")

    def target(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the resized image, before cropping; as torchvision's `Resize` rounds them."""
        if self.crop is None:
            return self.side, self.side
        if height <= width:
            return self.side, int(self.side * width / height)
        return int(self.side * height / width), self.side

    def applies(self, height: int, width: int) -> bool:
        """Whether an image of this size is shrunk in some direction; others stay as they are."""
        target = self.target(height, width)
        return height > target[0] or width > target[1]

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The shrunk image, uint8 (side, side[, 3]), of (height, width[, 3]); the same array where it does not apply.

        Within 1 of 255 of Pillow's `resize` (2 for bicubic), on every processor alike: torch's kernel for uint8 computes in
        whole numbers.
        """
        height, width = pixels.shape[:2]
        if not self.applies(height, width):
            return pixels
        import torch
        from torch.nn.functional import interpolate

        # Decoded images are not writable, of which torch warns once; nothing is written to them here.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        if pixels.strides[1:] == (4, 1):  # a view of four bytes a pixel: the kernel is fast for whole ones
            pixels = np.lib.stride_tricks.as_strided(pixels, (height, width, 4))
        planes = torch.from_numpy(pixels)
        planes = planes[None, None] if pixels.ndim == 2 else planes.permute(2, 0, 1)[None]
        target = self.target(height, width)
        smooth = self.interpolation != "nearest"
        resized = interpolate(
            planes, target, mode=self.interpolation, align_corners=False if smooth else None, antialias=smooth
        )
        top, left = (self._start(length) for length in target)
        square = resized[0, :3, top : top + self.side, left : left + self.side]
        found: npt.NDArray[np.uint8] = square.permute(1, 2, 0).contiguous().numpy()
        return found[:, :, 0] if pixels.ndim == 2 else found

    def _start(self, length: int) -> int:
        """Where the square begins along an axis, so that its middle begins where that of the whole does."""
        if self.crop is None:
            return 0
        return round((length - self.crop) / 2) - round((self.side - self.crop) / 2)
