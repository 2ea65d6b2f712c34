"""What is taken for an image, in training as in `predict`: what its first bytes say, and what its ending says.

A file is an image if it decodes, whatever it is called. One that does not is a damaged image if it begins as an image or is
called one; anything else is no image, and is left out.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from lib.datasets.decoding import IMAGE_ENDINGS, Decoder, UnreadableError

HEAD = 64
"""First bytes of a file that `format_of` looks at."""

_MAGIC: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(beginning, re.DOTALL))
    for name, beginning in (
        ("JPEG", rb"\xff\xd8\xff"),
        ("PNG", rb"\x89PNG\r\n\x1a\n"),
        ("GIF", rb"GIF8[79]a"),
        ("WebP", rb"RIFF.{4}WEBP"),
        ("TIFF", rb"II[*+]\0|MM\0[*+]"),
        ("BMP", rb"BM.{4}\0\0\0\0"),
        ("PNM", rb"P[1-7]\s+[#\dW]"),
        ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        ("AVIF", rb".{4}ftypavi[fs]"),
        ("HEIC", rb".{4}ftyp(?:hei|hev|mif1|msf1)"),
        ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
        ("PSD", rb"8BPS\0"),
        ("ICO", rb"\0\0\x01\0[^\0]\0"),
    )
)

FORMATS = ("", *(name for name, _ in _MAGIC))
"""Names of the formats by their codes; the first is of none that is known."""

_ENDINGS = IMAGE_ENDINGS | {
    *[
        "jpe",
        "jfif",
        "jpx",
        "j2k",
        "jxl",
        "heic",
        "heif",
        "apng",
        "dib",
        "pbm",
        "pnm",
        "ico",
        "tga",
        "psd",
        "svg",
        "exr",
    ],
    *["hdr", "dcm", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf"],
}
"""Endings of images, those included that cannot be decoded: who brings such a file means an image."""

_NAMED = rf"(?i)\.(?:{'|'.join(sorted(_ENDINGS))})"
_named = re.compile(f"{_NAMED}\\Z".encode())

_SYSTEM = {
    *b"thumbs.db ehthumbs.db desktop.ini __macosx @eadir $recycle.bin lost+found".split(),
    b"system volume information",
}
"""Files and folders that operating systems and file servers put among others."""


def format_of(content: bytes) -> int:
    """The code of the format that a file begins as, see `FORMATS`; 0 where it is none of them.

    >>> FORMATS[format_of(b"GIF89a...")]
    'GIF'
    """
    return next((code for code, (_, magic) in enumerate(_MAGIC, 1) if magic.match(content)), 0)


def named_as_image(name: bytes) -> bool:
    return _named.search(name) is not None


def named_as_images(names: Any) -> npt.NDArray[np.bool_]:
    """The same of an Arrow array of n names: shape (n,)."""
    found: npt.NDArray[np.bool_] = pc.match_substring_regex(names, f"{_NAMED}\\z").to_numpy(zero_copy_only=False)
    return found


def is_hidden(name: bytes) -> bool:
    """Whether a file or folder is hidden, or an operating system's own: never looked at."""
    return (name.startswith(b".") and name not in (b".", b"..")) or name.lower() in _SYSTEM


def is_image(name: bytes, content: bytes, decoder: Decoder) -> bool:
    """Whether a file is taken for an image, be it a damaged one."""
    if named_as_image(name) or format_of(content):
        return True
    try:
        decoder(content)
    except UnreadableError:
        return False
    return True
