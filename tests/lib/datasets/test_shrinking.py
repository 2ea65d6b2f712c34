"""Large images shrunk: as Pillow and torchvision do it, and once is as good as twice."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, resize

from lib.datasets.shrinking import Shrink

SHAPES = [(300, 400, 3), (400, 300, 3), (65, 64, 3), (20, 500, 3), (1, 90, 3), (1000, 70), (74, 75, 3)]


def image_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_squashing_is_within_rounding_of_pillow_s(shape, mode):
    image = image_of(shape)
    ours = Shrink(64, None, mode)(image)
    assert ours.shape == (64, 64, *shape[2:])
    assert ours.dtype == np.uint8
    if mode == "nearest":  # of two pixels as near, Pillow takes another one than torch
        assert np.isin(ours, image).all()
        return
    pillow = np.asarray(Image.fromarray(image).resize((64, 64), getattr(Image.Resampling, mode.upper())))
    assert np.abs(ours.astype(int) - pillow.astype(int)).max() <= (2 if mode == "bicubic" else 1)


@pytest.mark.parametrize("shape", [(300, 401, 3), (400, 300, 3), (74, 75, 3), (100, 2000, 3), (256, 341)])
@pytest.mark.parametrize(("side", "crop"), [(73, 64), (73, 63), (64, 64)])
def test_the_middle_of_a_crop_is_what_torchvision_cuts_out(shape, side, crop):
    image = image_of(shape)
    ours = Image.fromarray(Shrink(side, crop)(image))
    transformed = center_crop(resize(Image.fromarray(image), [side], InterpolationMode.BILINEAR), [crop, crop])
    start = round((side - crop) / 2)
    middle = np.asarray(ours)[start : start + crop, start : start + crop]
    assert np.abs(middle.astype(int) - np.asarray(transformed).astype(int)).max() <= 1


@pytest.mark.parametrize(
    "shrink", [Shrink(64), Shrink(73, 64), Shrink(64, None, "bicubic"), Shrink(32, None, "nearest")]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shrunk_image_stays_as_it_is(shape, shrink):
    once = shrink(image_of(shape))
    assert shrink(once) is once


def test_an_image_that_is_not_larger_stays_as_it_is():
    image = image_of((64, 20, 3))
    assert Shrink(64)(image) is image
    assert Shrink(73, 64)(image) is image
