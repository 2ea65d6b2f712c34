"""One encoded image to uint8 RGB, or the reason why not: whatever the bytes are, a caller gets one of the two.

EXIF orientation is applied, alpha is laid on white, 16-bit grey is cut to 8 bits, the first of several frames is taken, and side
data that is broken or too large is left out. A large JPEG is decoded at a part of its size: libjpeg then skips the finest
frequencies, which the shrinking to a network's input would average away.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import warnings
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lib.datasets.formats import what_it_is
from lib.datasets.images import image_digest
from lib.datasets.side_data import bare, lighter
from lib.errors import one_line

if TYPE_CHECKING:
    from PIL import Image

LARGEST_PIXELS = 89_478_485
"""Pillow's own limit: a quarter of a gibibyte at three bytes a pixel."""

SCALED_SIDE = 512
"""What a scaled JPEG's shorter side keeps at least, in pixels: twice the input of 224, and twice the 256 before a crop."""

_SCALES = (8, 4, 2)
_SCALED_FORMATS = {"JPEG", "MPO"}

CHANNELS = 3
"""Of every decoded image: red, green, blue."""

IMAGE_ENDINGS = {"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm", "jp2", "avif"}
"""Of the names of image files, where others may lie beside them."""

CANNOT_READ = "cannot be read: "
"""Begins a reason that lies with the machine and not with the image: no ground to set an image aside."""

NO_FILE = "no regular file: a broken link, a pipe or a device"
NO_PERMISSION = "no permission to read it"
ASKED_AGAIN = (CANNOT_READ, NO_PERMISSION)
"""What such reasons begin with may be fixed without a change of the image, so they are not kept."""

_FORMAT = 3
"""Raised when the same bytes decode to other pixels than before, or to some where they were refused."""

_LARGE = 1 << 24
_one_large = threading.Lock()
"""Images of more than `_LARGE` pixels are decoded one at a time: each takes up to a gibibyte on the way."""

_COPIED = 1 << 22
"""Images of more pixels are not copied out of Pillow's memory, nor digested pixel by pixel: both take as long as decoding."""

_STEP = 64

_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What sets an image of each orientation upright, as Pillow calls it; of any other value nothing is done."""

_RUNS_A_PROGRAM = {"EPS"}
"""Formats that Pillow hands to another program (Ghostscript); never done with files of unknown origin."""


class UnreadableError(Exception):
    """Why some bytes are not a usable image."""


@dataclass(frozen=True)
class Decoded:
    """An image's pixels, uint8 (height, width, 3), and whether the file holds more frames than this first one."""

    pixels: npt.NDArray[np.uint8]
    several_frames: bool


class Decoder:
    """Decodes encoded images of up to `largest_pixels` pixels; safe to call from several threads at once.

    `scaled_side`: JPEGs are decoded at the smallest scale whose shorter side has at least so many pixels; None: at
    their full size.
    """

    def __init__(self, largest_pixels: int = LARGEST_PIXELS, scaled_side: int | None = None) -> None:
        from PIL import Image

        self.largest_pixels = largest_pixels
        self.scaled_side = scaled_side
        # Pillow's own check stands behind ours, for images within images; it must not be the narrower one.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, largest_pixels)
        # What Pillow warns of is decided here, image by image; a filter set and reset around each is not safe in threads.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        logging.getLogger("PIL").setLevel(logging.CRITICAL)
        Image.core.set_use_block_allocator(1)  # type: ignore[attr-defined]  # else there is no view of large images, in pieces
        Image.init()
        known = [name for name in Image.ID if name not in _RUNS_A_PROGRAM]
        self._formats = sorted(known, key=lambda name: name not in ("JPEG", "PNG"))

    @property
    def largest_bytes(self) -> int:
        """No file of more bytes is read: four channels of 16 bits, and room for colour profiles and the like."""
        return 8 * self.largest_pixels + (1 << 26)

    @property
    def settings(self) -> str:
        """What a user may choose of it."""
        return f"{self.largest_pixels} {self.scaled_side}"

    @property
    def identity(self) -> str:
        """What decides the pixels of given bytes: what was verified by another decoder is verified again."""
        from PIL import __version__

        return f"{_FORMAT} Pillow {__version__} {self.settings}"

    def __call__(self, data: bytes) -> npt.NDArray[np.uint8]:
        """The image's pixels, uint8 (height, width, 3). Raises UnreadableError."""
        return self._decode(data, look_for_frames=False).pixels

    def digest(self, data: bytes, pixels: npt.NDArray[np.uint8]) -> bytes:
        """16 bytes: of the pixels; of over four million, of some of them, the file without side data, and the decoder."""
        if pixels.shape[0] * pixels.shape[1] <= _COPIED:
            return image_digest(pixels)
        digest = hashlib.blake2b(self.identity.encode(), digest_size=16)
        digest.update(image_digest(pixels[::_STEP, ::_STEP]))  # by which one that is turned another way has another
        digest.update(bare(data))
        return digest.digest()

    def inspect(self, data: bytes) -> Decoded:
        """The image's pixels and whether it has more frames. Raises UnreadableError.

        Raises UnreadableError when the bytes are empty, no image, damaged, have too many pixels, or a pixel format
        without an agreed meaning.
        """
        return self._decode(data, look_for_frames=True)

    def _decode(self, data: bytes, look_for_frames: bool) -> Decoded:
        from PIL import Image, UnidentifiedImageError

        if not data:
            raise UnreadableError("the file is empty")
        reason = ""
        for content in chain([data], lighter(data)):
            try:
                return self._decoded(content, look_for_frames)
            except UnreadableError:
                raise
            except (Image.DecompressionBombError, Image.DecompressionBombWarning):
                raise UnreadableError(
                    f"more pixels than largest_pixels {self.largest_pixels:,}: it may be a decompression bomb"
                ) from None
            except MemoryError:
                raise UnreadableError(f"{CANNOT_READ}not enough memory to decode it") from None
            except UnidentifiedImageError:
                reason = what_it_is(data)
            except Exception as error:  # hostile bytes make Pillow's parsers raise nearly anything
                reason = one_line(error)
        raise UnreadableError(reason)

    def _decoded(self, data: bytes, look_for_frames: bool) -> Decoded:
        from PIL import Image

        with Image.open(io.BytesIO(data), formats=self._formats) as opened:
            pixels = opened.width * opened.height
            if pixels > self.largest_pixels:
                raise UnreadableError(
                    f"{opened.width}x{opened.height} pixels, more than largest_pixels {self.largest_pixels:,}: "
                    "it may be a decompression bomb"
                )
            self._scale(opened)
            if opened.width * opened.height <= _LARGE:
                return Decoded(_rgb(opened), look_for_frames and _has_more_frames(opened))
            with _one_large:
                return Decoded(_rgb(opened), look_for_frames and _has_more_frames(opened))

    def _scale(self, opened: Image.Image) -> None:
        """Have a large JPEG decoded at a part of its size."""
        if self.scaled_side is None or opened.format not in _SCALED_FORMATS:
            return
        shorter = min(opened.size)
        for scale in _SCALES:
            if shorter // scale >= self.scaled_side:
                opened.draft(opened.mode, (opened.width // scale, opened.height // scale))
                return


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """An image (height, width[, 3]) as a PNG file, from which the same pixels are decoded."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _rgb(opened: Image.Image) -> npt.NDArray[np.uint8]:
    from PIL import Image

    # Only Pillow's PNM reader scales "I" to 16 bits; elsewhere it is 32 bits of unknown range, as "F" is.
    if opened.mode == "F" or (opened.mode == "I" and opened.format not in ("PPM", "PNG")):
        raise UnreadableError(f"32-bit pixels (mode {opened.mode}) have no agreed white; convert them to 8 or 16 bits")
    opened.load()
    turn = _turn(opened)
    picture = opened if turn is None else opened.transpose(Image.Transpose[turn])
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return _grey16(picture)
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return _array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _array(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB image; of a large one a view of Pillow's own memory, which keeps four bytes a pixel."""
    if picture.width * picture.height <= _COPIED:
        return np.asarray(picture)
    import pyarrow as pa

    content = np.frombuffer(pa.array(picture).values.buffers()[1], np.uint8)
    return content.reshape(picture.height, picture.width, 4)[:, :, :CHANNELS]


def _turn(opened: Image.Image) -> str | None:
    """What sets the image upright, if anything; EXIF that cannot be read says nothing."""
    try:
        found: Any = opened.getexif().get(_ORIENTATION)
        return _TURNS.get(found)
    except Exception:  # Pillow's parser of EXIF and XMP raises nearly anything
        return None


def _grey16(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """The high bytes of a 16-bit greyscale image, three times; a grey marked as transparent becomes white."""
    values = np.asarray(picture).astype(np.uint32)
    grey = np.minimum(values >> 8, 255).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return np.repeat(grey[:, :, None], CHANNELS, axis=2)


def _has_more_frames(opened: Image.Image) -> bool:
    """Whether an animation or a further page follows; a camera's preview (MPO) is neither."""
    try:
        return opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
    except Exception:  # a damaged second frame
        return True
