"""PNG and JPEG files without texts, colour profiles, previews, dates, over which readers may trip.

What decides pixels is kept byte for byte, damage included, so that a damaged image stays a damaged image.
"""

from __future__ import annotations

from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_SIDE_DATA = frozenset(
    b"tEXt zTXt iTXt eXIf iCCP gAMA cHRM sRGB cICP mDCV cLLI sBIT bKGD hIST pHYs sPLT tIME acTL fcTL fdAT".split()
)
"""An unknown chunk is none: it may be one of pixels with a damaged name."""

_PNG_TURNED = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_ANIMATED_BYTES = 8

_JPEG = b"\xff\xd8\xff"
_JPEG_TURNED = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
_FILL, _SCAN, _COMMENT = 0xFF, 0xDA, 0xFE
_APPLICATION = range(0xE0, 0xF0)
_ALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without content."""

_OF_COLOURS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
"""Segments by which the colours of a JPEG are told, from as many bytes on."""


def lighter(data: bytes) -> Iterator[bytes]:
    """The file with less side data, if it has some: first none but what turns it (Exif, XMP), then none at all."""
    for turned in (True, False):
        content = _without(data, turned)
        if len(content) < len(data):
            yield content
            data = content


def bare(data: bytes) -> bytes:
    """The image file without any side data: equal for files whose pixels are stored alike, but for how they are turned."""
    return _without(data, turned=False)


def _without(data: bytes, turned: bool) -> bytes:
    if data.startswith(_PNG):
        return _png(data, turned)
    return _jpeg(data, turned) if data.startswith(_JPEG) else data


def _png(data: bytes, turned: bool) -> bytes:
    parts, at = [_PNG], len(_PNG)
    while (name := data[at + 4 : at + 8]).isalpha():
        start, stop = at + 8, at + 12 + int.from_bytes(data[at : at + 4])
        if name not in _PNG_SIDE_DATA or (turned and _turns_or_animates(name, data[start : stop - 4])):
            parts.append(data[at:stop])
        at = stop
    return b"".join((*parts, data[at:]))


def _turns_or_animates(name: bytes, content: bytes) -> bool:
    return (
        name == b"eXIf"
        or (name == b"acTL" and len(content) == _ANIMATED_BYTES)
        or (name in (b"zTXt", b"iTXt") and content.startswith(_PNG_TURNED))
    )


def _jpeg(data: bytes, turned: bool) -> bytes:
    parts, at = [data[:2]], 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data) and (marker := data[at + 1]) != _SCAN:
        stop = at + (1 if marker == _FILL else 2)
        if marker != _FILL and marker not in _ALONE:
            stop += int.from_bytes(data[stop : stop + 2])
        if not _is_aside(marker, data[at + 4 : stop], turned):
            parts.append(data[at:stop])
        at = stop
    return b"".join((*parts, data[at:]))


def _is_aside(marker: int, content: bytes, turned: bool) -> bool:
    """Whether a segment decides no pixel; one of colours that is too short is ignored by every reader."""
    if marker in _OF_COLOURS:
        beginning, least = _OF_COLOURS[marker]
        return not (content.startswith(beginning) and len(content) >= least)
    if marker in _APPLICATION:
        return not (turned and content.startswith(_JPEG_TURNED))
    return marker == _COMMENT
