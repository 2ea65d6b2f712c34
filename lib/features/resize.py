"""Images as the network wants them: resized to its input and normalised, on its device, from uint8.

Resizing is linear in the pixels, so enlarging images of one size is two products with small matrices, which are what
`torch.nn.functional.interpolate` does to the identity: the same result, several times faster on a CPU, and already
channels-last. Shrinking, and all that is cubic, goes through `interpolate` itself, with antialiasing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from lib.features.alexnet import DEVIATION, MEAN
from lib.features.config import FeatureSettings

Pixels = npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
"""Images of one size as one array (n, height, width[, 3]), or single ones (height, width[, 3])."""


_LARGEST_RATIO = 32
_MATRICES = 32
"""Sizes of images whose matrices are kept."""


class Resizer:
    """Turns uint8 images into the network's input (n, 3, size, size), normalised, channels-last, of `dtype`."""

    def __init__(self, settings: FeatureSettings, device: torch.device, dtype: torch.dtype) -> None:
        self._size, self._mode = settings.input_size, settings.interpolation
        self._device, self._dtype = device, dtype
        # float16 products are slow on a CPU; their results are rounded to it instead.
        self._product_dtype = torch.float32 if device.type == "cpu" and dtype == torch.float16 else dtype
        self._mean = 255 * torch.tensor(MEAN, device=device)
        self._deviation = 255 * torch.tensor(DEVIATION, device=device)
        self._matrices: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]] = {}

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
        # Cubic weights overshoot, so their result is cut to the pixels' range before normalising, which no product does.
        enlarges = max(height, width) <= self._size and self._mode != "bicubic"
        return self._multiplied(images) if enlarges else self._interpolated(images)

    def _interpolated(self, images: torch.Tensor) -> torch.Tensor:
        smooth = self._mode != "nearest"
        pixels = _coloured(images).permute(0, 3, 1, 2).float()
        if max(pixels.shape[2:]) > _LARGEST_RATIO * self._size:
            pixels = pixels.cpu()  # a GPU's antialiasing kernel holds a pixel's whole support in shared memory
        resized = interpolate(
            pixels,
            (self._size, self._size),
            mode=self._mode,
            align_corners=False if smooth else None,
            # When enlarging it changes nothing of bilinear; of bicubic it chooses torchvision's and Pillow's kernel.
            antialias=smooth,
        ).to(self._device)
        resized.clamp_(0, 255)
        resized.sub_(self._mean[:, None, None]).div_(self._deviation[:, None, None])
        return resized.to(self._dtype, memory_format=torch.channels_last)

    def _multiplied(self, images: torch.Tensor) -> torch.Tensor:
        """Weights sum to 1, so normalising the few pixels first gives what normalising the many would."""
        count, height, width = images.shape[:3]
        down, across = self._weights(height, width)
        pixels = (_coloured(images).float() - self._mean) / self._deviation
        rows = torch.matmul(down, pixels.reshape(count, height, 3 * width)).to(self._product_dtype)
        resized = torch.matmul(rows.view(-1, 3 * width), across).to(self._dtype)
        return resized.view(count, self._size, self._size, 3).permute(0, 3, 1, 2)

    def _weights(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrices (size, height) and (3 * width, 3 * size): the second keeps the three channels of a pixel together."""
        key = (height, width)
        found = self._matrices.get(key)
        if found is None:
            down, across = self._line(height), self._line(width)
            channels = torch.eye(3, device=self._device)
            spread = torch.einsum("ow,cd->wcod", across, channels).reshape(3 * width, 3 * self._size)
            found = down, spread.to(self._product_dtype)
            # Several threads come here: a new dictionary each time, never one that changes under another's hands.
            self._matrices = ({} if len(self._matrices) >= _MATRICES else self._matrices) | {key: found}
        return found

    def _line(self, length: int) -> torch.Tensor:
        """What resizing does along one axis, as a matrix (size, length)."""
        smooth = self._mode != "nearest"
        unit = torch.eye(length, device=self._device)[:, None, :, None]
        line = interpolate(unit, (self._size, 1), mode=self._mode, align_corners=False if smooth else None)
        return line[:, 0, :, 0].T.contiguous()


def _coloured(images: torch.Tensor) -> torch.Tensor:
    """(n, height, width, 3): grey pixels three times."""
    return images if images.ndim == 4 else images[..., None].expand(-1, -1, -1, 3)
