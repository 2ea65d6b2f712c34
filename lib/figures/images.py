"""Images in rows, each with words above it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from lib.evaluation.metrics import WrongRow
from lib.figures.style import STYLE, panels, plain_lines
from lib.text import visible

_LETTERS_AN_INCH = 15
"""Of the words above an image."""

_LARGEST_SIDE = 512
"""Pixels that are drawn of an image, more than its place on the page has."""


def sample_grid(
    images: Iterable[npt.NDArray[np.uint8]],
    labels: Sequence[str],
    title: str,
    columns: int = 8,
    size: tuple[float, float] = (1.1, 1.25),
) -> Figure:
    """Images in rows of `columns`, each of `size` inches with its class name, or other words, above it.

    Large images are held one at a time when `images` gives them so.
    """
    with rc_context(STYLE):
        figure, axes = panels(len(labels), columns, *size)
        for axis, image, label in zip(axes, images, labels, strict=True):
            axis.imshow(_small(image), cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
            axis.set_title(plain_lines(label, int(_LETTERS_AN_INCH * size[0])), fontsize=7, fontweight="normal")
            axis.set_axis_off()
        figure.suptitle(plain_lines(title))
    return figure


def _small(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if max(image.shape[:2]) <= _LARGEST_SIDE:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return np.asarray(picture)


def side_by_side(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two images as one in colour: the other in the size of the one, a white gap between them."""
    left = np.asarray(Image.fromarray(_small(one)).convert("RGB"))
    height, width = left.shape[:2]
    right = np.asarray(Image.fromarray(other).convert("RGB").resize((width, height)))
    return np.concatenate([left, np.full((height, max(1, width // 12), 3), 255, np.uint8), right], axis=1)


def wrong_images(
    images: Iterable[npt.NDArray[np.uint8]], wrong: Sequence[WrongRow], class_names: Sequence[str], title: str
) -> Figure:
    """The images of `wrong` in rows, each with its class, the predicted one, and the probability that was given to it."""
    words = [
        f"true {visible(class_names[each.true])}\npredicted {visible(class_names[each.predicted])}\nwith {each.probability:.1%}"
        for each in wrong
    ]
    return sample_grid(images, words, title, columns=6, size=(1.45, 1.8))
