"""Side data never decides: an image whose texts, profiles, EXIF or previews are broken or huge has the pixels it has."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lib.datasets.decoding import Decoder, UnreadableError
from lib.datasets.side_data import lighter

PICTURE = Image.fromarray(np.add.outer(np.arange(24) * 5, np.arange(32) * 4)[:, :, None].repeat(3, 2).astype(np.uint8))


def encoded(form: str, **options) -> bytes:
    content = io.BytesIO()
    PICTURE.save(content, form, **options)
    return content.getvalue()


PNG, JPEG = encoded("PNG"), encoded("JPEG", quality=95)


def exif(orientation: int, kind: int = 3, count: int = 1) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, kind, count, orientation, 0, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(*chunks: bytes, end: bool = False) -> bytes:
    """The picture with more chunks after its header, or after its pixels."""
    at = PNG.index(b"IEND") - 4 if end else 33
    return PNG[:at] + b"".join(chunks) + PNG[at:]


def jpeg(*segments: tuple[int, bytes]) -> bytes:
    """The picture with more segments before its own."""
    written = [struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments]
    return JPEG[:2] + b"".join(written) + JPEG[2:]


def with_wrong_checksum(written: bytes) -> bytes:
    return written[:-1] + bytes([written[-1] ^ 1])


def webp(exif: bytes) -> bytes:
    """The picture as WebP with this EXIF, which Pillow refuses to write when it is broken."""
    header = struct.pack("<I", 8) + (31).to_bytes(3, "little") + (23).to_bytes(3, "little")
    within = b"WEBPVP8X" + struct.pack("<I", 10) + header + encoded("WEBP", lossless=True)[12:]
    within += b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(within)) + within


TEXT = zlib.compress(bytes(2_000_000))  # more than Pillow takes

BROKEN = {
    "a large text": png(chunk(b"zTXt", b"workflow\0\0" + TEXT)),
    "a large international text": png(chunk(b"iTXt", b"workflow\0\1\0\0\0" + TEXT)),
    "a large text after the pixels": png(chunk(b"zTXt", b"workflow\0\0" + TEXT), end=True),
    "many texts": png(*[chunk(b"zTXt", b"%d\0\0" % number + zlib.compress(bytes(1_000_000))) for number in range(70)]),
    "a bomb of text": png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 28), 1))),
    "a text of unknown compression": png(chunk(b"zTXt", b"a\0\7x")),
    "a text with a wrong checksum": png(with_wrong_checksum(chunk(b"tEXt", b"a\0b"))),
    "a large profile": png(chunk(b"iCCP", b"printer\0\0" + TEXT)),
    "an empty profile": png(chunk(b"iCCP", b"")),
    **{f"a short {name.decode()}": png(chunk(name, b"\0")) for name in (b"gAMA", b"pHYs", b"cHRM", b"acTL", b"fcTL")},
    "EXIF of words in PNG": png(chunk(b"eXIf", b"words")),
    "EXIF that is no hexadecimal": png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 8\nzz"))),
    "EXIF of words": jpeg((0xE1, b"Exif\0\0words")),
    "EXIF that is cut": jpeg((0xE1, b"Exif\0\0" + exif(6)[:-8])),
    "EXIF that points far away": jpeg((0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "EXIF of too many entries": jpeg((0xE1, b"Exif\0\0" + exif(6, count=1 << 28))),
    "a profile without its number": jpeg((0xE2, b"ICC_PROFILE\0")),
    "a profile of which parts are missing": jpeg((0xE2, b"ICC_PROFILE\0\1\5words")),
    "a list of previews that is words": jpeg((0xE2, b"MPF\0words")),
    "Photoshop's data, cut": jpeg((0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10\1")),
    "a short JFIF": jpeg((0xE0, b"JFIF\0")),
    "a short Adobe": jpeg((0xEE, b"Adobe")),
    "long comments": jpeg(*[(0xFE, bytes(65_000))] * 20),
    "EXIF of words in WebP": webp(b"Exif\0\0words"),
    "bytes after a PNG": PNG + b"more" * 99,
    "bytes after a JPEG": JPEG + JPEG,
    "bytes after a GIF": encoded("GIF") + b"more" * 99,
    **{f"orientation {value}": jpeg((0xE1, b"Exif\0\0" + exif(value))) for value in (0, 9, 65_535)},
    "an orientation of letters": jpeg((0xE1, b"Exif\0\0" + exif(ord("6"), kind=2, count=2))),
}


@pytest.fixture
def decode() -> Decoder:
    return Decoder()


@pytest.mark.parametrize("name", BROKEN)
def test_an_image_with_broken_side_data_has_the_pixels_of_one_without(decode, name):
    lossless = not BROKEN[name].startswith(JPEG[:2])
    np.testing.assert_array_equal(decode(BROKEN[name]), decode(PNG if lossless else JPEG))


@pytest.mark.parametrize(
    "data",
    [
        png(chunk(b"eXIf", exif(6)), chunk(b"zTXt", b"workflow\0\0" + TEXT)),
        jpeg((0xE1, b"Exif\0\0" + exif(6)), (0xE0, b"JFIF\0")),
    ],
    ids=["PNG", "JPEG"],
)
def test_what_turns_it_is_kept_while_other_side_data_is_left_out(decode, data):
    assert decode(data).shape == (32, 24, 3)


def test_of_a_broken_animation_the_first_frame_is_taken(decode):
    animated = encoded("PNG", save_all=True, append_images=[PICTURE.rotate(180)])
    found = decode.inspect(animated[:33] + chunk(b"gAMA", b"") + animated[33:])
    np.testing.assert_array_equal(found.pixels, decode(PNG))
    assert found.several_frames


@pytest.mark.parametrize(
    "data",
    [
        png(with_wrong_checksum(chunk(b"prVt", b"a"))),  # it may have been pixels
        png(chunk(b"gAMA", b""))[:-40],
        PNG[:29] + b"\0" + PNG[30:],
        jpeg((0xE0, b"JFIF\0"))[:-40],
    ],
    ids=["a damaged name", "cut PNG", "damaged header", "cut JPEG"],
)
def test_damage_stays_damage(decode, data):
    with pytest.raises(UnreadableError, match=r"damaged|truncated"):
        decode(data)


def test_the_transparency_of_a_png_and_the_colours_of_a_jpeg_are_no_side_data():
    picture = PICTURE.convert("P")
    content = io.BytesIO()
    picture.save(content, "PNG", transparency=0)
    assert list(lighter(content.getvalue())) == []
    content = io.BytesIO()
    PICTURE.convert("CMYK").save(content, "JPEG")
    assert list(lighter(content.getvalue())) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC image.*convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99), "HEIC image"),
        (b"\xff\x0a" + bytes(99), "JPEG XL image"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
        (b"<!DOCTYPE html><html>404", "web page in place of the file: fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "run `git lfs pull`"),
        (b"%PDF-1.7" + bytes(99), "a PDF"),
        (b"PK\3\4" + bytes(99), "archive, no image: unpack it"),
        (b"\0\0\0\x18ftypmp42" + bytes(99), "film or sound"),
        (JPEG[:6], "JPEG file that is damaged|Truncated"),
        (b"words", "not an image that Pillow knows"),
    ],
)
def test_what_is_no_image_is_named_with_what_to_do(decode, data, told):
    with pytest.raises(UnreadableError, match=told):
        decode(data)


def test_the_digest_of_a_very_large_image_is_without_side_data_and_yet_of_how_it_is_turned(decode):
    large = PICTURE.resize((2400, 2000))

    def digest(**options) -> bytes:
        content = io.BytesIO()
        large.save(content, "JPEG", **options)
        return decode.digest(content.getvalue(), decode(content.getvalue()))

    plain = digest()
    turned = {orientation: digest(exif=b"Exif\0\0" + exif(orientation)) for orientation in range(1, 9)}
    assert digest(comment=b"taken by hand", icc_profile=b"words") == plain == turned[1]
    assert len(set(turned.values())) == 8
