"""What a file is that is no image Pillow can read, by its first bytes: its format's name and what to do."""

from __future__ import annotations

from lib.errors import DataError

_CONVERT = "which Pillow does not read: convert it to JPEG or PNG"
_DAMAGED = "file that is damaged"

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER = "a Git LFS pointer in place of the file: run `git lfs pull`"

_BY_MAGIC: tuple[tuple[int, tuple[bytes, ...], str], ...] = (
    (0, (_LFS_POINTER,), _POINTER),
    (0, (b"\xff\xd8",), f"a JPEG {_DAMAGED}"),
    (0, (b"\x89PNG",), f"a PNG {_DAMAGED}"),
    (0, (b"GIF8",), f"a GIF {_DAMAGED}"),
    (8, (b"WEBP",), f"a WebP {_DAMAGED}"),
    (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "a TIFF file that is damaged, or a camera's raw file"),
    (0, (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), f"a JPEG 2000 {_DAMAGED}"),
    (4, (b"ftypavif", b"ftypavis"), f"an AVIF {_DAMAGED}, or {_CONVERT}"),
    (4, tuple(b"ftyp" + kind for kind in (b"hei", b"hev", b"mif1", b"msf1")), f"a HEIC image, {_CONVERT}"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), f"a JPEG XL image, {_CONVERT}"),
    (4, (b"ftyp",), "a film or sound, no image"),
    (0, (b"\x1aE\xdf\xa3",), "a film, no image"),
    (8, (b"AVI ", b"WAVE"), "a film or sound, no image"),
    (0, (b"%PDF",), f"a PDF, {_CONVERT}"),
    (128, (b"DICM",), f"a DICOM image, {_CONVERT}"),
    (0, (b"\x93NUMPY",), f"a NumPy array, {_CONVERT}"),
    (0, (b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"7z\xbc\xaf", b"Rar!"), "an archive, no image: unpack it"),
)
_WORDS = (
    (b"<svg", f"an SVG drawing, {_CONVERT}"),
    (b"<html", "a web page in place of the file: fetch it again"),
    (b"<!doctype html", "a web page in place of the file: fetch it again"),
    (b"<error", "a server's error message in place of the file: fetch it again"),
)
_HEAD = 1024


def what_it_is(data: bytes) -> str:
    """The name of the format, and what to do; of what is not known only that.

    >>> what_it_is(b"%PDF-1.7 ...")
    'a PDF, which Pillow does not read: convert it to JPEG or PNG'
    """
    for at, beginnings, name in _BY_MAGIC:
        if data.startswith(beginnings, at):
            return name
    head = data[:_HEAD].lower()
    return next((name for word, name in _WORDS if word in head), "not an image that Pillow knows")


def is_page(head: bytes) -> bool:
    return head.lstrip().lower().startswith((b"<html", b"<!doctype html"))


def require_no_pointer(file: object, head: bytes) -> None:
    """Refuse what Git LFS leaves in place of a file that was not fetched.

    `file`: its name, to be shown.
    `head`: what the file begins with.

    Raises DataError when it is one.
    """
    if head.startswith(_LFS_POINTER):
        raise DataError(f"{file} is {_POINTER}")
