"""Images as the network wants them: a normalised square on its device, from uint8.

Resizing is linear, one axis after the other, so enlarging images of one size is two products with small matrices, which are what
`interpolate` does to the identity: the same result, several times faster on a CPU. Larger images were shrunk when read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate, pad

from lib.features.config import FeatureSettings

Pixels = npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
"""Images of one size as one array (n, height, width[, 3]), or single ones (height, width[, 3])."""


_MATRICES = 32
"""Sizes of images whose matrices are kept."""

_REACH = 3
"""Pixels on each side that an enlarged one may depend on, and one to spare: cubic kernels reach two."""


class Resizer:
    """Turns uint8 images that `FeatureSettings.shrink` left into the network's input (n, 3, size, size), channels-last."""

    def __init__(self, settings: FeatureSettings, device: torch.device, dtype: torch.dtype) -> None:
        self._size, self._mode = settings.input_size, settings.interpolation
        self._shrink = settings.shrink
        self._device, self._dtype = device, dtype
        # float16 products are slow on a CPU, and cubic ones are whole pixels: their results are rounded to it instead.
        plain = self._mode == "bicubic" or (device.type == "cpu" and dtype == torch.float16)
        self._product_dtype = torch.float32 if plain else dtype
        own = settings.entry.preprocessing
        self._mean = 255 * torch.tensor(own.mean, device=device)
        self._deviation = 255 * torch.tensor(own.deviation, device=device)
        self._matrices: dict[tuple[int, int], _Matrices] = {}

    def __call__(self, images: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
        """The network's input of uint8 images on the device: one tensor (n, height, width[, 3]), or single ones."""
        if isinstance(images, torch.Tensor):
            return self._of_one_size(images)
        # Images of one size go together, so that how one is resized depends on nothing but itself.
        places: dict[torch.Size, list[int]] = {}
        for position, image in enumerate(images):
            places.setdefault(image.shape, []).append(position)
        if len(places) == 1:
            return self._of_one_size(torch.stack(list(images)))
        shape = (len(images), 3, self._size, self._size)
        resized = torch.empty(shape, dtype=self._dtype, device=self._device, memory_format=torch.channels_last)
        for positions in places.values():
            resized[positions] = self._of_one_size(torch.stack([images[position] for position in positions]))
        return resized

    def _of_one_size(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[1:3]
        target = self._shrink.target(height, width)
        if self._shrink.applies(height, width):
            raise ValueError(
                f"an image of {width}x{height} pixels is larger than {target[1]}x{target[0]}; shrink it first"
            )
        if (height, width) == target:
            return self._normalised(self._square(_coloured(images).permute(0, 3, 1, 2).float()))
        if self._mode != "bicubic":
            return self._multiplied(images, target)
        return self._cubic(images, target) if self._shrink.crop is not None else self._interpolated(images, target)

    def _square(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the network sees of resized images (n, 3, height, width)."""
        top, left = (self._start(length) for length in pixels.shape[2:])
        square = pixels[:, :, top : top + self._size, left : left + self._size]
        return square.contiguous(memory_format=torch.channels_last)

    def _start(self, length: int) -> int:
        """Where the square begins along an axis; as torchvision's `CenterCrop` rounds it."""
        return round((length - self._size) / 2)

    def _interpolated(self, images: torch.Tensor, target: tuple[int, int]) -> torch.Tensor:
        pixels = _coloured(images).permute(0, 3, 1, 2).float()
        # Of bicubic enlargement antialiasing chooses torchvision's and Pillow's kernel.
        resized = interpolate(pixels, target, mode=self._mode, align_corners=False, antialias=True)
        return self._normalised(self._square(resized))

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Cubic weights overshoot, so pixels (n, 3, size, size) are cut to their range first."""
        pixels.clamp_(0, 255)
        pixels.sub_(self._mean[:, None, None]).div_(self._deviation[:, None, None])
        return pixels.to(self._dtype, memory_format=torch.channels_last)

    def _multiplied(self, images: torch.Tensor, target: tuple[int, int]) -> torch.Tensor:
        """Weights sum to 1, so normalising the few pixels first gives what normalising the many would."""
        matrices = self._weights(images, target)
        pixels = (_coloured(images[:, matrices.rows, matrices.columns]).float() - self._mean) / self._deviation
        return matrices.applied_to(pixels).to(self._dtype)

    def _cubic(self, images: torch.Tensor, target: tuple[int, int]) -> torch.Tensor:
        matrices = self._weights(images, target)
        pixels = _coloured(images[:, matrices.rows, matrices.columns]).float()
        return self._normalised(matrices.applied_to(pixels))

    def _weights(self, images: torch.Tensor, target: tuple[int, int]) -> _Matrices:
        height, width = images.shape[1:3]
        key = (height, width)
        found = self._matrices.get(key)
        if found is None:
            (rows, down), (columns, across) = self._line(height, target[0]), self._line(width, target[1])
            channels = torch.eye(3, device=self._device)
            spread = torch.einsum("ow,cd->wcod", across, channels).reshape(3 * across.shape[1], 3 * self._size)
            found = _Matrices(rows, columns, down, spread.to(self._product_dtype))
            # Several threads come here: a new dictionary each time, never one that changes under another's hands.
            self._matrices = ({} if len(self._matrices) >= _MATRICES else self._matrices) | {key: found}
        return found

    def _line(self, length: int, target: int) -> tuple[slice, torch.Tensor]:
        """What resizing and cropping do along one axis: the pixels that are seen, and a matrix (size, so many)."""
        start, ratio = self._start(target), length / target
        first = max(0, math.floor(start * ratio) - _REACH)
        last = min(length, math.ceil((start + self._size) * ratio) + _REACH)
        # One image, whose rows are those of the identity: of images that are one pixel wide torch's cubic ones are wrong.
        unit = pad(torch.eye(last - first, device=self._device), (first, length - last))[None, None]
        smooth, cubic = self._mode != "nearest", self._mode == "bicubic"
        line = interpolate(
            unit, (last - first, target), mode=self._mode, align_corners=False if smooth else None, antialias=cubic
        )  # fmt: skip
        return slice(first, last), line[0, 0, :, start : start + self._size].T.contiguous()


@dataclass(frozen=True)
class _Matrices:
    """The pixels seen, and the products that enlarge them: `down` (size, rows), `across` (3 * columns, 3 * size)."""

    rows: slice
    columns: slice
    down: torch.Tensor
    across: torch.Tensor

    def applied_to(self, pixels: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, size, size), channels-last, of float32 pixels (n, rows, columns, 3)."""
        count, height, width = pixels.shape[:3]
        size = len(self.down)
        rows = torch.matmul(self.down, pixels.reshape(count, height, 3 * width)).to(self.across.dtype)
        resized = torch.matmul(rows.view(-1, 3 * width), self.across)
        return resized.view(count, size, size, 3).permute(0, 3, 1, 2)


def _coloured(images: torch.Tensor) -> torch.Tensor:
    """(n, height, width, 3): grey pixels three times."""
    return images if images.ndim == 4 else images[..., None].expand(-1, -1, -1, 3)
